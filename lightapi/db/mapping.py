"""Turn the fields of a class into a Table, and map the class onto it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    Unicode,
    UnicodeText,
    Uuid,
    func,
    literal,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import SAWarning, SQLAlchemyError
from sqlalchemy.orm import registry
from sqlalchemy.sql.schema import ScalarElementColumnDefault
from sqlalchemy.types import TypeEngine

from lightapi.db import types
from lightapi.declaration import FieldSpec
from lightapi.exceptions import ConfigurationError, nearest

__all__ = [
    "KEPT",
    "NAMING",
    "column_of",
    "ddl_default",
    "is_provable",
    "make_table",
    "map_class",
    "single_percents",
    "utcnow",
]

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Every constraint has a name, so that migration tools can find it again."""


KEPT = "lightapi.kept"
"""Key of ``Table.info``: those of version, created_at and updated_at that we keep."""


def utcnow() -> datetime:
    """Return the present instant, aware, in UTC."""
    return datetime.now(timezone.utc)


def _literal_type(spec: FieldSpec) -> TypeEngine[Any]:
    numbers = all(type(value) is int for value in spec.storage.python.__args__)
    return Integer() if numbers else String()


_TYPES: dict[str, Callable[[FieldSpec], TypeEngine[Any]]] = {
    "str": lambda spec: String(spec.storage.details.get("max_length")),
    "int": lambda spec: Integer(),
    "float": lambda spec: Float(),
    "bool": lambda spec: Boolean(),
    "datetime": lambda spec: types.UTCDateTime(),
    "date": lambda spec: Date(),
    "time": lambda spec: Time(),
    "timedelta": lambda spec: types.Duration(),
    "decimal": lambda spec: types.ExactNumeric(
        spec.storage.details.get("max_digits"), spec.storage.details.get("places")
    ),
    "uuid": lambda spec: Uuid(),
    "bytes": lambda spec: LargeBinary(),
    "enum": lambda spec: types.EnumValue(spec.storage.python),
    "literal": _literal_type,
    "json": lambda spec: types.JSONDocument(),
    "text": lambda spec: types.Text(),
}


_PLAIN_TYPES = (BigInteger, SmallInteger, Integer, String, Text, Unicode, UnicodeText)


def is_provable(specs: Mapping[str, FieldSpec]) -> bool:
    """Return True when every stored value is certain to serialise."""
    return all(
        spec.storage.kind != "custom" and (spec.storage.sa_type is None or type(spec.storage.sa_type) in _PLAIN_TYPES)
        for spec in specs.values()
    )


def make_table(
    owner: str, name: str, specs: Mapping[str, FieldSpec], metadata: MetaData, schema: str | None = None
) -> Table:
    """Create the Table of one endpoint in the app's MetaData.

    Raises ConfigurationError when the name is taken, or a column can't be built.
    """
    if (f"{schema}.{name}" if schema else name) in metadata.tables:
        raise ConfigurationError(
            f"{owner}: the table {name!r} belongs to another endpoint of this app; set Meta.table to another name"
        )
    columns: list[Column[Any]] = [Column("id", Integer, primary_key=True, autoincrement=True)]
    columns.extend(column_of(owner, spec) for spec in specs.values())
    columns.append(Column("version", Integer, nullable=False, default=1, server_default=text("1")))
    now = func.current_timestamp()
    columns.append(Column("created_at", types.UTCDateTime, default=utcnow, server_default=now))
    columns.append(Column("updated_at", types.UTCDateTime, default=utcnow, onupdate=utcnow, server_default=now))
    # Without it SQLite gives the id of a deleted row to the next: what was meant for the one would meet the other.
    table = Table(name, metadata, *columns, schema=schema, sqlite_autoincrement=True)
    table.info[KEPT] = ("version", "created_at", "updated_at")
    return table


def column_of(owner: str, spec: FieldSpec) -> Column[Any]:
    """Return the column of a declared field; raise ConfigurationError naming it."""
    options = spec.options
    keys = [ForeignKey(options["foreign_key"])] if "foreign_key" in options else []
    kind = spec.storage.sa_type or _TYPES[spec.storage.kind](spec)
    arguments: dict[str, Any] = {
        "nullable": spec.storage.nullable,
        "unique": options.get("unique") or None,
        "index": options.get("index") or None,
        "server_default": options.get("server_default"),
    }
    if not spec.info.is_required():
        factory = spec.info.default_factory
        arguments["default"] = factory if factory is not None else spec.info.default
    try:
        return Column(spec.name, kind, *keys, **arguments)
    except (SQLAlchemyError, TypeError) as error:
        raise ConfigurationError(f"{owner}.{spec.name}: {error}") from error


def ddl_default(column: Column[Any], dialect: Dialect) -> str | None:
    """Return the SQL with which the database can fill the column of rows that are there already."""
    given: Any = getattr(column.server_default, "arg", None)
    if given is None and isinstance(column.default, ScalarElementColumnDefault):
        given = literal(column.default.arg, column.type)
    if given is None or isinstance(given, str):
        return None if given is None else "'" + given.replace("'", "''") + "'"
    try:
        return single_percents(str(given.compile(dialect=dialect, compile_kwargs={"literal_binds": True})), dialect)
    except (SQLAlchemyError, NotImplementedError):
        return None


def single_percents(statement: str, dialect: Dialect) -> str:
    """Return compiled SQL as it is sent without parameters: with them, some drivers want percent signs doubled."""
    return statement.replace("%%", "%") if dialect.paramstyle in ("format", "pyformat") else statement


def map_class(
    cls: type, table: Table, mapper_registry: registry, key: Sequence[str], attributes: Mapping[str, str]
) -> None:
    """Map ``cls`` onto its table; the version column also guards ORM flushes.

    ``attributes`` are the columns whose attribute has another name. Two classes may have one name: we look none up.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This declarative base already contains a class", SAWarning)
        mapper_registry.map_imperatively(
            cls,
            table,
            version_id_col=table.c.version if "version" in table.info[KEPT] else None,
            primary_key=[table.c[name] for name in key],
            properties={attribute: table.c[name] for name, attribute in attributes.items()},
        )


def check_foreign_keys(table: Table, owners: Mapping[str, str]) -> list[str]:
    """Return the names of referenced tables that no endpoint of the app has.

    Raises ConfigurationError when a registered table lacks the referenced column.
    """
    missing = []
    for key in table.foreign_keys:
        target, _, column = key.target_fullname.rpartition(".")
        other = table.metadata.tables.get(target)
        if other is None:
            missing.append(target)
        elif column not in other.c:
            names = list(other.c.keys())
            raise ConfigurationError(
                f"{owners[table.key]}.{key.parent.name}: foreign_key={key.target_fullname!r}: "
                f"the table {target!r} has no column {column!r}{nearest(column, names)}"
            )
    return missing
