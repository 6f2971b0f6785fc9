"""What each verb does by default: validate, then a piece of database work, then a response."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from pydantic import BaseModel
from pydantic_core import SchemaValidator, ValidationError, to_json, to_jsonable_python
from sqlalchemy import Connection
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from lightapi.config import Pagination
from lightapi.cursors import Cursor, invalid_cursor
from lightapi.db import crud, entities
from lightapi.db.entities import values_of
from lightapi.db.keyset import Place, fit, place_parameter
from lightapi.db.listing import Counted, Lists, Wanted, rows_of
from lightapi.db.sources import queryset_source
from lightapi.db.types import check_sqlite_decimals
from lightapi.http.message import JSONBytes
from lightapi.pagination import Around, Links, Page, cursor_page, offset_page, page_asked
from lightapi.plan import Answers, Plan
from lightapi.schema import invalid_input, overflowing

if TYPE_CHECKING:
    from lightapi.filters import Asked

__all__ = ["PATH_CHARACTERS", "Operation", "creating", "destroying", "listing", "retrieving", "updating"]

logger = logging.getLogger("lightapi")

Body = bytes | Mapping[str, Any]
"""A body as it arrived, or the object that an override made of it."""

_LONG_LIST = 1000


class Operation(NamedTuple):
    """A piece of database work that ends in a response."""

    work: Callable[[Connection], JSONBytes]
    write: bool = False
    transaction: bool = False
    deleting: bool = False
    keyed: bool = False
    """True when the only value is a key: what the database can't read of it is no row's."""


def _rows(plan: Plan) -> Any:
    """Return the module whose functions touch the rows: Core, or Sessions where hooks listen."""
    return entities if plan.listened else crud


def listing(plan: Plan, request: Request, statement: Any = None) -> Operation:
    """Answer the rows of a list, or one page of it; of a queryset, or of the whole table (None).

    Raises InvalidInput before any database work.
    """
    query = request.query_params if request.scope["query_string"] else _NO_QUERY
    asked: Asked = plan.filters.asked(query)
    lists: Lists = plan.lists
    if statement is not None:
        answered = plan.names if plan.listened else plan.read.names
        lists = lists.over(queryset_source(plan, statement, answered, sqlite=lists.sqlite))
        lists.check(asked)
    if plan.pagination is None:
        return Operation(_whole(plan, lists, asked))
    page = page_asked(plan.pagination, query, plan.cursor_scope)
    links = Links(f"{_prefix(plan, request)}{plan.quoted_path or '/'}", query.multi_items(), plan.cursor_scope)
    answer = _sought if plan.pagination.style == "cursor" else _cut
    return Operation(answer(plan, lists, asked, page, links))


_NO_QUERY = QueryParams()

Work = Callable[[Connection], JSONBytes]


def _whole(plan: Plan, lists: Lists, asked: Asked) -> Work:
    wanted = Wanted(asked.filters, bool(asked.search), asked.ordering)

    def work(connection: Connection) -> JSONBytes:
        rows = rows_of(connection, plan, lists.source, lists.listing(wanted), lists.parameters(asked)).rows
        if len(rows) > _LONG_LIST:
            logger.warning("GET %s answered %d rows; paginate it", plan.path or "/", len(rows))
        return JSONBytes(b'{"results":' + _many(plan.read, rows, lists.source.extras) + b"}")

    return work


_COUNTS: dict[Any, Counted] = {True: "exact", False: "", "capped": "capped", "estimate": "estimate"}


def _cut(plan: Plan, lists: Lists, asked: Asked, page: Page, links: Links) -> Work:
    """Answer a page by number or offset: with one row more than it shows, which tells whether another follows."""
    pagination = plan.pagination
    assert pagination is not None
    wanted = Wanted(asked.filters, bool(asked.search), asked.ordering, "offset", counted=_COUNTS[pagination.count])
    wanted = wanted._replace(limit=_usual(pagination, page))

    def work(connection: Connection) -> JSONBytes:
        parameters = {**lists.parameters(asked), "__limit": page.size + 1, "__offset": page.offset}
        found = rows_of(connection, plan, lists.source, lists.listing(wanted), parameters)
        more = len(found.rows) > page.size
        around = offset_page(pagination, page, found.total, more=more, links=links)
        return _page(plan, lists, found.rows[: page.size], around)

    return work


def _sought(plan: Plan, lists: Lists, asked: Asked, page: Page, links: Links) -> Work:
    """Answer the page before or after a place; raise InvalidInput for a cursor of another order."""
    pagination, cursor = plan.pagination, page.cursor
    assert pagination is not None
    ordering = asked.ordering if cursor is None else cursor.ordering
    if any(name not in plan.filters.ordering or name not in lists.source.columns for name, _ in ordering):
        raise invalid_cursor()  # older than the endpoint, or made by somebody who guessed the key
    order = Cursor(ordering, (), own_order="" if ordering else lists.source.own_order())
    terms = lists.terms(ordering)
    place = None
    values: dict[str, Any] = {}
    if cursor is not None:
        is_other = (asked.ordering and asked.ordering != ordering) or cursor.own_order != order.own_order
        if is_other or not fit(terms, cursor.values, sqlite=lists.sqlite):
            raise invalid_cursor()
        nulls = tuple(value is None for value in cursor.values)
        place = Place(nulls, cursor.backwards, cursor.inclusive)
        values = {place_parameter(n): value for n, value in enumerate(cursor.values) if value is not None}
    wanted = Wanted(asked.filters, bool(asked.search), ordering, "seek", place, limit=_usual(pagination, page))

    def work(connection: Connection) -> JSONBytes:
        parameters = {**lists.parameters(asked), **values, "__limit": page.size + 1}
        found = rows_of(connection, plan, lists.source, lists.listing(wanted), parameters)
        rows, places = found.rows[: page.size], found.places[: page.size]
        if place is not None and place.backwards:
            rows.reverse()
            places.reverse()
        more = len(found.rows) > page.size
        around = cursor_page(pagination, page, order, places, more=more, links=links)
        return _page(plan, lists, rows, around)

    return work


def _usual(pagination: Pagination, page: Page) -> int:
    """Return the rows to fetch where the page is as large as declared; 0: the client asked for another size."""
    return page.size + 1 if page.size == pagination.page_size else 0


def _page(plan: Plan, lists: Lists, rows: list[dict[str, Any]], around: Around) -> JSONBytes:
    head = to_json(around.keys)[:-1]
    response = JSONBytes(head + b',"results":' + _many(plan.read, rows, lists.source.extras) + b"}")
    if around.link:
        response.raw_headers.append((b"link", around.link.encode("ascii")))
    return response


def _many(answers: Answers, rows: list[dict[str, Any]], extras: Collection[str]) -> bytes:
    if not extras:
        return answers.many.to_json(rows, warnings=False)
    return to_json(
        [
            {
                **answers.one.to_python(row, mode="json", warnings=False),
                **to_jsonable_python({name: row[name] for name in extras}, bytes_mode="base64", fallback=str),
            }
            for row in rows
        ],
        inf_nan_mode="null",
    )


def _one(answers: Answers, row: Mapping[str, Any], status_code: int = 200) -> JSONBytes:
    return JSONBytes(answers.one.to_json(row, warnings=False), status_code)


def retrieving(plan: Plan, key: str, scope: Any = None) -> Operation:
    """Answer one row; NotFound for an id that is no key, or of no row."""
    value = plan.parse_key(key)
    module = _rows(plan)
    return Operation(lambda connection: _one(plan.read, module.retrieve(connection, plan, value, scope)), keyed=True)


def creating(plan: Plan, body: Body, request: Request) -> Operation:
    """Insert a row: 201 and ``Location``. Raises InvalidInput before any database work."""
    values = _given(plan, _validated(plan.create, body), plan.posted)[0]
    check_sqlite_decimals(values, plan.sqlite_decimals)
    module = _rows(plan)

    def work(connection: Connection) -> JSONBytes:
        row = module.create(connection, plan, values)
        response = _one(plan.written, row, 201)
        location = location_of(plan, request, plan.format_key(row)).encode("ascii")
        response.raw_headers.append((b"location", location))
        return response

    return Operation(work, write=True, transaction=not plan.provable or plan.listened)


def location_of(plan: Plan, request: Request, key: str) -> str:
    """Return the path-absolute reference of an item, mount prefix included (RFC 3986 section 4.2)."""
    return f"{_prefix(plan, request)}{plan.quoted_path}/{quote(key, safe=',')}"


def _prefix(plan: Plan, request: Request) -> str:
    """Return what stands before an endpoint's path in links."""
    return plan.base_url + mount_prefix(request)


def mount_prefix(request: Request) -> str:
    """Return where the app is mounted, as it stands in links: empty, or a path that begins with one slash."""
    root_path: str = request.scope.get("root_path", "")
    bare = root_path.strip("/")
    return f"/{quote(bare, safe=PATH_CHARACTERS)}" if bare else ""


PATH_CHARACTERS = "/!$&'()*+,;=:@~-._"


def updating(plan: Plan, body: Body, key: str, *, partial: bool, scope: Any = None) -> Operation:
    """Replace (PUT) or change (PATCH) the row that still has the body's ``version``."""
    model = _validated(plan.patch if partial else plan.replacement, body)
    version = model.__dict__["version"] if plan.versioned else 0
    if partial:
        sent, values = model.model_fields_set, model.__dict__
        change = crud.Change(version, {name: values[held] for name, held in plan.changed if held in sent})
    else:
        change = crud.Change(version, *_given(plan, model, plan.changed))
    check_sqlite_decimals(change.values, plan.sqlite_decimals)
    value = plan.parse_key(key)
    module = _rows(plan)

    def work(connection: Connection) -> JSONBytes:
        return _one(plan.written, module.update_row(connection, plan, value, change, scope))

    return Operation(work, write=True, transaction=not plan.provable or plan.listened)


def destroying(plan: Plan, key: str, scope: Any = None) -> Operation:
    """Delete a row: 204."""
    value = plan.parse_key(key)
    module = _rows(plan)

    def work(connection: Connection) -> JSONBytes:
        module.destroy(connection, plan, value, scope)
        return JSONBytes(b"", 204)

    return Operation(work, write=True, transaction=plan.listened, deleting=True, keyed=True)


def _validated(validator: SchemaValidator, body: Body) -> BaseModel:
    # An override's object is validated as the JSON it came from: same rules, same words.
    given = body if isinstance(body, bytes) else to_json(body)
    try:
        model: BaseModel = validator.validate_json(given)
    except ValidationError as error:
        raise invalid_input(error) from None
    except OverflowError:
        refusal = overflowing(validator, given)
        if refusal is None:
            raise
        raise refusal from None
    return model


def _given(plan: Plan, model: BaseModel, pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, Any], frozenset[str]]:
    """Return the values to store, and the columns left out that only the database can default."""
    values = model.__dict__
    if not plan.server_defaults:
        return {name: values[held] for name, held in pairs}, frozenset()
    sent = model.model_fields_set
    left = frozenset(name for name, held in pairs if name in plan.server_defaults and held not in sent)
    return {name: values[held] for name, held in pairs if name not in left}, left


def as_response(plan: Plan, result: Any, verb: str) -> Response:
    """Turn what a hook returned into a response: a Response, or anything JSON can say.

    DELETE may return None, which is 204; elsewhere None is a TypeError, a 500.
    """
    if isinstance(result, Response):
        return result
    if result is None:
        if verb == "DELETE":
            return JSONBytes(b"", 204)
        raise TypeError(f"a hook of {plan.endpoint.__name__} returned None; return a response")
    answers = plan.read if verb == "GET" else plan.written
    body = to_json(result, inf_nan_mode="null", fallback=lambda value: _entity(plan, answers, value))
    return JSONBytes(body, 201 if verb == "POST" else 200)


def _entity(plan: Plan, answers: Answers, value: Any) -> Any:
    if isinstance(value, plan.endpoint):
        return answers.one.to_python(values_of(plan, value), mode="json", warnings=False)
    raise TypeError(f"a hook of {plan.endpoint.__name__} returned {type(value).__name__}: no JSON")
