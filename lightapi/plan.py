"""The plan of an endpoint: everything that registration decided, as immutable data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from lightapi.config import VERBS, Authentication, Pagination

if TYPE_CHECKING:
    from pydantic_core import SchemaSerializer, SchemaValidator
    from sqlalchemy import Table
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["Access", "Answers", "Handler", "Plan", "Route", "make_route"]

Handler = Callable[["Request"], Awaitable["Response"]]
"""Answers one verb on one path; called after every refusal the pipeline knows."""


class Access(Protocol):
    """Decides who may call one verb: sets ``request.state.user``, raises 401 or 403."""

    challenge: str
    """What a 401 of this verb asks for."""

    async def __call__(self, request: Request) -> None:
        """Let the request pass, or raise."""

    def seal(self, request: Request, response: Response) -> Response:
        """Say to caches whose answer this is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The columns that one kind of verb answers, and what serialises them."""

    names: tuple[str, ...]
    one: SchemaSerializer
    many: SchemaSerializer


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One endpoint in one app."""

    endpoint: type
    path: str
    """The collection's path, ``""`` for the root."""
    quoted_path: str
    """The path as it stands in links (RFC 3986 section 3.3)."""
    base_url: str
    """Put before links; ``""`` makes them path-absolute."""
    table: Table
    key: tuple[str, ...]
    """The columns of the primary key."""
    parse_key: Callable[[str], tuple[Any, ...]]
    """Turns the id of a path into the values of the key; raises NotFound."""
    format_key: Callable[[Mapping[str, Any]], str]
    """Turns a row into the id of its path, not yet percent-encoded."""
    deep: bool
    """True when ids may hold slashes."""
    retrievable: bool
    """False where nothing tells rows apart: there is a list, and no path of a single row."""
    names: tuple[str, ...]
    """All columns, in answer order; plain ``str``, never ``quoted_name``."""
    attributes: Mapping[str, str]
    """The columns whose attribute of the class has another name, and that name."""
    read: Answers
    """What GET answers."""
    written: Answers
    """What POST, PUT and PATCH answer."""
    posted: tuple[tuple[str, str], ...]
    """What POST may give: column, and attribute of the validated model."""
    changed: tuple[tuple[str, str], ...]
    """The same of PUT and PATCH."""
    versioned: bool
    """True when the table has a version to lock by."""
    server_defaults: frozenset[str]
    """Fields that only the database can fill in."""
    sqlite_decimals: tuple[str, ...]
    """Fields whose digits SQLite may not keep; empty on other databases."""
    create: SchemaValidator
    replacement: SchemaValidator
    """PUT: the create schema and ``version``."""
    patch: SchemaValidator
    statements: Any
    """The prepared statements (db.crud); this file knows no SQL."""
    lists: Any
    """The statements of lists, one per shape of request (db.listing)."""
    filters: Any
    """What the query string may ask for (filters)."""
    pagination: Pagination | None
    cursor_scope: str
    """What this endpoint's cursors are signed for."""
    provable: bool
    """True when every column's value is known to serialise: a write may be one statement."""
    listened: bool
    """True when the mapper has listeners or validators: rows go through a Session."""
    scoped: bool
    """True when ``queryset`` also limits retrieve, update and delete by id."""
    has_queryset: bool
    has_async_queryset: bool
    authentication: Mapping[str, Authentication]
    """Who may call each verb, as it is declared."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path (a collection, an item, or an internal page): its verbs and who answers them."""

    handlers: Mapping[str, Handler]
    access: Mapping[str, Access]
    verbs: tuple[str, ...]
    """The registered verbs, in the order of ``VERBS``."""
    allow: str
    """The ``Allow`` header: the verbs, HEAD where GET is, OPTIONS."""
    is_async: bool
    """True when something on this route may wait: it needs an event loop."""
    is_blocking: bool
    """True when plain functions of the user run on this route."""
    nests: bool = False
    """True when the user's functions may hold one connection and open another."""
    internal: bool = False
    """True for LightAPI's own pages: no middleware, no user."""


def make_route(
    handlers: Mapping[str, Handler],
    *,
    access: Mapping[str, Access] | None = None,
    is_async: bool = False,
    is_blocking: bool = False,
    nests: bool = False,
    internal: bool = False,
) -> Route:
    """Build a route; the ``Allow`` text is fixed here (RFC 9110 section 10.2.1)."""
    verbs = tuple(verb for verb in VERBS if verb in handlers)
    head = ("HEAD",) if "GET" in verbs else ()
    return Route(
        handlers=handlers,
        access=access or {},
        verbs=verbs,
        allow=", ".join((*verbs, *head, "OPTIONS")),
        is_async=is_async,
        is_blocking=is_blocking,
        nests=nests,
        internal=internal,
    )
