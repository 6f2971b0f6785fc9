"""Registration: map a class in an app and decide everything a request will need."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from pydantic import ConfigDict
from sqlalchemy import Table
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import registry

from lightapi.actions import PATH_CHARACTERS
from lightapi.config import Authentication, overridden
from lightapi.db.crud import Statements
from lightapi.db.listing import Lists
from lightapi.db.mapping import is_provable
from lightapi.db.reflection import REFLECTED
from lightapi.db.sources import Source, table_source
from lightapi.db.store import Store
from lightapi.declaration import Shape
from lightapi.endpoint import RestEndpoint
from lightapi.exceptions import ConfigurationError, nearest
from lightapi.filters import Filters, filters_of
from lightapi.http.drive import is_async
from lightapi.keys import key_formatter, key_parser
from lightapi.options import Options
from lightapi.pagination import page_parameters
from lightapi.plan import Answers, Plan
from lightapi.problems import Problems
from lightapi.schema import answer_annotation, row_serializers, validator_of
from lightapi.tables import mapped

__all__ = ["listening", "plan_of"]


def plan_of(
    endpoint: Any,
    path: str,
    *,
    mapper_registry: registry,
    store: Store,
    options: Options,
) -> Plan:
    """Map ``endpoint`` if nobody has, and return its plan in this app.

    Raises ConfigurationError when the class or the database can't serve it.
    """
    dialect = store.dialect
    check_endpoint(endpoint, path, dialect)
    table, shape, schemas = mapped(endpoint, mapper_registry, store)
    meta = endpoint._options
    sqlite = dialect.name == "sqlite"
    names = tuple(shape.specs)
    pagination = meta.pagination if "pagination" in endpoint._meta else options.default_pagination
    authentication = overridden(options.default_authentication or Authentication(), meta.authentication)
    problems = Problems()
    with problems.collected():
        filters = filters_of(endpoint.__name__, meta.filtering, shape.specs, page_parameters(pagination), sqlite=sqlite)
    with problems.collected():
        read = _answers(endpoint, shape, "read", meta.serializer.shown_by_read)
        written = _answers(endpoint, shape, "write", meta.serializer.shown_by_write, read)
    problems.raise_all()
    source = table_source(table, shape.key, names, read.names, sqlite=sqlite)
    return Plan(
        endpoint=endpoint,
        path=path,
        quoted_path=quote(path, safe=PATH_CHARACTERS),
        base_url=options.site,
        table=table,
        key=shape.key,
        parse_key=key_parser([shape.specs[name] for name in shape.key], sqlite=sqlite),
        format_key=key_formatter(shape.key),
        deep=any(shape.specs[name].storage.kind in _WITH_SLASHES for name in shape.key),
        retrievable=getattr(table.info.get(REFLECTED), "retrievable", True),
        names=names,
        attributes=endpoint._attributes,
        read=read,
        written=written,
        posted=_held(shape, shape.posted),
        changed=_held(shape, shape.changed),
        versioned="version" in shape.automatic,
        server_defaults=frozenset(n for n, spec in shape.specs.items() if spec.uses_server_default),
        sqlite_decimals=tuple(n for n in shape.posted if sqlite and shape.specs[n].storage.kind == "decimal"),
        create=validator_of(schemas.create),
        replacement=validator_of(schemas.replace),
        patch=validator_of(schemas.patch),
        statements=Statements(table, shape.key, read.names, written.names, sqlite=sqlite),
        lists=_lists(source, filters, table, dialect),
        filters=filters,
        pagination=pagination,
        cursor_scope="\0".join((path, table.key, *names)),
        provable=is_provable({name: shape.specs[name] for name in shape.posted}),
        listened=False,
        scoped=meta.queryset_scope == "all",
        has_queryset=endpoint.queryset is not RestEndpoint.queryset,
        has_async_queryset=is_async(endpoint.queryset),
        authentication=meta.authentications(authentication),
    )


_WITH_SLASHES = ("str", "text", "opaque", "custom", "literal")


def listening(plan: Plan, dialect: Dialect, *, listened: bool) -> Plan:
    """Return the plan of an app that is built: whether anybody listens to the mapper is known only then."""
    if not listened:
        return plan
    source = table_source(plan.table, plan.key, plan.names, plan.names, sqlite=dialect.name == "sqlite")
    lists = _lists(source, plan.filters, plan.table, dialect)
    return replace(plan, listened=True, lists=lists)


def _held(shape: Shape, names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, shape.specs[name].attribute) for name in names)


def _lists(source: Source, filters: Filters, table: Table, dialect: Dialect) -> Lists:
    estimate_of = dialect.identifier_preparer.format_table(table) if dialect.name == "postgresql" else ""
    return Lists(source, searched=filters.search, sqlite=dialect.name == "sqlite", estimate_of=estimate_of)


def _answers(
    endpoint: Any, shape: Shape, use: str, shown: tuple[str, ...] | None, same: Answers | None = None
) -> Answers:
    """Return what a kind of verb answers, in the order of the columns; ``same`` where it holds the same names."""
    problems = Problems()
    for name in shown or ():
        with problems.collected():
            if name not in shape.specs:
                raise ConfigurationError(
                    f"{endpoint.__name__}.Meta.serializer: {use} names {name!r}, which is no field; "
                    f"allowed: {', '.join(shape.specs)}{nearest(name, shape.specs)}"
                )
    problems.raise_all()
    names = tuple(name for name in shape.specs if shown is None or name in shown)
    if same is not None and names == same.names:
        return same
    config = getattr(endpoint, "model_config", ConfigDict())
    one, many = row_serializers({name: answer_annotation(shape.specs[name]) for name in names}, config)
    return Answers(names=names, one=one, many=many)


def check_endpoint(endpoint: Any, path: str, dialect: Dialect) -> None:
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
