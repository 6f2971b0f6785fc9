"""The five database functions again, through an ORM Session.

For endpoints whose mapper has listeners or validators, and for querysets that select more than
the endpoint's own columns. The Session joins the connection's transaction and never ends it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, inspect, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from lightapi.db.crud import Change, Row, Scope, key_within, keys_of
from lightapi.db.mapping import utcnow
from lightapi.exceptions import NotFound, VersionConflict

if TYPE_CHECKING:
    from lightapi.plan import Plan

__all__ = ["create", "destroy", "has_listeners", "list_rows", "retrieve", "update_row"]

_MAPPER_EVENTS = (
    *("before_insert", "after_insert", "before_update", "after_update"),
    *("before_delete", "after_delete"),
)
_INSTANCE_EVENTS = ("load", "refresh")
_ATTRIBUTE_EVENTS = ("set", "append", "remove", "modified")


def has_listeners(cls: type) -> bool:
    """Return True when somebody listens to this mapped class, or validates its attributes."""
    mapper: Any = inspect(cls)
    manager = mapper.class_manager
    return (
        bool(mapper.validators)
        or any(bool(getattr(mapper.dispatch, name)) for name in _MAPPER_EVENTS)
        or any(bool(getattr(manager.dispatch, name)) for name in _INSTANCE_EVENTS)
        or any(
            bool(getattr(manager[column.key].impl.dispatch, name))
            for column in mapper.column_attrs
            for name in _ATTRIBUTE_EVENTS
        )
    )


@contextmanager
def _session(connection: Connection) -> Iterator[Session]:
    session = Session(connection, join_transaction_mode="rollback_only", expire_on_commit=False, autoflush=True)
    try:
        yield session
        session.flush()
    finally:
        session.close()


def _values(plan: Plan, entity: Any) -> Row:
    return {name: getattr(entity, name) for name in plan.names}


def list_rows(connection: Connection, plan: Plan, statement: Any) -> list[Row]:
    """Return the rows of any select: entities become their fields, labels their own keys."""
    if statement is None:
        statement = select(plan.endpoint)
    with _session(connection) as session:
        result = session.execute(_ordered(plan, statement))
        # An aliased entity has no name, and Result.keys() leaves it out.
        described = [each["name"] for each in getattr(statement, "column_descriptions", ())]
        names = described or list(result.keys())
        return [_row(plan, names, row) for row in result.all()]


def _ordered(plan: Plan, statement: Any) -> Any:
    """Put the key behind the statement's own order, where there is one row per key."""
    if not isinstance(statement, Select) or statement._group_by_clauses or statement._distinct_on:
        return statement
    key = key_within(plan, statement)
    if key is not plan.statements.key or plan.table in statement.get_final_froms():
        return statement.order_by(key)
    return statement


def _row(plan: Plan, names: list[Any], row: Any) -> Row:
    values: Row = {}
    for name, value in zip(names, row, strict=True):
        if isinstance(value, plan.endpoint):
            values = {**_values(plan, value), **values}
        else:
            values[str(name)] = value
    return values


def retrieve(connection: Connection, plan: Plan, key: Any, scope: Scope = None) -> Row:
    """Return one row; raise NotFound."""
    with _session(connection) as session:
        return _values(plan, _find(session, plan, key, scope))


def _find(session: Session, plan: Plan, key: Any, scope: Scope) -> Any:
    column = plan.statements.key
    statement: Select[Any] = select(plan.endpoint).where(column == key)
    if scope is not None:
        statement = statement.where(column.in_(keys_of(plan, scope)))
    entity = session.execute(statement).scalar_one_or_none()
    if entity is None:
        raise NotFound
    return entity


def create(connection: Connection, plan: Plan, values: Mapping[str, Any]) -> Row:
    """Insert an entity and return it as the database stored it."""
    with _session(connection) as session:
        entity = plan.endpoint(**values)
        session.add(entity)
        session.flush()
        session.refresh(entity)
        return _values(plan, entity)


def update_row(connection: Connection, plan: Plan, key: Any, change: Change, scope: Scope = None) -> Row:
    """Change an entity if it still has the expected version; raise VersionConflict or NotFound."""
    with _session(connection) as session:
        entity = _find(session, plan, key, scope)
        if entity.version != change.version:
            raise VersionConflict
        for name, value in change.values.items():
            setattr(entity, name, value)
        for name in change.reset:
            setattr(entity, name, plan.statements.server_default(name))
        entity.updated_at = utcnow()
        try:
            session.flush()
        except StaleDataError as error:
            raise VersionConflict from error
        session.refresh(entity)
        return _values(plan, entity)


def destroy(connection: Connection, plan: Plan, key: Any, scope: Scope = None) -> None:
    """Delete an entity; raise NotFound."""
    with _session(connection) as session:
        session.delete(_find(session, plan, key, scope))
        session.flush()
