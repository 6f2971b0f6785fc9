"""What only SQLite itself tells of its tables: types as they were written, unique indexes, the row id."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlalchemy import Connection

__all__ = ["is_rowid", "sqlite_unique", "written_types"]


def written_types(connection: Connection, table: str, schema: str | None) -> dict[str, str]:
    """Return the types of the columns as they were written, in capitals."""
    return {str(row[1]): str(row[2]).upper() for row in _pragma(connection, "table_xinfo", table, schema)}


def sqlite_unique(connection: Connection, table: str, schema: str | None) -> Iterator[list[str]]:
    """Return the columns of each unique index; SQLAlchemy misses those of types with a length."""
    for index in _pragma(connection, "index_list", table, schema):
        if index[2] and not index[4]:
            yield [str(column[2]) for column in _pragma(connection, "index_info", str(index[1]), schema)]


def is_rowid(connection: Connection, table: str, schema: str | None, column: str) -> bool:
    """Tell whether a column is the row id: declared as INTEGER PRIMARY KEY, to the letter."""
    source = connection.exec_driver_sql(
        f"SELECT sql FROM {_prefix(connection, schema)}sqlite_master "  # noqa: S608  quoted
        "WHERE type = 'table' AND lower(name) = lower(?)",
        (table,),
    ).scalar()
    return written_types(connection, table, schema).get(column) == "INTEGER" and _NO_ROWID.search(source or "") is None


_NO_ROWID = re.compile(r"\)[^()]*\bWITHOUT\s+ROWID\b[^()]*\Z|\bINTEGER\s+PRIMARY\s+KEY\s+DESC\b", re.IGNORECASE)


def _pragma(connection: Connection, name: str, subject: str, schema: str | None) -> list[tuple[object, ...]]:
    quoted = connection.dialect.identifier_preparer.quote(subject)
    return [tuple(row) for row in connection.exec_driver_sql(f"PRAGMA {_prefix(connection, schema)}{name}({quoted})")]


def _prefix(connection: Connection, schema: str | None) -> str:
    return f"{connection.dialect.identifier_preparer.quote(schema)}." if schema else ""
