"""Read a table of the database: its columns, its key, and what they are to an API."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    FetchedValue,
    ForeignKeyConstraint,
    Inspector,
    MetaData,
    Numeric,
    Table,
    inspect,
    literal_column,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, NoSuchTableError
from sqlalchemy.types import NullType

from lightapi.db.legacy import AnyMoment
from lightapi.db.mapping import KEPT, column_of, ddl_default, utcnow
from lightapi.db.meaning import Meaning, contradict, meaning_of, stored_type
from lightapi.db.outside import read_database
from lightapi.db.store import Store
from lightapi.declaration import MAINTAINED, FieldSpec, Shape, column_spec
from lightapi.exceptions import ConfigurationError, nearest

__all__ = ["ADDED", "MAY_ACT", "REFLECTED", "Reflection", "reflected"]

REFLECTED = "lightapi.reflected"
"""Key of ``Table.info``: the Reflection of a table that we never create."""

MAY_ACT = "lightapi.may_act"
"""Key of ``ForeignKeyConstraint.info``: True when the database may change rows by it, for all we know."""

ADDED = "lightapi.added"
"""Key of ``Table.info``: the declared columns that the database's table lacks."""


@dataclass(frozen=True, kw_only=True)
class Reflection:
    """A table of the database as an endpoint's."""

    table: Table
    shape: Shape
    key: tuple[str, ...]
    writable: bool
    """False for views, and for tables whose rows no key tells apart."""


def reflected(
    store: Store,
    owner: str,
    name: str,
    metadata: MetaData,
    *,
    schema: str | None,
    primary_key: Sequence[str],
    declared: Mapping[str, FieldSpec],
) -> Reflection:
    """Read a table and put it into the metadata, with the declared fields it lacks.

    Raises ConfigurationError when there is no such table, it has no key, or a declared field contradicts it.
    """
    reader = _Reader(owner, name, schema, store.dialect, declared)
    try:
        return read_database(store, lambda connection: reader.read(connection, metadata, primary_key))
    except NoSuchTableError:
        raise ConfigurationError(f"{owner}: table {reader.full_name!r} does not exist") from None
    except (
        DBAPIError,
        OSError,
        asyncio.TimeoutError,
        AssertionError,
    ) as error:  # SQLAlchemy asserts what it can't parse
        # Its text may hold the URL's host and user.
        raise ConfigurationError(
            f"{owner}: table {reader.full_name!r} can't be reflected: the database failed ({type(error).__name__})"
        ) from error


class _Reader:
    """The columns of one table, as they are read."""

    def __init__(
        self, owner: str, name: str, schema: str | None, dialect: Dialect, declared: Mapping[str, FieldSpec]
    ) -> None:
        self._owner = owner
        self._name = name
        self._schema = schema
        self._dialect = dialect
        self._sqlite = dialect.name == "sqlite"
        self._declared = declared
        self.full_name = f"{schema}.{name}" if schema else name

    def read(self, connection: Connection, metadata: MetaData, primary_key: Sequence[str]) -> Reflection:
        """Return the table, in the metadata, and what it is."""
        inspector = inspect(connection)
        if not self._has_table(inspector):
            self._check_schema(inspector)
            names = [*inspector.get_table_names(self._schema), *inspector.get_view_names(self._schema)]
            raise ConfigurationError(
                f"{self._owner}: table {self.full_name!r} does not exist{nearest(self._name, names)}"
            )
        found = {str(each["name"]): dict(each) for each in inspector.get_columns(self._name, self._schema)}
        if self._sqlite:
            self._forget_guesses(connection, found)
        real_key = inspector.get_pk_constraint(self._name, self._schema)["constrained_columns"]
        key = self._key(primary_key or real_key, found)
        is_view = self._is_view(inspector)
        writable = not is_view and (key == tuple(real_key) or self._is_unique(connection, inspector, key))
        auto = self._is_automatic(connection, key, found) if writable else None
        kept = [name for name in MAINTAINED if name in found and name not in key and self._keeps(name, found[name])]
        specs = self._specs(found, key, kept)
        table = Table(
            self._name,
            metadata,
            *(self._column(column, key, kept, auto) for column in found.values()),
            *self._added(found),
            *([] if is_view else self._foreign_keys(inspector)),
            schema=self._schema,
        )
        shape = _shape(specs, (*key, *map(str, real_key)), kept, self._read_only(found, auto), key)
        reflection = Reflection(table=table, shape=shape, key=key, writable=writable)
        table.info[KEPT] = tuple(kept)
        table.info[REFLECTED] = reflection
        table.info[ADDED] = tuple(name for name in self._declared if name not in found)
        return reflection

    def _has_table(self, inspector: Inspector) -> bool:
        known = self._schema is None or self._schema in inspector.get_schema_names()
        return known and inspector.has_table(self._name, self._schema)

    def _check_schema(self, inspector: Inspector) -> None:
        schemas = inspector.get_schema_names()
        if self._schema is not None and self._schema not in schemas:
            raise ConfigurationError(
                f"{self._owner}: table {self.full_name!r} does not exist: there is no schema {self._schema!r}"
                f"{nearest(self._schema, schemas)}"
            )

    def _is_view(self, inspector: Inspector) -> bool:
        views = inspector.get_view_names(self._schema)
        if self._dialect.name == "postgresql":
            views = [*views, *inspector.get_materialized_view_names(self._schema)]
        return self._name in views

    def _key(self, wanted: Sequence[str], found: Mapping[str, Any]) -> tuple[str, ...]:
        if not wanted:
            raise ConfigurationError(
                f"{self._owner}: table {self.full_name!r} has no primary key; name one with Meta.primary_key"
            )
        for name in wanted:
            if name not in found:
                raise ConfigurationError(
                    f"{self._owner}.Meta.primary_key: table {self.full_name!r} has no column {name!r}; "
                    f"allowed: {', '.join(found)}{nearest(name, found)}"
                )
        return tuple(str(name) for name in wanted)

    def _is_unique(self, connection: Connection, inspector: Inspector, key: tuple[str, ...]) -> bool:
        if self._sqlite:
            return any(set(names) == set(key) for names in self._sqlite_unique(connection))
        constraints = inspector.get_unique_constraints(self._name, self._schema)
        indexes = inspector.get_indexes(self._name, self._schema)
        sets: list[list[Any]] = [[*each["column_names"]] for each in constraints]
        sets += [[*each["column_names"]] for each in indexes if each["unique"] and not each.get("dialect_options")]
        return any(set(names) == set(key) for names in sets)

    def _sqlite_unique(self, connection: Connection) -> Iterator[list[str]]:
        """Return the columns of SQLite's unique indexes; SQLAlchemy misses those of types with a length."""
        quote = self._dialect.identifier_preparer.quote
        prefix = f"{quote(self._schema)}." if self._schema else ""
        for index in connection.exec_driver_sql(f"PRAGMA {prefix}index_list({quote(self._name)})").all():
            if index[2] and not index[4]:
                columns = connection.exec_driver_sql(f"PRAGMA {prefix}index_info({quote(index[1])})").all()
                yield [str(column[2]) for column in columns]

    def _is_automatic(self, connection: Connection, key: tuple[str, ...], found: Mapping[str, Any]) -> str | None:
        """Return the integer key column that the database fills in by itself, if there is one."""
        name = key[0]
        column = found[name]
        if len(key) > 1 or self._meaning(column).kind != "int":
            return None
        if not self._sqlite:
            return name if column.get("identity") or "nextval(" in str(column.get("default") or "") else None
        return name if self._is_rowid(connection, name) else None

    def _written_types(self, connection: Connection) -> dict[str, str]:
        """Return the types of SQLite's columns as they were written, in capitals."""
        quote = self._dialect.identifier_preparer.quote
        prefix = f"{quote(self._schema)}." if self._schema else ""
        rows = connection.exec_driver_sql(f"PRAGMA {prefix}table_xinfo({quote(self._name)})").all()
        return {str(row[1]): str(row[2]).upper() for row in rows}

    def _forget_guesses(self, connection: Connection, found: Mapping[str, dict[str, Any]]) -> None:
        """Take columns of types that SQLite never heard of for what they are: columns that hold anything."""
        written = self._written_types(connection)
        for name, column in found.items():
            if isinstance(column["type"], Numeric) and not _NUMBER.match(written.get(name, "NUMERIC")):
                column["type"] = NullType()

    def _is_rowid(self, connection: Connection, name: str) -> bool:
        """Tell whether a column is SQLite's row id: declared as INTEGER PRIMARY KEY, to the letter."""
        quote = self._dialect.identifier_preparer.quote
        prefix = f"{quote(self._schema)}." if self._schema else ""
        written = self._written_types(connection).get(name)
        source = connection.exec_driver_sql(
            f"SELECT sql FROM {prefix}sqlite_master WHERE type = 'table' AND lower(name) = lower(?)",  # noqa: S608  quoted
            (self._name,),
        ).scalar()
        return written == "INTEGER" and _NO_ROWID.search(source or "") is None

    def _keeps(self, name: str, column: Mapping[str, Any]) -> bool:
        """Tell whether a column is what its name says, so that we keep it."""
        if column.get("computed"):
            return False
        kind = self._meaning(column).kind
        if name == "version":
            return kind == "int"
        return kind == "datetime" or (self._sqlite and kind == "str")

    def _meaning(self, column: Mapping[str, Any]) -> Meaning:
        return meaning_of(column["type"], sqlite=self._sqlite)

    def _specs(
        self, found: Mapping[str, Mapping[str, Any]], key: tuple[str, ...], kept: Sequence[str]
    ) -> dict[str, FieldSpec]:
        """Return the columns in answer order: the key, the others, declared ones, those that we keep."""
        names = [*key, *(name for name in found if name not in key and name not in kept)]
        specs = {}
        for number, name in enumerate(names):
            declared = self._declared.get(name)
            if declared is None:
                specs[name] = self._spec(number, name, found[name], is_key=name in key)
            else:
                self._check(declared, found[name])
                specs[name] = declared
        added = {name: spec for name, spec in self._declared.items() if name not in specs}
        return {**specs, **added, **{name: MAINTAINED[name] for name in kept}}

    def _spec(self, number: int, name: str, column: Mapping[str, Any], *, is_key: bool) -> FieldSpec:
        meaning = self._meaning(column)
        default = column.get("default") if column.get("default") is not None else column.get("identity")
        return column_spec(
            name,
            number,
            kind=meaning.kind,
            python=meaning.python,
            constraints=meaning.constraints,
            bounds=meaning.bounds,
            places=meaning.places,
            nullable=bool(column["nullable"]) and not is_key,
            has_default=default is not None,
        )

    def _check(self, declared: FieldSpec, column: Mapping[str, Any]) -> None:
        kind = column_of(self._owner, declared).type
        if contradict(kind, column["type"], self._dialect):
            raise ConfigurationError(
                f"{self._owner}.{declared.name}: declared as {declared.annotation!r}, but the column of table "
                f"{self.full_name!r} is {column['type']!r}"
            )

    def _column(
        self, column: Mapping[str, Any], key: tuple[str, ...], kept: Sequence[str], auto: str | None
    ) -> Column[Any]:
        name = str(column["name"])
        options: dict[str, Any] = {"primary_key": name in key, "nullable": bool(column["nullable"])}
        if name in self._declared:
            ours = column_of(self._owner, self._declared[name])
            ours.nullable = options["nullable"]
            meaning = self._meaning(column)
            ours.type = stored_type(self._declared[name], ours.type, meaning, sqlite=self._sqlite)
            return ours
        kind: Any = self._meaning(column).type
        if name in kept:
            kind = kind if name == "version" or not self._sqlite else AnyMoment()
            options["default"] = 1 if name == "version" else utcnow
            options["onupdate"] = utcnow if name == "updated_at" else None
        if column.get("computed") or column.get("identity"):
            options["server_default"] = FetchedValue()
        elif column.get("default") is not None:
            options["server_default"] = literal_column(str(column["default"]))
        return Column(column["name"], kind, autoincrement=name == auto, key=name, **options)

    def _added(self, found: Mapping[str, Any]) -> list[Column[Any]]:
        """Return the declared columns that the table lacks; NULL where they have no default the database knows."""
        added = []
        for name, spec in self._declared.items():
            if name not in found:
                column = column_of(self._owner, spec)
                column.nullable = column.nullable or ddl_default(column, self._dialect) is None
                added.append(column)
        return added

    def _read_only(self, found: Mapping[str, Mapping[str, Any]], auto: str | None) -> frozenset[str]:
        """Return the columns that no body can give."""
        return frozenset(
            name
            for name, column in found.items()
            if name == auto
            or column.get("computed")
            or (column.get("identity") or {}).get("always")
            or self._meaning(column).readable_only
        )

    def _foreign_keys(self, inspector: Inspector) -> list[ForeignKeyConstraint]:
        """Return the foreign keys whose targets are there; SQLite keeps those that point nowhere."""
        constraints = []
        for key in inspector.get_foreign_keys(self._name, self._schema):
            target = self._referred(inspector, key["referred_table"], key["referred_schema"], key["referred_columns"])
            if target:
                options = key.get("options", {})
                constraint = ForeignKeyConstraint(
                    key["constrained_columns"],
                    target,
                    name=key["name"],
                    ondelete=options.get("ondelete"),
                    onupdate=options.get("onupdate"),
                    # What SQLite's inline REFERENCES say about that is not read.
                    info={MAY_ACT: inspector.dialect.name == "sqlite"},
                )
                constraints.append(constraint)
        return constraints

    def _referred(self, inspector: Inspector, table: str, schema: str | None, columns: Sequence[str]) -> list[str]:
        """Return the columns a foreign key points at, spelt as they are; nothing where they can't be named."""
        tables = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
        found = next((name for name in tables if _same_name(name, table, sqlite=self._sqlite)), None)
        if found is None or "." in found:
            return []
        names = [str(column["name"]) for column in inspector.get_columns(found, schema)]
        spelt = [next((n for n in names if _same_name(n, name, sqlite=self._sqlite)), ".") for name in columns]
        prefix = f"{schema}.{found}" if schema else found
        return [] if any("." in name for name in spelt) else [f"{prefix}.{name}" for name in spelt]


def _same_name(one: str, other: str, *, sqlite: bool) -> bool:
    return one == other or (sqlite and one.lower() == other.lower())


_NUMBER = re.compile(r"NUM|DEC|FIXED|MONEY|REAL|FLOA|DOUB")
_NO_ROWID = re.compile(r"\)[^()]*\bWITHOUT\s+ROWID\b[^()]*\Z|\bINTEGER\s+PRIMARY\s+KEY\s+DESC\b", re.IGNORECASE)


def _shape(
    specs: Mapping[str, FieldSpec],
    fixed: tuple[str, ...],
    kept: Sequence[str],
    read_only: frozenset[str],
    key: tuple[str, ...],
) -> Shape:
    """``fixed`` are the columns of the key in use and of the table's own: what a row is called by never changes."""
    posted = tuple(name for name in specs if name not in kept and name not in read_only)
    return Shape(
        specs=specs,
        key=key,
        posted=posted,
        changed=tuple(name for name in posted if name not in fixed),
        automatic=frozenset(kept),
    )
