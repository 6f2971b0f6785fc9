"""What a database says of all its tables, asked once: for reading many of them without a query for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Inspector, inspect, text
from sqlalchemy.engine.reflection import ObjectKind
from sqlalchemy.exc import DBAPIError, NoSuchTableError

from lightapi.config import VERBS

__all__ = ["Catalog", "Relation", "catalog_of", "relations"]


class Relation(NamedTuple):
    """A table or view of the database."""

    schema: str | None
    """As it was asked for; None: the connection's own."""
    name: str
    internal: bool = False
    """True for what belongs to the database or an extension, and for the partitions of a table."""
    verbs: frozenset[str] = frozenset(VERBS)
    """The verbs for which the connected user has the privileges."""

    @property
    def full_name(self) -> str:
        """Return the name with its schema, as metadata spells it."""
        return f"{self.schema}.{self.name}" if self.schema else self.name


class Catalog:
    """Those methods of SQLAlchemy's ``Inspector`` that reading a table needs, answered for a whole schema at once."""

    def __init__(self, connection: Connection) -> None:
        self._inspector = inspect(connection)
        self._answers: dict[tuple[str, str | None], Mapping[Any, Any]] = {}

    def get_schema_names(self) -> list[str]:
        """Return all schemas."""
        return self._inspector.get_schema_names()

    def get_table_names(self, schema: str | None = None) -> list[str]:
        """Return the tables of a schema."""
        return self._inspector.get_table_names(schema)

    def get_view_names(self, schema: str | None = None) -> list[str]:
        """Return the views of a schema."""
        return self._inspector.get_view_names(schema)

    def get_materialized_view_names(self, schema: str | None = None) -> list[str]:
        """Return the materialized views of a schema."""
        return self._inspector.get_materialized_view_names(schema)

    def has_table(self, name: str, schema: str | None = None) -> bool:
        """Tell whether there is a table or view of that name."""
        return (schema, name) in self._all("columns", schema)

    def get_columns(self, name: str, schema: str | None = None) -> list[Any]:
        """Return the columns of a table or view."""
        columns = self._all("columns", schema).get((schema, name))
        if columns is None:
            raise NoSuchTableError(name)
        return list(columns)

    def get_pk_constraint(self, name: str, schema: str | None = None) -> Any:
        """Return the primary key of a table; one of no columns where it has none."""
        return self._all("pk_constraint", schema).get((schema, name)) or {"constrained_columns": [], "name": None}

    def get_foreign_keys(self, name: str, schema: str | None = None) -> list[Any]:
        """Return the foreign keys of a table."""
        return list(self._all("foreign_keys", schema).get((schema, name), ()))

    def get_unique_constraints(self, name: str, schema: str | None = None) -> list[Any]:
        """Return the unique constraints of a table."""
        return list(self._all("unique_constraints", schema).get((schema, name), ()))

    def get_indexes(self, name: str, schema: str | None = None) -> list[Any]:
        """Return the indexes of a table."""
        return list(self._all("indexes", schema).get((schema, name), ()))

    def _all(self, what: str, schema: str | None) -> Mapping[Any, Any]:
        if (what, schema) not in self._answers:
            ask = getattr(self._inspector, f"get_multi_{what}")
            self._answers[what, schema] = ask(schema=schema, kind=ObjectKind.ANY)
        return self._answers[what, schema]


def catalog_of(connection: Connection) -> Inspector | Catalog:
    """Return what answers for many tables: SQLite's are asked one by one, without a way to anywhere."""
    return inspect(connection) if connection.dialect.name == "sqlite" else Catalog(connection)


def relations(connection: Connection, catalog: Inspector | Catalog, schemas: Sequence[str | None]) -> list[Relation]:
    """Return the tables and views of the schemas, sorted by name in each."""
    postgres = connection.dialect.name == "postgresql"
    found = []
    for schema in schemas:
        names = {*catalog.get_table_names(schema), *catalog.get_view_names(schema)}
        if postgres:
            names |= {*catalog.get_materialized_view_names(schema)}
            known = _on_postgres(connection, schema)
        else:
            known = {name: Relation(schema, name, internal=True) for name in _shadows(connection)}
        found += [known.get(name) or Relation(schema, str(name)) for name in sorted(names)]
    return found


_ON_POSTGRES = text("""
    SELECT c.relname,
        c.relispartition OR EXISTS (
            SELECT FROM pg_depend d
            WHERE d.classid = CAST('pg_class' AS regclass) AND d.objid = c.oid AND d.deptype = 'e'
        ),
        has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'INSERT'),
        has_table_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'DELETE')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND CASE
        WHEN CAST(:schema AS text) IS NULL THEN pg_table_is_visible(c.oid) AND n.nspname <> 'pg_catalog'
        ELSE n.nspname = :schema
    END
""")


def _on_postgres(connection: Connection, schema: str | None) -> dict[str, Relation]:
    """Return what PostgreSQL knows of each relation: whether it is internal, and what the user may do."""
    known = {}
    for name, internal, reads, inserts, updates, deletes in connection.execute(_ON_POSTGRES, {"schema": schema}):
        allowed = {"GET": reads, "POST": inserts, "PUT": updates, "PATCH": updates, "DELETE": deletes}
        verbs = frozenset(verb for verb in VERBS if reads and allowed[verb])
        known[str(name)] = Relation(schema, str(name), internal=bool(internal), verbs=verbs)
    return known


def _shadows(connection: Connection) -> list[str]:
    """Return the tables in which SQLite's virtual tables keep their rows; releases before 3.37 don't tell."""
    try:
        rows = connection.exec_driver_sql("PRAGMA table_list").all()
    except DBAPIError:
        return []
    return [str(row[1]) for row in rows if row[2] == "shadow"]
