"""The five database functions of an endpoint, in SQLAlchemy Core, over one Connection.

Sync engines call them in a thread, async engines inside a greenlet: they are written once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Delete,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    delete,
    insert,
    literal_column,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import FromStatement
from sqlalchemy.sql.expression import SelectBase

from lightapi.db.mapping import KEPT, utcnow
from lightapi.db.operators import condition, is_moment, parameters_of
from lightapi.db.sources import queryset_source
from lightapi.db.versions import answer_of, current_version, version_limit
from lightapi.exceptions import Conflict, NotFound, VersionConflict

if TYPE_CHECKING:
    from lightapi.plan import Plan

__all__ = [
    "Change",
    "Row",
    "Statements",
    "checked_queryset",
    "create",
    "destroy",
    "keys_of",
    "retrieve",
    "update_row",
    "within",
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

    # Names of parameters begin with two underscores: SQLAlchemy takes those named like a column for its new value.

    def __init__(
        self, table: Table, key: Sequence[str], read: Iterable[str], written: Iterable[str], *, sqlite: bool
    ) -> None:
        self.table = table
        self.key: tuple[Column[Any], ...] = tuple(table.c[name] for name in key)
        self.key_names = tuple(f"__key_{number}" for number in range(len(key)))
        self.is_key: ColumnElement[bool] = and_(
            *(
                condition(column, "exact", name, sqlite=sqlite)
                for column, name in zip(self.key, self.key_names, strict=True)
            )
        )
        self._sqlite = sqlite
        self._plain_key = not (sqlite and any(is_moment(column) for column in self.key))
        self._lock = threading.Lock()
        self.written_names = tuple(dict.fromkeys((*written, *key)))
        """What a write gives back: what is answered, and the key for its ``Location``."""
        self._written = tuple(answer_of(table.c[name]) for name in self.written_names)
        self.retrieve = select(*(answer_of(table.c[name]) for name in read)).where(self.is_key)
        self.retrieve_written = select(*self._written).where(self.is_key)
        self.create = insert(table).returning(*self._written)
        self.destroy = delete(table).where(self.is_key).returning(*self.key)
        self.exists_row = select(*self.key).where(self.is_key)
        self.version_limit = version_limit(table.c.version.type, sqlite=sqlite) if "version" in table.info[KEPT] else 0
        """Beyond every version that the column can hold: no row has such a one."""
        self._updates: dict[tuple[frozenset[str], frozenset[str]], Update | None] = {}

    def key_parameters(self, key: tuple[Any, ...]) -> dict[str, Any]:
        """Return the parameters that name one row."""
        if self._plain_key:
            return dict(zip(self.key_names, key, strict=True))
        parameters: dict[str, Any] = {}
        for column, name, value in zip(self.key, self.key_names, key, strict=True):
            parameters.update(parameters_of(column, "exact", name, [value], sqlite=self._sqlite))
        return parameters

    def update(self, names: frozenset[str], reset: frozenset[str]) -> Update | None:
        """Return the update that sets ``names`` and gives ``reset`` their server default; None: nothing to set.

        Where the table has a version it also checks it and moves it on.
        """
        shape = (names, reset)
        statement = self._updates.get(shape)
        if statement is None and shape not in self._updates:
            with self._lock:
                if len(self._updates) >= _MOST_SHAPES:
                    self._updates.pop(next(iter(self._updates)))
                statement = self._updates[shape] = self._build_update(names, reset)
        return statement

    def _build_update(self, names: frozenset[str], reset: frozenset[str]) -> Update | None:
        columns = self.table.c
        values: dict[Any, Any] = {
            columns[name]: bindparam(f"__value_{number}", type_=columns[name].type)
            for number, name in enumerate(sorted(names))
        }
        defaults = ((name, self.server_default(name)) for name in reset)
        values.update((columns[name], default) for name, default in defaults if default is not None)
        conditions = [self.is_key]
        kept = self.table.info[KEPT]
        if "version" in kept:
            current = current_version(columns.version)
            values[columns.version] = current + literal_column("1")
            conditions.append(current == bindparam("__version", type_=columns.version.type))
        if "updated_at" in kept:
            values[columns.updated_at] = bindparam("__now", type_=columns.updated_at.type)
        if not values:
            return None
        return update(self.table).where(*conditions).values(values).returning(*self._written)

    def server_default(self, name: str) -> Any:
        """Return the SQL that gives a column its server default again."""
        default: Any = getattr(self.table.c[name].server_default, "arg", None)
        if "nextval(" in str(default):
            return None  # a row keeps its number
        if isinstance(default, str):
            return literal_column("'" + default.replace("'", "''") + "'")
        return default


def within(statement: Any, plan: Plan, scope: Scope) -> Any:
    """Limit a statement by id to the rows of ``scope``."""
    if scope is None:
        return statement
    return statement.where(among(plan.statements.key, keys_of(plan, scope)))


def among(columns: Sequence[ColumnElement[Any]], keys: Select[Any]) -> ColumnElement[bool]:
    """Return the condition that a key is one of those a select gives."""
    return columns[0].in_(keys) if len(columns) == 1 else tuple_(*columns).in_(keys)


def keys_of(plan: Plan, statement: Any) -> Select[Any]:
    """Return a select of the keys that a queryset gives; TypeError, a logged 500, when it gives none."""
    rows = queryset_source(plan, statement, plan.names, sqlite=plan.lists.sqlite)
    if any(name not in rows.columns for name in plan.key):
        raise TypeError(f"queryset of {plan.endpoint.__name__} does not select the key: no row can be found by it")
    keys: Any = select(*(rows.columns[name] for name in plan.key))
    return keys  # type: ignore[no-any-return]


def checked_queryset(statement: Any, source: str = "queryset") -> Any:
    """Return what ``queryset`` gave; TypeError, a logged 500, when it is no select."""
    if isinstance(statement, (SelectBase, FromStatement)):
        return statement
    raise TypeError(f"{source} returned {type(statement).__name__}; return a select")


def retrieve(connection: Connection, plan: Plan, key: tuple[Any, ...], scope: Scope = None) -> Row:
    """Return one row; raise NotFound."""
    statement = within(plan.statements.retrieve, plan, scope)
    row = connection.execute(statement, plan.statements.key_parameters(key)).first()
    if row is None:
        raise NotFound
    return dict(zip(plan.read.names, row, strict=False))


def create(connection: Connection, plan: Plan, values: Mapping[str, Any]) -> Row:
    """Insert a row and return it, in one statement."""
    row = connection.execute(plan.statements.create, {**values, **kept_values(plan)}).one_or_none()
    if row is None:  # a trigger of the database's had it stay out
        raise Conflict("conflict: the database did not keep the row")
    return dict(zip(plan.statements.written_names, row, strict=False))


def kept_values(plan: Plan) -> Row:
    """Return what a new row gets in the columns that we keep."""
    now = utcnow()
    fresh = {"version": 1, "created_at": now, "updated_at": now}
    return {name: fresh[name] for name in plan.table.info[KEPT]}


def update_row(connection: Connection, plan: Plan, key: tuple[Any, ...], change: Change, scope: Scope = None) -> Row:
    """Change a row if it still has the expected version, in one statement.

    Raises VersionConflict when somebody else wrote it, NotFound when it is gone.
    """
    statements = plan.statements
    statement = statements.update(frozenset(change.values), change.reset)
    parameters = {f"__value_{number}": change.values[name] for number, name in enumerate(sorted(change.values))}
    parameters.update(statements.key_parameters(key))
    if plan.versioned:
        parameters["__version"] = change.version if change.version < statements.version_limit else 0
    if "updated_at" in plan.table.info[KEPT]:
        parameters["__now"] = utcnow()
    if statement is None:
        statement = statements.retrieve_written
    row = connection.execute(within(statement, plan, scope), parameters).first()
    if row is not None:
        return dict(zip(statements.written_names, row, strict=False))
    if not plan.versioned:
        raise NotFound
    seen = connection.execute(within(statements.exists_row, plan, scope), statements.key_parameters(key)).first()
    raise VersionConflict if seen else NotFound


def destroy(connection: Connection, plan: Plan, key: tuple[Any, ...], scope: Scope = None) -> None:
    """Delete a row; raise NotFound."""
    statement: Delete = within(plan.statements.destroy, plan, scope)
    if connection.execute(statement, plan.statements.key_parameters(key)).first() is None:
        raise NotFound
