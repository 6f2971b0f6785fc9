"""Which answers of an app are kept in Redis, and which writes make them void: decided when it is built."""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Engine, MetaData

from lightapi.auth import BasicAuthentication, JWTAuthentication
from lightapi.cache import Shelf, generation_key, keeping, voiding
from lightapi.config import backends_in
from lightapi.db.identity import database_name
from lightapi.db.references import MAY_ACT
from lightapi.endpoint import RestEndpoint
from lightapi.exceptions import nearest
from lightapi.permissions import AllowAny
from lightapi.plan import Handler, Plan
from lightapi.redis_link import RedisLink, redis_url

__all__ = ["Shelves"]

logger = logging.getLogger("lightapi")

Around = Callable[[str, Handler], Handler]
"""Puts the cache around the handler of a verb."""


class Shelves:
    """The cached endpoints of one app. Without any there is no link to Redis."""

    def __init__(self, plans: Iterable[Plan], *, metadata: MetaData, engine: Engine, patience: float) -> None:
        cached = [plan for plan in plans if cache_of(plan) is not None]
        database = database_name(engine) if cached else ""
        usual = {"postgresql": "public", "sqlite": "main"}.get(engine.dialect.name, "")
        self._generations = {
            plan.table.key: generation_key(database, plan.table.schema or usual, plan.table.name) for plan in cached
        }
        self._tables = dict(metadata.tables)
        self._patience = patience
        self.link = RedisLink(redis_url(), self._generations.values()) if cached else None
        for plan in cached:
            _point_out(plan)

    def around(self, plan: Plan) -> Around | None:
        """Return what puts the cache around one endpoint's handlers; None where nothing is to do."""
        link = self.link
        if link is None:
            return None
        shelf = None if cache_of(plan) is None else self._shelf(plan, link)
        changed = affected(self._tables, plan.table.key)
        void = tuple(sorted(self._generations[table] for table in changed if table in self._generations))

        def around(verb: str, handler: Handler) -> Handler:
            if verb == "GET":
                return handler if shelf is None else keeping(handler, shelf)
            return voiding(handler, void, link) if void else handler

        return around

    def _shelf(self, plan: Plan, link: RedisLink) -> Shelf:
        cache = cache_of(plan)
        generation = self._generations[plan.table.key]
        kinds = [(name, spec.storage.kind) for name, spec in plan.endpoint._shape.specs.items()]  # type: ignore[attr-defined]
        endpoint = f"{plan.endpoint.__module__}.{plan.endpoint.__qualname__}"
        about = (endpoint, plan.path, plan.base_url, kinds, plan.read.names)
        filters = plan.filters
        asked = (sorted(filters.fields), filters.search, filters.ordering, filters.strict, sorted(filters.known))
        return Shelf(
            link=link,
            generation=generation,
            prefix=generation.removesuffix("generation"),
            about=repr((*about, plan.pagination, asked, _code_of(plan))),
            personal=_is_personal(plan),
            programmed=bool(_overridden(plan) or plan.filters.custom),
            cache=cache,
            counted=None if cache.vary_on is None else frozenset(cache.vary_on),
            declared=plan.filters.known,
            strict=plan.filters.strict,
            patience=self._patience,
        )


def cache_of(plan: Plan) -> Any:
    """Return the endpoint's ``Meta.cache``."""
    return plan.endpoint._options.cache  # type: ignore[attr-defined]


_READING = ("get", "list", "retrieve", "queryset")


def _overridden(plan: Plan) -> list[str]:
    return [name for name in _READING if getattr(plan.endpoint, name) is not getattr(RestEndpoint, name)]


def _is_personal(plan: Plan) -> bool:
    """Return True when code of the user's may look at who asks."""
    authentication = plan.authentication["GET"]
    public = authentication.backend is None and _is_for_all(authentication.permission)
    return not public or bool(_overridden(plan)) or bool(plan.filters.custom)


def _is_for_all(permission: Any) -> bool:
    if isinstance(permission, Mapping):
        permission = permission.get("GET")
    return permission is None or permission is AllowAny or type(permission) is AllowAny


def _point_out(plan: Plan) -> None:
    """Log what a cached endpoint may answer wrongly."""
    cache, name = cache_of(plan), plan.endpoint.__name__
    overridden = _overridden(plan)
    ours = (JWTAuthentication, BasicAuthentication)
    backends = backends_in(plan.authentication["GET"].backend)
    for backend in backends:
        if not (
            cache.vary_headers or isinstance(backend, ours) or (isinstance(backend, type) and issubclass(backend, ours))
        ):
            logger.warning(
                "%s.Meta.cache: answers are kept per request.state.user, Authorization and Cookie; if they depend on "
                "anything else that %s reads, name those headers in Cache(vary_headers=[...])",
                name,
                getattr(backend, "__name__", type(backend).__name__),
            )
    if overridden and not backends and not cache.vary_headers:
        logger.warning(
            "%s.Meta.cache: %s may look at the request, and there is neither a backend nor vary_headers: answers are "
            "kept per Authorization, Cookie and query; name other headers in Cache(vary_headers=[...])",
            name,
            ", ".join(overridden),
        )
    if cache.vary_on is None:
        return
    known = plan.filters.known
    left_out = sorted(known - set(cache.vary_on))
    if left_out:
        logger.warning("%s.Meta.cache: vary_on leaves out %s: it has no effect any more", name, ", ".join(left_out))
    for parameter in cache.vary_on:
        if parameter not in known and not overridden and not plan.filters.custom:
            logger.warning(
                "%s.Meta.cache: vary_on names %r, which nothing reads%s", name, parameter, nearest(parameter, known)
            )


def _code_of(plan: Plan) -> str:
    """Return a digest of the user's code that makes answers: another version of it makes others."""
    functions = [getattr(plan.endpoint, name) for name in _overridden(plan)]
    functions += [type(backend).filter_queryset for backend in plan.filters.custom]
    codes = [getattr(inspect.unwrap(function), "__code__", None) for function in functions]
    shown = [(code.co_code, code.co_names, [c for c in code.co_consts if _is_plain(c)]) for code in codes if code]
    return hashlib.sha256(repr(shown).encode()).hexdigest()


def _is_plain(constant: Any) -> bool:
    return isinstance(constant, (str, int, float, bytes, tuple, type(None))) and "<code object" not in repr(constant)


def affected(tables: Mapping[str, Any], written: str) -> set[str]:
    """Return the keys of the tables whose rows a write of one table may change, itself included."""
    found = {written}
    grown = True
    while grown:
        grown = False
        for key, table in tables.items():
            if key not in found and any(_follows(reference, found) for reference in table.foreign_keys):
                found.add(key)
                grown = True
    return found


def _follows(reference: Any, tables: set[str]) -> bool:
    """Tell whether the database itself changes the referring rows, for example ``ON DELETE CASCADE``."""
    if reference.constraint.info.get(MAY_ACT):
        return reference.target_fullname.rpartition(".")[0] in tables
    acts = {(reference.ondelete or "").upper(), (reference.onupdate or "").upper()} - {"", "NO ACTION", "RESTRICT"}
    return bool(acts) and reference.target_fullname.rpartition(".")[0] in tables
