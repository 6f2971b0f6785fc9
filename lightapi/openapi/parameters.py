"""The parameters of operations: ids in paths, and what the query string of a list may ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter

from lightapi.declaration import FieldSpec
from lightapi.filters import Filters
from lightapi.openapi.json_schema import Wanted
from lightapi.operators import TEXT_OPERATORS
from lightapi.pagination import page_parameters
from lightapi.plan import Plan
from lightapi.storage import NO_NUL, constrained, storage_of

__all__ = ["id_parameter", "list_parameters", "wanted_values"]

Parameter = dict[str, Any]
_TEXT = {"type": "string", "pattern": NO_NUL}


def wanted_values(plan: Plan) -> dict[str, Wanted]:
    """Return, by column, what values of the filters and of the key are."""
    filters: Filters = plan.filters
    specs: Mapping[str, FieldSpec] = plan.endpoint._shape.specs  # type: ignore[attr-defined]
    columns = {each.column for each in filters.fields.values()} | set(plan.key)
    return {name: ("validation", _adapter(specs[name])) for name in sorted(columns)}


def _adapter(spec: FieldSpec) -> TypeAdapter[Any]:
    storage = spec.storage
    if storage.kind in ("custom", "opaque", "json", "bytes"):
        return TypeAdapter(str)
    options = {"sa_type": storage.sa_type} if storage.sa_type is not None else {}
    return TypeAdapter(constrained(storage.python, storage_of(spec.name, storage.python, [], options).checks))


def id_parameter(plan: Plan, values: Mapping[str, Any]) -> Parameter:
    """Return the parameter of an item's path."""
    if len(plan.key) == 1:
        return {"name": "id", "in": "path", "required": True, "schema": values[plan.key[0]]}
    description = f"{', '.join(plan.key)} with commas between them; a value that holds a comma stands in double quotes"
    return {"name": "id", "in": "path", "required": True, "description": description, "schema": {"type": "string"}}


def list_parameters(plan: Plan, values: Mapping[str, Any]) -> list[Parameter]:
    """Return what the query string of the list may hold."""
    filters: Filters = plan.filters
    found = [*_pages(plan), *_filters(filters, values)]
    if "search" in filters.known and filters.search:
        found.append(_query("search", _TEXT, f"text that is looked for in {_listed(filters.search)}"))
    if "ordering" in filters.known and filters.ordering:
        found.append(_ordering(filters))
    for backend in filters.custom:
        text = f"read by {type(backend).__name__}"
        found += [_query(name, {"type": "string"}, text) for name in getattr(backend, "parameters", ())]
    return list({parameter["name"]: parameter for parameter in reversed(found)}.values())[::-1]


def _pages(plan: Plan) -> Iterable[Parameter]:
    pagination = plan.pagination
    for name in page_parameters(pagination):
        if name == "cursor":
            yield _query(
                name,
                {"type": "string", "format": "cursor", "minLength": 1},
                "where the page begins: `next` or `previous` of an answer",
            )
        elif name == "page":
            yield _query(name, {"type": "integer", "minimum": 1, "default": 1}, "number of the page")
        elif name == "offset":
            yield _query(name, {"type": "integer", "minimum": 0, "default": 0}, "rows to leave out")
        else:
            assert pagination is not None
            schema = {"type": "integer", "minimum": 1, "default": pagination.page_size}
            yield _query(name, schema, f"rows of a page, at most {pagination.max_page_size}")


def _filters(filters: Filters, values: Mapping[str, Any]) -> Iterable[Parameter]:
    for name, each in filters.fields.items():
        column, operator = each.column, each.operator
        if name not in filters.known or (operator == "exact" and name != column):
            continue
        value: dict[str, Any] = values[column]
        if operator == "isnull":
            value = {"type": "boolean"}
        elif operator in TEXT_OPERATORS:
            value = _TEXT
        if operator not in ("in", "notin", "range"):
            yield _query(name, value, _MEANINGS[operator].format(column))
            continue
        bounds = {"minItems": 2, "maxItems": 2} if operator == "range" else {"minItems": 1, "maxItems": 1000}
        parameter = _query(name, {"type": "array", "items": value, **bounds}, _MEANINGS[operator].format(column))
        yield {**parameter, "style": "form", "explode": False}


_MEANINGS = {
    "exact": "`{0}` equals",
    "ne": "`{0}` differs from",
    "in": "`{0}` is one of; a value that holds a comma stands in double quotes",
    "notin": "`{0}` is none of; a value that holds a comma stands in double quotes",
    "isnull": "`{0}` is null, or is not",
    "gt": "`{0}` is greater than",
    "gte": "`{0}` is at least",
    "lt": "`{0}` is less than",
    "lte": "`{0}` is at most",
    "range": "`{0}` is between two values, both included",
    "contains": "`{0}` contains",
    "icontains": "`{0}` contains, whatever the case",
    "startswith": "`{0}` starts with",
    "istartswith": "`{0}` starts with, whatever the case",
    "endswith": "`{0}` ends with",
    "iendswith": "`{0}` ends with, whatever the case",
}


def _ordering(filters: Filters) -> Parameter:
    """Return the parameter of the order; where a wrong name is ignored, any is accepted."""
    terms = [term for name in filters.ordering for term in (name, f"-{name}")]
    item: dict[str, Any] = {"type": "string", "enum" if filters.strict else "examples": terms}
    schema = {"type": "array", "items": item}
    description = f"fields to order by, of {_listed(filters.ordering)}; `-` before a field: descending"
    return {**_query("ordering", schema, description), "style": "form", "explode": False}


def _query(name: str, schema: Mapping[str, Any], description: str) -> Parameter:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": dict(schema)}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
