"""The operations of an endpoint: one per verb, with everything it may be asked and may answer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lightapi.handlers import Answering
from lightapi.openapi.answers import HEADERS, answer, refusals
from lightapi.openapi.bodies import SENT, page_schema
from lightapi.openapi.parameters import id_parameter, list_parameters
from lightapi.plan import Plan

__all__ = ["Described", "operation"]

Operation = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Described:
    """One endpoint, and what the document says of it as a whole."""

    plan: Plan
    tag: str
    """The name of its class without ``Endpoint``."""
    identifier: str
    """What the ``operationId`` of its operations ends with."""
    bodies: Mapping[str, Any]
    """The schemas of ``bodies.wanted_bodies``."""
    values: Mapping[str, Any]
    """The schemas of ``parameters.wanted_values``."""


_NAMES = {"GET": "retrieve", "POST": "create", "PUT": "replace", "PATCH": "update", "DELETE": "delete"}


def operation(described: Described, verb: str, answering: Answering, *, item: bool, access: Any) -> Operation:
    """Return one operation, without its security."""
    name = "list" if answering.action == "list" else _NAMES[verb]
    summary, description = _said(answering.override, f"{name.capitalize()} {described.tag}")
    found: Operation = {
        "operationId": f"{name}_{described.identifier}",
        "tags": [described.tag],
        "summary": summary,
        **({"description": description} if description else {}),
    }
    parameters = list_parameters(described.plan, described.values) if answering.action == "list" else []
    if parameters:
        found["parameters"] = parameters
    where = f"{verb} {'item' if item else 'collection'}"
    sent = _sent(described, verb, where, answering)
    if sent is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": sent}}}
    found["responses"] = _responses(described, verb, where, answering, access=access, asked=bool(parameters))
    return found


def _sent(described: Described, verb: str, where: str, answering: Answering) -> dict[str, Any] | None:
    """Return the schema of a request's body: the annotations', the endpoint's, or any object where neither tells."""
    if verb not in SENT:
        return None
    own: dict[str, Any] = described.bodies[SENT[verb]]
    if answering.override is None:
        return own
    return described.bodies.get(f"sent {where}") or {"anyOf": [own, {"type": "object"}]}


def _responses(
    described: Described, verb: str, where: str, answering: Answering, *, access: Any, asked: bool
) -> dict[str, Any]:
    plan = described.plan
    shown = None if verb == "DELETE" else described.bodies["read" if verb == "GET" else "written"]
    if answering.action == "list" and shown is not None:
        shown = page_schema(plan, shown)
    status = {"POST": "201", "DELETE": "204"}.get(verb, "200")
    headers = HEADERS["location"] if verb == "POST" else HEADERS["link"] if answering.action == "list" else {}
    asked = asked or (answering.action == "list" and plan.filters.strict)
    refused = refusals(verb, item="item" in where, access=access, asked=asked)
    if plan.has_queryset or (answering.action == "list" and plan.filters.custom):
        refused["default"] = answer("what its queryset or its filters refuse", {})
    if answering.override is None:
        return {status: answer(_DONE[verb], shown, headers), **refused}
    annotated = described.bodies.get(f"answered {where}")
    if annotated is not None:
        status = "201" if verb == "POST" else "200"
        return {status: answer("answered", annotated), **refused, "default": answer("anything else", {})}
    anything = {"anyOf": [shown, {}]} if shown is not None else None
    return {status: answer("answered", anything, headers), **refused, "default": answer("anything else", {})}


_DONE = {"GET": "found", "POST": "created", "PUT": "replaced", "PATCH": "updated", "DELETE": "deleted"}


def _said(override: Callable[..., Any] | None, usual: str) -> tuple[str, str]:
    """Return the first line and the rest of an override's docstring; else what it usually does."""
    text = inspect.cleandoc(getattr(override, "__doc__", None) or "")
    first, _, rest = text.partition("\n")
    return (first.strip() or usual), rest.strip()


def item_parameters(described: Described) -> list[dict[str, Any]]:
    """Return what all operations of an item share: its id."""
    return [id_parameter(described.plan, described.values)]
