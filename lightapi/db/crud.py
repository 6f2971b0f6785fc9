"""The five database functions of an endpoint, in SQLAlchemy Core, over one Connection.

Sync engines call them in a thread, async engines inside a greenlet: they are written once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Delete,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    exists,
    insert,
    inspect,
    literal_column,
    select,
    update,
)
from sqlalchemy.orm import FromStatement
from sqlalchemy.sql.expression import SelectBase

from lightapi.db.mapping import utcnow
from lightapi.exceptions import NotFound, VersionConflict

if TYPE_CHECKING:
    from lightapi.plan import Plan

__all__ = [
    "Change",
    "Row",
    "Statements",
    "checked_queryset",
    "create",
    "destroy",
    "key_within",
    "keys_of",
    "list_rows",
    "narrowed",
    "retrieve",
    "update_row",
]

Row = dict[str, Any]
"""One answer's values by field name."""


class Change(NamedTuple):
    """What a PUT or PATCH wants of a row."""

    version: int
    """The version that the row must still have."""
    values: Mapping[str, Any]
    reset: frozenset[str] = frozenset()
    """Columns that go back to their server default."""


Scope = Select[Any] | None
"""The queryset that limits access by id; None: every row."""

_MOST_SHAPES = 256
"""How many update statements (sets of patched columns) one endpoint keeps."""


class Statements:
    """The statements of one table, built at registration; updates once per set of columns."""

    def __init__(self, table: Table, key: str, names: Iterable[str]) -> None:
        self.table = table
        self.columns: tuple[Column[Any], ...] = tuple(table.c[name] for name in names)
        self.key: Column[Any] = table.c[key]
        self.is_key: ColumnElement[bool] = self.key == bindparam("k_key", type_=self.key.type)
        self.list = select(*self.columns).order_by(self.key)
        self.retrieve = select(*self.columns).where(self.is_key)
        self.create = insert(table).returning(*self.columns)
        self.destroy = delete(table).where(self.is_key).returning(self.key)
        self.exists = select(exists().where(self.is_key))
        self._updates: dict[tuple[frozenset[str], frozenset[str]], Update] = {}

    def update(self, names: frozenset[str], reset: frozenset[str]) -> Update:
        """Return the locking update that sets ``names`` and gives ``reset`` their server default."""
        shape = (names, reset)
        statement = self._updates.get(shape)
        if statement is None:
            if len(self._updates) >= _MOST_SHAPES:
                self._updates.pop(next(iter(self._updates)))
            statement = self._updates[shape] = self._build_update(names, reset)
        return statement

    def _build_update(self, names: frozenset[str], reset: frozenset[str]) -> Update:
        columns = self.table.c
        values: dict[Any, Any] = {columns[name]: bindparam(f"v_{name}", type_=columns[name].type) for name in names}
        values.update((columns[name], self.server_default(name)) for name in reset)
        values[columns.version] = columns.version + literal_column("1")
        values[columns.updated_at] = bindparam("k_now", type_=columns.updated_at.type)
        is_current = columns.version == bindparam("k_version", type_=columns.version.type)
        return update(self.table).where(self.is_key, is_current).values(values).returning(*self.columns)

    def server_default(self, name: str) -> Any:
        """Return the SQL that gives a column its server default again."""
        default: Any = getattr(self.table.c[name].server_default, "arg", None)
        if isinstance(default, str):
            return literal_column("'" + default.replace("'", "''") + "'")
        return default


def _within(statement: Any, plan: Plan, scope: Scope) -> Any:
    """Limit a statement by id to the rows of ``scope``."""
    if scope is None:
        return statement
    return statement.where(plan.statements.key.in_(keys_of(plan, scope)))


def keys_of(plan: Plan, statement: Any) -> Select[Any]:
    """Return a select of the keys that a queryset gives; its order stays where a limit depends on it."""
    if not isinstance(statement, Select):
        return select(statement.subquery().c[plan.key])
    keys = statement.with_only_columns(key_within(plan, statement), maintain_column_froms=True)
    if not (statement._has_row_limiting_clause or statement._distinct_on):
        keys = keys.order_by(None)
    return select(keys.subquery().c[0])


def key_within(plan: Plan, statement: Select[Any]) -> Any:
    """Return the key as this select knows it: an aliased entity has its own."""
    for described in statement.column_descriptions:
        entity = described.get("entity")
        if entity is not None and inspect(entity).mapper.class_ is plan.endpoint:
            return getattr(entity, plan.key)
    return plan.statements.key


def checked_queryset(statement: Any) -> Any:
    """Return what ``queryset`` gave; TypeError, a logged 500, when it is no select."""
    if isinstance(statement, (SelectBase, FromStatement)):
        return statement
    raise TypeError(f"queryset returned {type(statement).__name__}; return a select")


def narrowed(plan: Plan, statement: Any) -> Select[Any] | None:
    """Return the queryset as a select of plain columns, or None if it selects anything else."""
    if not isinstance(statement, Select) or statement._with_options or statement._distinct_on:
        return None
    described = statement.column_descriptions
    if len(described) != 1 or described[0]["expr"] is not plan.endpoint:
        return None
    columns = plan.statements.columns
    return statement.with_only_columns(*columns, maintain_column_froms=True).order_by(plan.statements.key)  # pyright: ignore[reportReturnType]


def list_rows(connection: Connection, plan: Plan, statement: Select[Any] | None) -> list[Row]:
    """Return every row of the list, in a total order."""
    chosen = plan.statements.list if statement is None else statement
    names = plan.names
    return [dict(zip(names, row, strict=False)) for row in connection.execute(chosen).all()]


def retrieve(connection: Connection, plan: Plan, key: Any, scope: Scope = None) -> Row:
    """Return one row; raise NotFound."""
    statement = _within(plan.statements.retrieve, plan, scope)
    row = connection.execute(statement, {"k_key": key}).first()
    if row is None:
        raise NotFound
    return dict(zip(plan.names, row, strict=False))


def create(connection: Connection, plan: Plan, values: Mapping[str, Any]) -> Row:
    """Insert a row and return it, in one statement."""
    now = utcnow()
    row = connection.execute(
        plan.statements.create, {**values, "version": 1, "created_at": now, "updated_at": now}
    ).one()
    return dict(zip(plan.names, row, strict=False))


def update_row(connection: Connection, plan: Plan, key: Any, change: Change, scope: Scope = None) -> Row:
    """Change a row if it still has the expected version, in one statement.

    Raises VersionConflict when somebody else wrote it, NotFound when it is gone.
    """
    statement: Update = plan.statements.update(frozenset(change.values), change.reset)
    parameters = {f"v_{name}": value for name, value in change.values.items()}
    parameters.update(k_key=key, k_version=_storable(change.version), k_now=utcnow())
    row = connection.execute(_within(statement, plan, scope), parameters).first()
    if row is not None:
        return dict(zip(plan.names, row, strict=False))
    seen = connection.execute(_within_exists(plan, scope), {"k_key": key}).scalar()
    raise VersionConflict if seen else NotFound


def _storable(version: int) -> int:
    """Return a version that fits the column; what doesn't fit is no row's version."""
    return version if version < 2**31 else 0


def _within_exists(plan: Plan, scope: Scope) -> Any:
    if scope is None:
        return plan.statements.exists
    return _within(select(plan.statements.key).where(plan.statements.is_key), plan, scope)


def destroy(connection: Connection, plan: Plan, key: Any, scope: Scope = None) -> None:
    """Delete a row; raise NotFound."""
    statement: Delete = _within(plan.statements.destroy, plan, scope)
    if connection.execute(statement, {"k_key": key}).first() is None:
        raise NotFound
