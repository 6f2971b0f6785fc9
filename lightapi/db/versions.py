"""The version that rows are locked by, also of rows that other programs wrote without one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, SmallInteger, case, literal_column
from sqlalchemy.types import TypeEngine

from lightapi.db.mapping import KEPT

__all__ = ["answer_of", "current_version", "version_limit"]


def version_limit(kind: TypeEngine[Any], *, sqlite: bool) -> int:
    """Return the first number beyond all that a version column can hold."""
    wide = sqlite or isinstance(kind, BigInteger)
    return 2**63 if wide else 2**15 if isinstance(kind, SmallInteger) else 2**31


def answer_of(column: Column[Any]) -> ColumnElement[Any]:
    """Return what a list or row answers for a column."""
    is_version = column.key == "version" and "version" in column.table.info[KEPT]
    return current_version(column).label("version") if is_version and column.nullable else column


def current_version(column: Column[Any]) -> ColumnElement[int]:
    """Return the version to lock by; rows that other programs wrote without one have the first."""
    if not column.nullable:
        return column
    return case((column >= literal_column("1"), column), else_=literal_column("1"))
