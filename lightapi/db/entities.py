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

from lightapi.db.crud import Change, Row, Scope, within
from lightapi.db.mapping import KEPT, utcnow
from lightapi.exceptions import InvalidInput, NotFound, VersionConflict

if TYPE_CHECKING:
    from lightapi.plan import Plan

__all__ = ["create", "destroy", "has_listeners", "retrieve", "session_on", "update_row", "values_of"]

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
def session_on(connection: Connection) -> Iterator[Session]:
    """Open a Session that joins the connection's transaction and never ends it."""
    session = Session(connection, join_transaction_mode="rollback_only", expire_on_commit=False, autoflush=True)
    try:
        yield session
        session.flush()
    finally:
        session.close()


def attribute(plan: Plan, name: str) -> str:
    """Return the attribute of the class that holds a column."""
    return plan.attributes.get(name, name)


def values_of(plan: Plan, entity: Any) -> Row:
    """Return every column of an entity."""
    return {name: getattr(entity, attribute(plan, name)) for name in plan.names}


def retrieve(connection: Connection, plan: Plan, key: tuple[Any, ...], scope: Scope = None) -> Row:
    """Return one row; raise NotFound."""
    with session_on(connection) as session:
        return values_of(plan, _find(session, plan, key, scope))


def _find(session: Session, plan: Plan, key: tuple[Any, ...], scope: Scope) -> Any:
    statements = plan.statements
    statement: Select[Any] = within(select(plan.endpoint).where(statements.is_key), plan, scope)
    entity = session.execute(statement, statements.key_parameters(key)).scalar_one_or_none()
    if entity is None:
        raise NotFound
    return entity


def create(connection: Connection, plan: Plan, values: Mapping[str, Any]) -> Row:
    """Insert an entity and return it as the database stored it."""
    with session_on(connection) as session:
        entity = plan.endpoint()
        _assign(plan, entity, values)
        session.add(entity)
        session.flush()
        session.refresh(entity)
        return values_of(plan, entity)


def _assign(plan: Plan, entity: Any, values: Mapping[str, Any]) -> None:
    """Set columns; what a ``@validates`` method refuses as pydantic's validators do is the client's mistake."""
    for name, value in values.items():
        try:
            setattr(entity, attribute(plan, name), value)
        except (ValueError, AssertionError) as error:
            kind = "value_error" if isinstance(error, ValueError) else "assertion_error"
            said = f"{kind.replace('_', ' ').capitalize()}, {error}"
            raise InvalidInput([{"type": kind, "loc": [name], "msg": said}]) from error


def update_row(connection: Connection, plan: Plan, key: tuple[Any, ...], change: Change, scope: Scope = None) -> Row:
    """Change an entity if it still has the expected version; raise VersionConflict or NotFound."""
    with session_on(connection) as session:
        entity = _find(session, plan, key, scope)
        if plan.versioned and entity.version != change.version:
            raise VersionConflict
        _assign(plan, entity, change.values)
        for name in change.reset:
            setattr(entity, attribute(plan, name), plan.statements.server_default(name))
        if "updated_at" in plan.table.info[KEPT]:
            entity.updated_at = utcnow()
        try:
            session.flush()
        except StaleDataError as error:
            raise VersionConflict from error
        session.refresh(entity)
        return values_of(plan, entity)


def destroy(connection: Connection, plan: Plan, key: tuple[Any, ...], scope: Scope = None) -> None:
    """Delete an entity; raise NotFound."""
    with session_on(connection) as session:
        session.delete(_find(session, plan, key, scope))
        session.flush()
