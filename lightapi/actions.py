"""What each verb does by default: validate, then a piece of database work, then a response."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from pydantic import BaseModel
from pydantic_core import SchemaValidator, ValidationError, to_json, to_jsonable_python
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from lightapi.db import crud, entities
from lightapi.db.types import check_sqlite_decimals
from lightapi.exceptions import NotFound
from lightapi.http.message import JSONBytes
from lightapi.plan import Plan
from lightapi.schema import invalid_input

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


def _rows(plan: Plan) -> Any:
    """Return the module whose functions touch the rows: Core, or Sessions where hooks listen."""
    return entities if plan.listened else crud


def listing(plan: Plan, statement: Any = None) -> Operation:
    """Answer ``{"results": [...]}`` with the rows of a queryset (None: every row)."""
    module = _rows(plan)
    if statement is not None:
        plain = None if plan.listened else crud.narrowed(plan, statement)
        if plain is None:
            module = entities
        else:
            statement = plain

    def work(connection: Connection) -> JSONBytes:
        rows = module.list_rows(connection, plan, statement)
        if len(rows) > _LONG_LIST:
            logger.warning("GET %s answered %d rows; paginate it", plan.path or "/", len(rows))
        return JSONBytes(b'{"results":' + _many(plan, rows) + b"}")

    return Operation(work)


def _many(plan: Plan, rows: list[dict[str, Any]]) -> bytes:
    if all(len(row) == len(plan.names) for row in rows):
        return plan.many.to_json(rows, warnings=False)
    known = set(plan.names)
    return to_json(
        [
            {
                **plan.one.to_python(row, mode="json", warnings=False),
                **to_jsonable_python({k: v for k, v in row.items() if k not in known}),
            }
            for row in rows
        ],
        inf_nan_mode="null",
    )


def _one(plan: Plan, row: Mapping[str, Any], status_code: int = 200) -> JSONBytes:
    return JSONBytes(plan.one.to_json(row, warnings=False), status_code)


def retrieving(plan: Plan, key: str, scope: Any = None) -> Operation:
    """Answer one row; NotFound for an id that is no key, or of no row."""
    value = plan.parse_key(key)
    module = _rows(plan)
    return Operation(lambda connection: _one(plan, module.retrieve(connection, plan, value, scope)))


def creating(plan: Plan, body: Body, request: Request) -> Operation:
    """Insert a row: 201 and ``Location``. Raises InvalidInput before any database work."""
    values = _writable(plan, _validated(plan.create, body))[0]
    check_sqlite_decimals(values, plan.sqlite_decimals)
    module = _rows(plan)

    def work(connection: Connection) -> JSONBytes:
        row = module.create(connection, plan, values)
        response = _one(plan, row, 201)
        location = location_of(plan, request, row[plan.key]).encode("ascii")
        response.raw_headers.append((b"location", location))
        return response

    return Operation(work, write=True, transaction=not plan.provable or plan.listened)


def location_of(plan: Plan, request: Request, key: Any) -> str:
    """Return the path-absolute reference of an item, mount prefix included (RFC 3986 section 4.2)."""
    prefix = quote(request.scope.get("root_path", "").rstrip("/"), safe=PATH_CHARACTERS)
    return f"{plan.base_url}{prefix}{plan.quoted_path}/{quote(str(key), safe='')}"


PATH_CHARACTERS = "/!$&'()*+,;=:@~-._"


def updating(plan: Plan, body: Body, key: str, *, partial: bool, scope: Any = None) -> Operation:
    """Replace (PUT) or change (PATCH) the row that still has the body's ``version``."""
    model = _validated(plan.patch if partial else plan.replacement, body)
    if partial:
        sent = model.model_fields_set
        change = crud.Change(
            model.__dict__["version"], {name: model.__dict__[name] for name in plan.writable if name in sent}
        )
    else:
        change = crud.Change(model.__dict__["version"], *_writable(plan, model))
    check_sqlite_decimals(change.values, plan.sqlite_decimals)
    value = plan.parse_key(key)
    module = _rows(plan)

    def work(connection: Connection) -> JSONBytes:
        return _one(plan, module.update_row(connection, plan, value, change, scope))

    return Operation(work, write=True, transaction=not plan.provable or plan.listened)


def destroying(plan: Plan, key: str, scope: Any = None) -> Operation:
    """Delete a row: 204."""
    value = plan.parse_key(key)
    module = _rows(plan)

    def work(connection: Connection) -> JSONBytes:
        module.destroy(connection, plan, value, scope)
        return JSONBytes(b"", 204)

    return Operation(work, write=True, transaction=plan.listened, deleting=True)


def _validated(validator: SchemaValidator, body: Body) -> BaseModel:
    try:
        # An override's object is validated as the JSON it came from: same rules, same words.
        model: BaseModel = validator.validate_json(body if isinstance(body, bytes) else to_json(body))
    except ValidationError as error:
        raise invalid_input(error) from None
    return model


def _writable(plan: Plan, model: BaseModel) -> tuple[dict[str, Any], frozenset[str]]:
    """Return the values to store, and the fields that only the database can default."""
    values = model.__dict__
    if not plan.server_defaults:
        return {name: values[name] for name in plan.writable}, frozenset()
    reset = plan.server_defaults - model.model_fields_set
    return {name: values[name] for name in plan.writable if name not in reset}, reset


_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)


def integer_key(bits: int) -> Callable[[str], int]:
    """Return the parser of integer ids; what is no id of the column's range is NotFound."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def parse(text: str) -> int:
        if _INTEGER.fullmatch(text) is None:
            raise NotFound
        value = int(text)
        if not low <= value <= high:
            raise NotFound
        return value

    return parse


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
    body = to_json(result, inf_nan_mode="null", fallback=lambda value: _entity(plan, value))
    return JSONBytes(body, 201 if verb == "POST" else 200)


def _entity(plan: Plan, value: Any) -> Any:
    if isinstance(value, plan.endpoint):
        row = {name: getattr(value, name) for name in plan.names}
        return plan.one.to_python(row, mode="json", warnings=False)
    raise TypeError(f"a hook of {plan.endpoint.__name__} returned {type(value).__name__}: no JSON")
