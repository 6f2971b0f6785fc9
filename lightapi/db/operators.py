"""What the filter operators are in SQL, and in which form each database gets their values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, time, timezone
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Enum,
    LargeBinary,
    String,
    Text,
    Time,
    and_,
    bindparam,
    cast,
    func,
    not_,
    or_,
    type_coerce,
)

from lightapi.db.binds import bound, compared_type
from lightapi.db.legacy import AnyTime
from lightapi.db.postgres_types import Label
from lightapi.db.types import UTCDateTime

__all__ = ["FOLD", "condition", "is_moment", "parameters_of", "search_condition", "search_parameter"]

FOLD = "lightapi_lower"
"""Our function on SQLite connections: ``str.lower``, for SQLite's own knows ASCII only."""

_ESCAPE = "/"
_NULLNESS: dict[str, Callable[[Any], Any]] = {
    "isnull": lambda column: column.is_(None),
    "notnull": lambda column: column.is_not(None),
}
_PLACES = {
    **dict.fromkeys(("contains", "icontains"), "%{}%"),
    **dict.fromkeys(("startswith", "istartswith"), "{}%"),
    **dict.fromkeys(("endswith", "iendswith"), "%{}"),
}
"""The operators on text, and where their LIKE looks."""


_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "exact": lambda column, value: column == value,
    "ne": lambda column, value: or_(column != value, column.is_(None)),
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
}


def condition(column: ColumnElement[Any], operator: str, name: str, *, sqlite: bool) -> ColumnElement[bool]:
    """Return the condition of one filter; its parameters are named after ``name``.

    ``ne`` and ``notin`` are true of NULL, as they are of None in Python.
    """
    if operator in _NULLNESS:
        is_null: ColumnElement[bool] = _NULLNESS[operator](column)
        return is_null
    if operator in _PLACES:
        return _text_condition(column, operator, name, sqlite=sqlite)
    if sqlite and is_moment(column):
        return _moment_condition(column, operator, name)
    if operator in ("in", "notin"):
        values = bindparam(name, type_=compared_type(column, sqlite=sqlite), expanding=True)
        return column.in_(values) if operator == "in" else or_(column.not_in(values), column.is_(None))
    if operator == "range":
        # Not BETWEEN, whose operands take no COLLATE on PostgreSQL.
        low, high = (bound(column, f"{name}_{end}", sqlite=sqlite) for end in ("low", "high"))
        return and_(column >= low, column <= high)
    compared: ColumnElement[bool] = _COMPARED[operator](column, bound(column, name, sqlite=sqlite))
    return compared


def parameters_of(
    column: ColumnElement[Any], operator: str, name: str, values: Sequence[Any], *, sqlite: bool
) -> dict[str, Any]:
    """Return the parameters of ``condition`` for the parsed values."""
    if operator in _NULLNESS:
        return {}
    if operator in _PLACES:
        return {name: _text_parameter(operator, values[0], sqlite=sqlite)}
    if sqlite and is_moment(column):
        return _moment_parameters(operator, name, values)
    if operator == "range":
        return {f"{name}_low": values[0], f"{name}_high": values[1]}
    return {name: list(values) if operator in ("in", "notin") else values[0]}


def search_condition(columns: Sequence[ColumnElement[Any]], name: str, *, sqlite: bool) -> ColumnElement[bool]:
    """Return the condition that one of the columns holds the text, whatever its case."""
    return or_(*(_text_condition(column, "icontains", name, sqlite=sqlite) for column in columns))


def search_parameter(text: str, *, sqlite: bool) -> str:
    """Return the parameter of ``search_condition``."""
    return _text_parameter("icontains", text, sqlite=sqlite)


def _text_condition(column: ColumnElement[Any], operator: str, name: str, *, sqlite: bool) -> ColumnElement[bool]:
    parameter = bindparam(name, type_=String())
    text: Any = cast(column, Text) if isinstance(column.type, (Enum, Label)) else column
    folded = operator.startswith("i")
    if not sqlite:
        like = text.ilike if folded else text.like
        found: ColumnElement[bool] = like(parameter, escape=_ESCAPE)
        return found
    # LIKE ignores case on SQLite; these functions do not, and have no wildcards.
    text = getattr(func, FOLD)(cast(text, LargeBinary)) if folded else text
    place = operator.removeprefix("i")
    if place == "contains":
        return func.instr(text, parameter) > 0
    if place == "startswith":
        return func.substr(text, 1, func.length(parameter)) == parameter
    return func.substr(text, func.length(text) - func.length(parameter) + 1) == parameter


def _text_parameter(operator: str, text: str, *, sqlite: bool) -> str:
    if sqlite:
        return text.lower() if operator.startswith("i") else text
    for character in (_ESCAPE, "%", "_"):
        text = text.replace(character, _ESCAPE + character)
    return _PLACES[operator].format(text)


def is_moment(column: ColumnElement[Any]) -> bool:
    """Tell whether SQLite keeps the column as the text of a moment."""
    return isinstance(column.type, (UTCDateTime, Time, AnyTime))


def _moment_condition(column: Any, operator: str, name: str) -> ColumnElement[bool]:
    """Compare moments on SQLite, which keeps them as text: other programs leave out zeros at the end of a second."""
    low, high = (bindparam(f"{name}_{end}", type_=String()) for end in ("low", "high"))
    bare: Any = type_coerce(column, String())
    if operator in ("in", "notin"):
        found = bare.in_(bindparam(name, type_=String(), expanding=True))
        return found if operator == "in" else or_(not_(found), column.is_(None))
    within: ColumnElement[bool] = and_(bare >= low, bare <= high)
    conditions: dict[str, ColumnElement[bool]] = {
        "exact": within,
        "range": within,
        "ne": or_(not_(within), column.is_(None)),
        "gt": bare > high,
        "gte": bare >= low,
        "lt": bare < low,
        "lte": bare <= high,
    }
    return conditions[operator]


def _moment_parameters(operator: str, name: str, values: Sequence[Any]) -> dict[str, Any]:
    if operator in ("in", "notin"):
        return {name: [form for value in values for form in _moment_forms(value)]}
    return {f"{name}_low": _moment_forms(values[0])[0], f"{name}_high": _moment_forms(values[-1])[1]}


def _moment_forms(value: datetime | time) -> tuple[str, str]:
    """Return the shortest and the longest text of a moment: everything between them is that moment."""
    if isinstance(value, datetime):
        value = (
            value.replace(tzinfo=None) if value.tzinfo is None else value.astimezone(timezone.utc).replace(tzinfo=None)
        )
        full = value.isoformat(" ", "microseconds")
    else:
        full = value.isoformat("microseconds")
    return full.rstrip("0").removesuffix(".") if value.microsecond else full[:-7], full
