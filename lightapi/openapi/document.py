"""The whole document: information, paths, components (OpenAPI 3.1.1)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lightapi.auth import BaseAuthentication, JWTAuthentication
from lightapi.endpoint import RestEndpoint
from lightapi.handlers import Answering, answering
from lightapi.openapi.answers import COMPONENTS, NAMES, REFUSALS, answer, refused
from lightapi.openapi.bodies import SENT, settle_defaults, wanted_bodies
from lightapi.openapi.json_schema import BodySchema, ParameterSchema, schemas_of
from lightapi.openapi.operations import Described, item_parameters, operation
from lightapi.openapi.parameters import wanted_values
from lightapi.openapi.security import Schemes
from lightapi.plan import Plan, Route

__all__ = ["About", "document_of"]

VERSION = "3.1.1"
Endpoints = Mapping[str, tuple[Plan, Route, Route]]


@dataclass(frozen=True, kw_only=True)
class About:
    """What the document says of the app."""

    title: str
    version: str
    description: str
    login_paths: tuple[str, ...]
    login_backends: tuple[BaseAuthentication, ...]


def document_of(endpoints: Endpoints, about: About) -> dict[str, Any]:
    """Return the document of an app's endpoints and login routes."""
    every = [_Endpoint(*parts) for parts in endpoints.values()]
    bodies, definitions = schemas_of(
        {(n, use): wanted for n, each in enumerate(every) for use, wanted in each.bodies().items()},
        BodySchema,
    )
    for (_, use), schema in bodies.items():
        if use in SENT.values():
            settle_defaults(_resolved(schema, definitions))
    values, kinds = schemas_of(
        {(n, name): wanted for n, each in enumerate(every) for name, wanted in wanted_values(each.plan).items()},
        ParameterSchema,
    )
    values = {key: _resolved(schema, kinds) for key, schema in values.items()}  # a name may be another class's below
    schemes = Schemes()
    identifiers = _identifiers(each.plan.path for each in every)
    paths: dict[str, Any] = {}
    for number, each in enumerate(every):
        described = Described(
            plan=each.plan,
            tag=each.tag,
            identifier=identifiers[number],
            bodies=_of(number, bodies),
            values=_of(number, values),
        )
        paths |= each.paths(described, schemes)
    paths |= _login(about)
    return {
        "openapi": VERSION,
        "info": _info(about),
        "paths": paths,
        "components": {
            "schemas": {**definitions, **COMPONENTS},
            "responses": {NAMES[status]: refusal for status, refusal in REFUSALS.items()},
            **({"securitySchemes": schemes.found} if schemes.found else {}),
        },
        "tags": _tags(every),
    }


def _of(number: int, schemas: Mapping[tuple[int, str], Any]) -> dict[str, Any]:
    return {name: schema for (owner, name), schema in schemas.items() if owner == number}


def _resolved(schema: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    target: dict[str, Any] = definitions.get(schema.get("$ref", "").rpartition("/")[2], schema)
    return target


def _info(about: About) -> dict[str, str]:
    description = {"description": about.description} if about.description else {}
    return {"title": about.title, "version": about.version, **description}


class _Endpoint:
    """One endpoint's plan and routes."""

    def __init__(self, plan: Plan, collection: Route, item: Route) -> None:
        self.plan = plan
        self._routes = {False: collection, True: item}
        self.tag = plan.endpoint.__name__.removesuffix("Endpoint") or plan.endpoint.__name__
        self._answering = {item: answering(plan, item=item) for item in (False, True)}

    def bodies(self) -> dict[str, Any]:
        """Return the types of its bodies."""
        named: dict[str, Answering] = {
            f"{verb} {'item' if item else 'collection'}": each
            for item, verbs in self._answering.items()
            for verb, each in verbs.items()
        }
        return wanted_bodies(self.plan, named)

    def paths(self, described: Described, schemes: Schemes) -> dict[str, Any]:
        """Return its path items."""
        found: dict[str, Any] = {}
        for item, shown in ((False, self.plan.path or "/"), (True, f"{self.plan.path}/{{id}}")):
            operations: dict[str, Any] = {"parameters": item_parameters(described)} if item else {}
            for verb, each in self._answering[item].items():
                access = self._routes[item].access.get(verb)
                made = operation(described, verb, each, item=item, access=access)
                security = schemes.required(access) if access is not None else []
                operations[verb.lower()] = {**made, "security": security} if security else made
            if self._answering[item]:
                found[shown] = operations
        return found


def _identifiers(paths: Iterable[str]) -> list[str]:
    """Return names for operations, made of paths: different for different paths."""
    found: list[str] = []
    for path in paths:
        bare = re.sub(r"[^A-Za-z0-9]+", "_", path).strip("_") or "root"
        names = (bare, *(f"{bare}_{number}" for number in range(2, len(found) + 3)))
        found.append(next(name for name in names if name not in found))
    return found


def _tags(every: Iterable[_Endpoint]) -> list[dict[str, str]]:
    """Return the tags in order, with the docstrings of their classes."""
    tags: dict[str, dict[str, str]] = {}
    for each in every:
        said = _docstring(each.plan.endpoint)
        tags.setdefault(each.tag, {"name": each.tag, **({"description": said} if said else {})})
    return list(tags.values())


def _docstring(cls: type) -> str:
    """Return the docstring of a class, or of the nearest base before ours."""
    for base in cls.__mro__:
        if base is RestEndpoint:
            break
        text = base.__dict__.get("__doc__")
        if text:
            return inspect.cleandoc(text)
    return ""


def _login(about: About) -> dict[str, Any]:
    """Return the login routes: a user name and a password, in the body or as Basic credentials (RFC 7617)."""
    if not about.login_paths:
        return {}
    issues = any(isinstance(backend, JWTAuthentication) for backend in about.login_backends)
    user = {"user": {"type": "object", "description": "what the validator tells of the user"}}
    properties = {"token": {"type": "string", "description": "a JSON Web Token"}, **user} if issues else user
    let_in = {"type": "object", "properties": properties, "required": list(properties)}
    text = {"type": "string", "minLength": 1}
    given = {
        "type": "object",
        "properties": {"username": text, "password": {**text, "format": "password"}},
        "required": ["username", "password"],
    }
    return {
        path: {
            "post": {
                "operationId": f"log_in_{path.rpartition('/')[2]}",
                "tags": ["Login"],
                "summary": "Get a token for a user name and a password"
                if issues
                else "Check a user name and a password",
                "requestBody": {"required": True, "content": {"application/json": {"schema": given}}},
                "responses": {"200": answer("let in", let_in), **refused(("400", "401", "413", "415", "422", "429"))},
            }
        }
        for path in about.login_paths
    }
