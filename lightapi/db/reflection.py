"""Read a table of the database: its columns, its key, and what they are to an API."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    FetchedValue,
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

from lightapi.db.catalog import Catalog
from lightapi.db.engine import missing_file
from lightapi.db.legacy import AnyMoment
from lightapi.db.mapping import KEPT, column_of, ddl_default, utcnow
from lightapi.db.meaning import Meaning, contradict, meaning_of, stored_type
from lightapi.db.outside import read_database
from lightapi.db.references import foreign_keys
from lightapi.db.sqlite_tables import is_rowid, sqlite_unique, written_types
from lightapi.db.store import Store
from lightapi.db.tolerant import read_tolerantly
from lightapi.declaration import MAINTAINED, FieldSpec, Shape, column_spec
from lightapi.exceptions import ConfigurationError, nearest
from lightapi.keys import PART, WHOLE
from lightapi.operators import INCOMPARABLE

__all__ = ["ADDED", "ADOPTED", "REFLECTED", "Reflection", "TableReader", "reflected"]

REFLECTED = "lightapi.reflected"
"""Key of ``Table.info``: the Reflection of a table that we never create."""

ADDED = "lightapi.added"
"""Key of ``Table.info``: the declared columns that the database's table lacks."""

ADOPTED = "lightapi.adopted"
"""Key of ``Table.info``: set where a whole database is served, whatever it holds."""


@dataclass(frozen=True, kw_only=True)
class Reflection:
    """A table of the database as an endpoint's."""

    table: Table
    shape: Shape
    key: tuple[str, ...]
    writable: bool
    """False for views, and for tables whose rows no key tells apart."""
    retrievable: bool = True
    """False where ``key`` only puts rows in order: all columns of a view for which nobody named a key."""


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
    reader = TableReader(owner, name, schema, store.dialect, declared)

    def read(connection: Connection) -> Reflection:
        return reader.read(connection, inspect(connection), metadata, primary_key)

    missing = missing_file(store.lanes.base.url)
    if missing is not None:
        # Connecting would make an empty one.
        raise ConfigurationError(
            f"{owner}: table {reader.full_name!r} does not exist: there is no file {str(missing)!r}"
        )
    read_tolerantly(store.lanes.base)
    try:
        return read_database(store, read)
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


class TableReader:
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

    def read(
        self,
        connection: Connection,
        inspector: Inspector | Catalog,
        metadata: MetaData,
        primary_key: Sequence[str],
        *,
        keyless_views: bool = False,
    ) -> Reflection:
        """Return the table, in the metadata, and what it is; ``keyless_views`` may be read as lists."""
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
        is_view = self._is_view(inspector)
        keyless = keyless_views and is_view and not (primary_key or real_key)
        key = self._order(found) if keyless else self._key(primary_key or real_key, found)
        writable = not is_view and (key == tuple(real_key) or self._is_unique(connection, inspector, key))
        auto = self._is_automatic(connection, key, found) if writable else None
        kept = [name for name in MAINTAINED if name in found and name not in key and self._keeps(name, found[name])]
        specs = self._specs(found, () if keyless else key, kept)
        columns = [*(self._column(column, key, kept, auto) for column in found.values()), *self._added(found)]
        references = [] if is_view else foreign_keys(inspector, self._name, self._schema, sqlite=self._sqlite)
        table = Table(self._name, metadata, *columns, *references, schema=self._schema)
        shape = _shape(specs, (*key, *map(str, real_key)), kept, self._read_only(found, auto), key)
        reflection = Reflection(table=table, shape=shape, key=key, writable=writable, retrievable=not keyless)
        table.info[KEPT] = tuple(kept)
        table.info[REFLECTED] = reflection
        table.info[ADDED] = tuple(name for name in self._declared if name not in found)
        return reflection

    def _has_table(self, inspector: Inspector | Catalog) -> bool:
        known = self._schema is None or self._schema in inspector.get_schema_names()
        return known and inspector.has_table(self._name, self._schema)

    def _check_schema(self, inspector: Inspector | Catalog) -> None:
        schemas = inspector.get_schema_names()
        if self._schema is not None and self._schema not in schemas:
            raise ConfigurationError(
                f"{self._owner}: table {self.full_name!r} does not exist: there is no schema {self._schema!r}"
                f"{nearest(self._schema, schemas)}"
            )

    def _is_view(self, inspector: Inspector | Catalog) -> bool:
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

    def _order(self, found: Mapping[str, Any]) -> tuple[str, ...]:
        """Return every column that rows can be put in order by: what they are paged by without a key."""
        names = tuple(name for name, column in found.items() if self._meaning(column).kind not in INCOMPARABLE)
        if not names:
            raise ConfigurationError(f"{self._owner}: table {self.full_name!r} has no column to order its rows by")
        return names

    def _is_unique(self, connection: Connection, inspector: Inspector | Catalog, key: tuple[str, ...]) -> bool:
        if self._sqlite:
            return any(set(names) == set(key) for names in sqlite_unique(connection, self._name, self._schema))
        constraints = inspector.get_unique_constraints(self._name, self._schema)
        indexes = inspector.get_indexes(self._name, self._schema)
        sets: list[list[Any]] = [[*each["column_names"]] for each in constraints]
        sets += [[*each["column_names"]] for each in indexes if each["unique"] and not each.get("dialect_options")]
        return any(set(names) == set(key) for names in sets)

    def _is_automatic(self, connection: Connection, key: tuple[str, ...], found: Mapping[str, Any]) -> str | None:
        """Return the integer key column that the database fills in by itself, if there is one."""
        name = key[0]
        column = found[name]
        if len(key) > 1 or self._meaning(column).kind != "int":
            return None
        if not self._sqlite:
            return name if column.get("identity") or "nextval(" in str(column.get("default") or "") else None
        return name if is_rowid(connection, self._name, self._schema, name) else None

    def _forget_guesses(self, connection: Connection, found: Mapping[str, dict[str, Any]]) -> None:
        """Take columns of types that SQLite never heard of for what they are: columns that hold anything."""
        written = written_types(connection, self._name, self._schema)
        for name, column in found.items():
            if isinstance(column["type"], Numeric) and not _NUMBER.match(written.get(name, "NUMERIC")):
                column["type"] = NullType()

    def _keeps(self, name: str, column: Mapping[str, Any]) -> bool:
        """Tell whether a column is what its name says, so that we keep it."""
        if column.get("computed"):
            return False
        kind = self._meaning(column).kind
        if name == "version":
            return kind == "int"
        return kind == "datetime" or (self._sqlite and kind == "str")

    def _meaning(self, column: Mapping[str, Any]) -> Meaning:
        found = meaning_of(column["type"], sqlite=self._sqlite)
        if isinstance(found.type, JSON) and not column.get("nullable", True):
            return found._replace(type=type(found.type)(none_as_null=False))  # null is a value there, or nothing
        return found

    def _specs(
        self, found: Mapping[str, Mapping[str, Any]], key: tuple[str, ...], kept: Sequence[str]
    ) -> dict[str, FieldSpec]:
        """Return the columns in answer order: the key, the others, declared ones, those that we keep."""
        names = [*key, *(name for name in found if name not in key and name not in kept)]
        specs = {}
        for number, name in enumerate(names):
            declared = self._declared.get(name)
            if declared is None:
                in_path = () if name not in key else WHOLE if key == (name,) else PART
                specs[name] = self._spec(number, name, found[name], in_path)
            else:
                self._check(declared, found[name])
                specs[name] = declared
        added = {name: spec for name, spec in self._declared.items() if name not in specs}
        return {**specs, **added, **{name: MAINTAINED[name] for name in kept}}

    def _spec(self, number: int, name: str, column: Mapping[str, Any], in_path: tuple[Any, ...]) -> FieldSpec:
        meaning = self._meaning(column)
        default = column.get("default") if column.get("default") is not None else column.get("identity")
        return column_spec(
            name,
            number,
            kind=meaning.kind,
            python=meaning.python,
            constraints=(*meaning.constraints, *(in_path if meaning.python is str else ())),
            bounds=meaning.bounds,
            places=meaning.places,
            nullable=bool(column["nullable"]) and not in_path,
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


_NUMBER = re.compile(r"NUM|DEC|FIXED|MONEY|REAL|FLOA|DOUB")


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
