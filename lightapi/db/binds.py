"""Parameters that are compared exactly as the column stores its values."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CHAR, REAL, ColumnElement, bindparam, cast, type_coerce
from sqlalchemy.types import UserDefinedType

__all__ = ["Raw", "bound", "bound_raw", "raw"]


def bound(column: ColumnElement[Any], name: str, *, sqlite: bool) -> Any:
    """Return the parameter ``name`` with the type of the column."""
    parameter = bindparam(name, type_=column.type)
    # REAL is narrower than the number read from it; CHAR is padded, and a padded text is another text.
    narrow = isinstance(column.type, (REAL, CHAR)) or isinstance(getattr(column.type, "impl", None), REAL)
    return cast(parameter, column.type) if narrow and not sqlite else parameter


class Raw(UserDefinedType[Any]):
    """Whatever the driver gives and takes."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return a name for messages; no column is made of this type."""
        return "RAW"


def raw(column: ColumnElement[Any], *, sqlite: bool) -> ColumnElement[Any]:
    """Return the column as it must be read to be compared with later: SQLite compares what is stored."""
    return type_coerce(column, Raw()) if sqlite else column


def bound_raw(column: ColumnElement[Any], name: str, *, sqlite: bool) -> Any:
    """Return the parameter to compare with what ``raw`` gave."""
    return bindparam(name, type_=Raw()) if sqlite else bound(column, name, sqlite=False)
