"""What is done and looked at in the database before the first request, beside creating tables."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import DDL, Column, Connection, Index, Inspector, MetaData, Table, inspect, literal_column
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateColumn, CreateIndex

from lightapi.db.mapping import ddl_default, single_percents
from lightapi.db.reflection import ADDED, ADOPTED
from lightapi.exceptions import ConfigurationError, nearest

if TYPE_CHECKING:
    from lightapi.plan import Plan

__all__ = ["check_schema", "complete", "point_out_missing", "point_out_orderings"]

logger = logging.getLogger("lightapi")


def check_schema(inspector: Inspector, table: Table, owners: Mapping[str, str]) -> None:
    """Raise ConfigurationError for a ``Meta.schema`` that the database does not have."""
    if table.schema is None:
        return
    schemas = inspector.get_schema_names()
    if table.schema not in schemas:
        raise ConfigurationError(
            f"{owners[table.key]}.Meta.schema: the database has no schema {table.schema!r}"
            f"{nearest(table.schema, schemas)}"
        )


def complete(connection: Connection, table: Table, owner: str, *, create: bool) -> None:
    """Add the declared columns that a reflected table lacks; raise ConfigurationError if that is not wanted."""
    wanted = table.info.get(ADDED, ())
    if not wanted:
        return
    there = {str(column["name"]) for column in inspect(connection).get_columns(table.name, table.schema)}
    for name in wanted:
        column = table.c[name]
        if column.name in there:
            continue
        if not create:
            raise ConfigurationError(
                f"{owner}.{name}: table {table.key!r} has no column {name!r}, and create_tables=False forbids to add it"
            )
        _add(connection, table, column, owner)


def _add(connection: Connection, table: Table, column: Column[Any], owner: str) -> None:
    """Send ``ALTER TABLE ... ADD COLUMN`` and the indexes of the column; raise ConfigurationError if it fails."""
    dialect = connection.dialect
    prepare = dialect.identifier_preparer
    default = ddl_default(column, dialect)
    twin = Column(
        column.name,
        column.type,
        nullable=bool(column.nullable),
        server_default=None if default is None else literal_column(default),
    )
    Table(table.name, MetaData(), twin, schema=table.schema)
    references = "".join(
        f" REFERENCES {prepare.format_table(key.column.table)} ({prepare.quote(key.column.name)})"
        for key in column.foreign_keys
    )
    definition = str(CreateColumn(twin).compile(dialect=dialect))
    addition = f"ALTER TABLE {prepare.format_table(table)} ADD COLUMN {definition}{references}"
    addition = single_percents(addition, dialect)
    statements: list[Any] = [DDL(addition.replace("%", "%%"))]  # type: ignore[no-untyped-call]  # it formats
    if column.unique or column.index:
        index = Index(f"{'uq' if column.unique else 'ix'}_{table.name}_{column.name}", twin, unique=bool(column.unique))
        statements.append(CreateIndex(index))
    try:
        for statement in statements:
            connection.execute(statement)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        reason = f"can't be added to table {table.key!r}: {error.orig}"
        raise ConfigurationError(f"{owner}.{column.key}: {reason}") from error


def point_out_missing(inspector: Inspector, plan: Plan) -> None:
    """Log a warning for columns that the database's table lacks: it is older than the class, and we change none."""
    table = plan.table
    there = {str(column["name"]) for column in inspector.get_columns(table.name, table.schema)}
    lacking = [str(column.name) for column in table.columns if column.name not in there]
    if lacking:
        logger.warning(
            "%s: table %r has no column %s: every request fails until a migration adds it",
            plan.endpoint.__name__,
            table.key,
            ", ".join(map(repr, lacking)),
        )


def point_out_orderings(inspector: Inspector, plan: Plan) -> None:
    """Log a warning for fields that paginated lists may be ordered by without an index to read them from.

    Not for tables that are served because they are there: nobody chose what their lists may be ordered by.
    """
    ordering, table = plan.filters.ordered_by, plan.table
    if not ordering or plan.pagination is None or ADOPTED in table.info:
        return
    indexes = inspector.get_indexes(table.name, table.schema)
    constraints = inspector.get_unique_constraints(table.name, table.schema)
    columns: list[Any] = [each["column_names"] for each in (*indexes, *constraints)]
    leading = {plan.key[0], *(names[0] for names in columns if names)}
    lacking = [name for name in ordering if name not in leading]
    if lacking:
        logger.warning(
            "%s: no index of table %r begins with %s: every page ordered by it sorts the whole table; "
            "an index on (%s, %s) serves it, and one on (%s DESC, %s) serves it descending",
            plan.endpoint.__name__,
            table.key,
            ", ".join(map(repr, lacking)),
            *(lacking[0], ", ".join(plan.key)) * 2,
        )
