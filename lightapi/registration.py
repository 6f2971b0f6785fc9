"""Registration: map a class in an app and decide everything a request will need."""

from __future__ import annotations

import inspect
from datetime import datetime
from typing import Any
from urllib.parse import quote

from pydantic import ConfigDict
from pydantic_core import SchemaSerializer
from sqlalchemy import BigInteger, MetaData, SmallInteger, Table
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import registry

from lightapi.actions import PATH_CHARACTERS, integer_key
from lightapi.db.crud import Statements
from lightapi.db.mapping import is_provable, make_table, map_class
from lightapi.endpoint import RestEndpoint
from lightapi.exceptions import ConfigurationError
from lightapi.http.drive import is_async
from lightapi.plan import Plan
from lightapi.schema import answer_annotation, names_of, row_serializers, validator_of

__all__ = ["plan_of"]


_MOMENT = datetime | None


def plan_of(endpoint: Any, path: str, *, mapper_registry: registry, dialect: Dialect, base_url: str) -> Plan:
    """Map ``endpoint`` if nobody has, and return its plan in this app.

    Raises ConfigurationError when the class or the database can't serve it.
    """
    _check(endpoint, path, dialect)
    table = _mapped_table(endpoint, mapper_registry, dialect)
    fields = endpoint._fields
    names = names_of(fields)
    one, many = _serializers(endpoint)
    schemas = endpoint._schemas
    return Plan(
        endpoint=endpoint,
        path=path,
        quoted_path=quote(path, safe=PATH_CHARACTERS),
        base_url=base_url,
        table=table,
        key="id",
        parse_key=integer_key(_bits(table)),
        names=names,
        writable=tuple(fields),
        server_defaults=frozenset(n for n, spec in fields.items() if spec.uses_server_default),
        sqlite_decimals=tuple(
            n for n, spec in fields.items() if spec.storage.kind == "decimal" and dialect.name == "sqlite"
        ),
        create=validator_of(schemas.create),
        replacement=validator_of(schemas.replace),
        patch=validator_of(schemas.patch),
        one=one,
        many=many,
        statements=Statements(table, "id", names),
        provable=is_provable(fields),
        listened=False,
        scoped=endpoint._options.queryset_scope == "all",
        has_queryset=endpoint.queryset is not RestEndpoint.queryset,
        has_async_queryset=is_async(endpoint.queryset),
    )


def _check(endpoint: Any, path: str, dialect: Dialect) -> None:
    if not (inspect.isclass(endpoint) and issubclass(endpoint, RestEndpoint)):
        raise ConfigurationError(
            f"register(): {path or '/'!r}: {endpoint!r} given; allowed: a subclass of RestEndpoint"
        )
    if endpoint is RestEndpoint:
        raise ConfigurationError(f"register(): {path or '/'!r}: register a subclass of RestEndpoint")
    if not (dialect.insert_returning and dialect.update_returning and dialect.delete_returning):
        raise ConfigurationError(
            f"the database {dialect.name!r} has no INSERT, UPDATE and DELETE ... RETURNING; "
            "possible: PostgreSQL, SQLite 3.35 and later"
        )


def _serializers(endpoint: Any) -> tuple[SchemaSerializer, SchemaSerializer]:
    automatic = {"id": int, "version": int, "created_at": _MOMENT, "updated_at": _MOMENT}
    declared = {name: answer_annotation(spec) for name, spec in endpoint._fields.items()}
    return row_serializers({**automatic, **declared}, getattr(endpoint, "model_config", ConfigDict()))


_SOURCE = "lightapi.source"


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


def _bits(table: Table) -> int:
    kind = table.c.id.type
    return 64 if isinstance(kind, BigInteger) else 16 if isinstance(kind, SmallInteger) else 32


def _mapped_table(endpoint: Any, mapper_registry: registry, dialect: Dialect) -> Table:
    """Return the class's table: made and mapped by the first app that registers the class."""
    metadata = mapper_registry.metadata
    table = endpoint.__dict__.get("__table__")
    if isinstance(table, Table):
        if table.metadata is not metadata:
            _copy_table(endpoint, table, metadata)
        return table
    name = endpoint._options.table or f"{endpoint.__name__.lower()}s"
    if len(name) > dialect.max_identifier_length or (dialect.name == "sqlite" and name.startswith("sqlite_")):
        raise ConfigurationError(f"{endpoint.__name__}.Meta.table: {name!r} can't name a table on {dialect.name}")
    table = make_table(endpoint.__name__, name, endpoint._fields, metadata)
    try:
        for column in table.c:
            column.type.compile(dialect=dialect)
        map_class(endpoint, table, mapper_registry)
    except SQLAlchemyError as error:
        metadata.remove(table)
        raise ConfigurationError(f"{endpoint.__name__}: {error}") from error
    endpoint.__table__ = table
    return table
