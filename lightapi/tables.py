"""The table of an endpoint: made from its fields, reflected from the database, or both; mapped once, shared by apps."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import ConfigDict
from sqlalchemy import MetaData, Table
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import InstrumentedAttribute, registry

from lightapi.db.mapping import make_table, map_class
from lightapi.db.reflection import ADDED, REFLECTED, Reflection, reflected
from lightapi.db.store import Store
from lightapi.declaration import Shape
from lightapi.exceptions import ConfigurationError
from lightapi.schema import Schemas, build_schemas
from lightapi.validators import check_validated

__all__ = ["Mapped", "mapped"]

_SOURCE = "lightapi.source"


class Mapped(NamedTuple):
    """What one app knows of a class's table."""

    table: Table
    shape: Shape
    schemas: Schemas


def mapped(endpoint: Any, mapper_registry: registry, store: Store) -> Mapped:
    """Return the class's table and shape: made and mapped by the first app that registers the class."""
    metadata = mapper_registry.metadata
    options, table = endpoint._options, endpoint.__dict__.get("__table__")
    if isinstance(table, Table):
        if metadata.tables.get(table.key) is table:
            return Mapped(table, endpoint._shape, endpoint._schemas)
        if REFLECTED in table.info:
            return _twin(endpoint, table, metadata, store)
        _copy_table(endpoint, table, metadata)
        return Mapped(table, endpoint._shape, endpoint._schemas)
    name = options.table or f"{endpoint.__name__.lower()}s"
    if options.reflect:
        table = _reflected(endpoint, name, metadata, store)
    else:
        check_table_name(endpoint, name, store.dialect)
        table = make_table(endpoint.__name__, name, endpoint._fields, metadata, options.schema)
    _map(endpoint, table, mapper_registry, store.dialect)
    return Mapped(table, endpoint._shape, endpoint._schemas)


def _reflected(endpoint: Any, name: str, metadata: MetaData, store: Store) -> Table:
    """Read a class's table from the database, and give the class its columns."""
    options = endpoint._options
    if options.reflect is True and endpoint._fields:
        raise ConfigurationError(
            f"{endpoint.__name__}.{next(iter(endpoint._fields))}: with Meta.reflect = True the table has the columns; "
            "set it to 'partial' to add some"
        )
    reflection = _read(endpoint, name, metadata, store)
    _refuse_writes(endpoint, name, reflection)
    endpoint.model_config = ConfigDict(
        **{"ser_json_bytes": "base64", "val_json_bytes": "base64", **getattr(endpoint, "model_config", {})}  # type: ignore[typeddict-item]
    )
    endpoint._attributes = _free_attributes(endpoint, reflection.shape.specs)
    check_validated(endpoint.__name__, endpoint._decorated, reflection.shape.specs)
    endpoint._shaped(reflection.shape, endpoint.model_config)
    return reflection.table


def _read(endpoint: Any, name: str, metadata: MetaData, store: Store) -> Reflection:
    """Return the reflection of a table, once per app: two endpoints may have the same one."""
    options = endpoint._options
    known = metadata.tables.get(f"{options.schema}.{name}" if options.schema else name)
    if known is None:
        reflection = reflected(
            store,
            endpoint.__name__,
            name,
            metadata,
            schema=options.schema,
            primary_key=options.primary_key,
            declared=endpoint._fields,
        )
        reflection.table.info[_SOURCE] = endpoint
        return reflection
    found: Reflection | None = known.info.get(REFLECTED)
    own = known.info.get(_SOURCE) is endpoint
    differs = endpoint._fields or (known.info.get(ADDED) or options.primary_key not in ((), getattr(found, "key", ())))
    if found is None or (differs and not own):
        raise ConfigurationError(
            f"{endpoint.__name__}: the table {known.key!r} belongs to another endpoint of this app"
        )
    return found


def _twin(endpoint: Any, table: Table, metadata: MetaData, store: Store) -> Mapped:
    """Reflect the table of a class that another app has mapped: this app's database may know other types.

    Raises ConfigurationError when the table is not there, or lacks a column of the mapped one.
    """
    reflection = _read(endpoint, table.name, metadata, store)
    lacking = [name for name in endpoint._shape.specs if name not in reflection.shape.specs]
    if lacking:
        raise ConfigurationError(
            f"{endpoint.__name__}: table {table.key!r} of this database has no column {lacking[0]!r}, "
            "which the class was mapped with"
        )
    forbid = endpoint._options.extra == "forbid"
    schemas = build_schemas(
        endpoint.__name__, reflection.shape, endpoint.model_config, forbid=forbid, decorated=endpoint._decorated
    )
    return Mapped(reflection.table, reflection.shape, schemas)


def _refuse_writes(endpoint: Any, name: str, reflection: Reflection) -> None:
    """Leave only GET where rows can't be written; raise ConfigurationError if the class asks for more."""
    if reflection.writable:
        return
    named = {base.__dict__["_verb"] for base in endpoint.__mro__ if "_verb" in base.__dict__}
    named.update(endpoint._options.methods)
    if named - {"GET"}:
        raise ConfigurationError(
            f"{endpoint.__name__}: {', '.join(sorted(named - {'GET'}))}: the table {name!r} is a view, or its key is "
            "not unique; allowed: GET"
        )
    endpoint._allowed_methods = {"GET"}


def _free_attributes(endpoint: Any, names: Iterable[str]) -> dict[str, str]:
    """Return new attribute names for columns that are called like an attribute of RestEndpoint."""
    taken = set(dir(endpoint)) | set(names)
    renamed = {}
    for name in names:
        attribute = name
        while _is_taken(endpoint, attribute) or (attribute != name and attribute in taken):
            attribute += "_"
        if attribute != name:
            renamed[name] = attribute
    return renamed


def _is_taken(endpoint: Any, name: str) -> bool:
    """Tell whether a name means something already; a column of a mapped base class does not."""
    found = inspect.getattr_static(endpoint, name, _NOTHING)
    return found is not _NOTHING and not isinstance(found, InstrumentedAttribute)


_NOTHING = object()


def _map(endpoint: Any, table: Table, mapper_registry: registry, dialect: Dialect) -> None:
    try:
        for name in endpoint._fields:
            _check_type(f"{endpoint.__name__}.{name}", table.c[name].type, dialect)
        map_class(endpoint, table, mapper_registry, endpoint._shape.key, endpoint._attributes)
    except SQLAlchemyError as error:
        table.metadata.remove(table)
        raise ConfigurationError(f"{endpoint.__name__}: {error}") from error
    except ConfigurationError:
        table.metadata.remove(table)
        raise
    endpoint.__table__ = table


def _check_type(where: str, column_type: Any, dialect: Dialect) -> None:
    try:
        column_type.compile(dialect=dialect)
    except Exception as error:
        # What a type of the user's, or one that is only a base of others, raises here is up to its author.
        name = type(column_type).__name__
        raise ConfigurationError(f"{where}: sa_type={name} can't be a column on {dialect.name}: {error}") from error


def check_table_name(endpoint: Any, name: str, dialect: Dialect) -> None:
    """Raise ConfigurationError for a name that the database can't give a table."""
    if len(name) > dialect.max_identifier_length or (dialect.name == "sqlite" and name.startswith("sqlite_")):
        raise ConfigurationError(f"{endpoint.__name__}.Meta.table: {name!r} can't name a table on {dialect.name}")


def _copy_table(endpoint: Any, table: Table, metadata: MetaData) -> None:
    """Put the table of a class that another app has mapped into this app's metadata, for its DDL."""
    copied = metadata.tables.get(table.key)
    if copied is None:
        table.to_metadata(metadata).info[_SOURCE] = table
    elif copied.info.get(_SOURCE) is not table:
        raise ConfigurationError(
            f"{endpoint.__name__}: the table {table.key!r} belongs to another endpoint of this app; "
            "set Meta.table to another name"
        )
