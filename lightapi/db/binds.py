"""Parameters that are compared exactly as the column stores its values."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CHAR,
    REAL,
    ColumnElement,
    Date,
    DateTime,
    Enum,
    Float,
    Interval,
    Numeric,
    String,
    Text,
    Time,
    bindparam,
    cast,
    type_coerce,
)
from sqlalchemy.sql.sqltypes import _AbstractInterval
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from lightapi.db.types import ExactNumeric

__all__ = ["Raw", "as_text", "bound", "bound_raw", "compared_type", "from_raw", "raw"]


class Raw(UserDefinedType[Any]):
    """Whatever the driver gives and takes."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return a name for messages; no column is made of this type."""
        return "RAW"


class _AnyChar(UserDefinedType[str]):
    """CHAR of any length: a cast to CHAR(n) would cut the text."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return PostgreSQL's own name."""
        return "bpchar"


def _real_type(column: ColumnElement[Any]) -> Any:
    kind = column.type
    return kind.impl_instance if isinstance(kind, TypeDecorator) else kind


def bound(column: ColumnElement[Any], name: str, *, sqlite: bool) -> Any:
    """Return the parameter ``name`` with the type of the column."""
    kind = _real_type(column)
    if not sqlite and isinstance(kind, CHAR):
        # CHAR is padded, and to PostgreSQL a padded text is another text.
        return cast(bindparam(name, type_=String()), _AnyChar())
    parameter = bindparam(name, type_=compared_type(column, sqlite=sqlite))
    # REAL is narrower than the number read from it.
    return cast(parameter, REAL) if isinstance(kind, REAL) and not sqlite else parameter


def compared_type(column: ColumnElement[Any], *, sqlite: bool) -> TypeEngine[Any]:
    """Return the type of values to compare the column with: one of the column's own places would round them first."""
    kind: TypeEngine[Any] = column.type
    if sqlite:
        return kind
    if isinstance(kind, ExactNumeric):
        return ExactNumeric()
    if isinstance(kind, Numeric) and not isinstance(kind, Float):
        return Numeric() if kind.asdecimal else Numeric(asdecimal=False)
    return Interval(native=True) if isinstance(kind, _AbstractInterval) else kind


def as_text(column: ColumnElement[Any]) -> bool:
    """Tell whether PostgreSQL's own text is all that says exactly what stands there.

    An interval of a year is 360 days to the database and 365 to Python; an Enum may be stored under its name; asyncpg
    takes the first and the last second that Python knows for infinity, and days that Python has not are read as others.
    """
    return isinstance(column.type, Enum) or isinstance(_real_type(column), (_AbstractInterval, DateTime, Date, Time))


def raw(column: ColumnElement[Any], *, sqlite: bool) -> ColumnElement[Any]:
    """Return the column as it must be read to be compared with later: SQLite compares what is stored."""
    if sqlite:
        return type_coerce(column, Raw())
    return cast(column, Text) if as_text(column) else column


def bound_raw(column: ColumnElement[Any], name: str, *, sqlite: bool) -> Any:
    """Return the parameter to compare with what ``raw`` gave."""
    if sqlite:
        return bindparam(name, type_=Raw())
    if as_text(column):
        return from_raw(column, bindparam(name, type_=String()), sqlite=False)
    return bound(column, name, sqlite=False)


def from_raw(column: ColumnElement[Any], value: Any, *, sqlite: bool) -> Any:
    """Return what ``raw`` gave as something that is ordered as the column is."""
    if sqlite or not as_text(column):
        return value
    kind = Interval(native=True) if isinstance(_real_type(column), _AbstractInterval) else column.type
    return cast(cast(value, Text), kind)
