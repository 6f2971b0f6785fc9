"""Stores over every engine, each used the three ways that hosts use it: in a thread, from a loop, driven by hand."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    create_engine,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from lightapi.db.store import AsyncStore, SyncStore, open_store

T = TypeVar("T")

SYNC = ["sqlite-file", "sqlite-memory", "psycopg", "psycopg2"]
ASYNC = ["aiosqlite-file", "aiosqlite-memory", "asyncpg"]
POSTGRES = ["psycopg", "psycopg2", "asyncpg"]
SQLITE = ["sqlite-file", "sqlite-memory", "aiosqlite-file", "aiosqlite-memory"]
LANES = [(kind, way) for kind in SYNC for way in ("thread", "loop", "drive")] + [(kind, "loop") for kind in ASYNC]

every_engine = pytest.mark.parametrize("kind", [*SYNC, *ASYNC])
every_lane = pytest.mark.parametrize(("kind", "way"), LANES, ids=["-".join(lane) for lane in LANES])


def url_of(kind: str, request: pytest.FixtureRequest) -> str:
    """Return a database URL for the engine; a file of its own, or the worker's PostgreSQL database."""
    driver, _, place = kind.partition("-")
    if driver in ("sqlite", "aiosqlite"):
        prefix = "sqlite" if driver == "sqlite" else "sqlite+aiosqlite"
        folder: Path = request.getfixturevalue("tmp_path")
        return f"{prefix}://" if place == "memory" else f"{prefix}:///{folder / 'store.db'}"
    url = make_url(request.getfixturevalue("postgres_url"))
    return url.set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)


class Case:
    """One store with a table ``rows`` (id, name, twin) in a database, and the way in which its work is started."""

    def __init__(self, store: SyncStore | AsyncStore, way: str) -> None:
        self.store = store
        self.way = way
        self.loop = asyncio.new_event_loop()
        self.table = _table(MetaData())

    def do(self, work: Callable[[Connection], T], *, write: bool = False, transaction: bool = False) -> T:
        """Run ``once`` or ``aonce`` in this case's way."""
        if self.way == "thread":
            return self.store.once(work, write=write, transaction=transaction)
        return self.wait(lambda: self.store.aonce(work, write=write, transaction=transaction))

    def wait(self, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on this case's loop, or without one."""
        if self.way == "loop":
            return self.loop.run_until_complete(start())
        return drive(start())

    @contextlib.contextmanager
    def unhurried(self) -> Iterator[None]:
        """Give what is not being tested half a minute, however short the store's deadline is."""
        before, self.store.timeout = self.store.timeout, 30.0
        try:
            yield
        finally:
            self.store.timeout = before

    def put(self, name: str) -> None:
        """Insert a row, in peace."""
        with self.unhurried():
            self.do(self.add(name), write=True)

    def add(self, name: str) -> Callable[[Connection], None]:
        """Return the work that inserts a row."""

        def work(connection: Connection) -> None:
            connection.execute(insert(self.table).values(name=name))

        return work

    def names(self) -> list[str]:
        """Return all names in the table, sorted."""
        with self.unhurried():
            return self.do(lambda connection: sorted(connection.execute(select(self.table.c.name)).scalars()))

    def count(self, connection: Connection) -> int:
        """Count the rows; a piece of reading work."""
        return connection.execute(select(func.count()).select_from(self.table)).scalar_one()


def sql(statement: str) -> Callable[[Connection], None]:
    """Return the work that runs one statement."""

    def work(connection: Connection) -> None:
        connection.execute(text(statement))

    return work


def number(connection: Connection, statement: str) -> int:
    """Return the one number a statement answers."""
    found: int = connection.execute(text(statement)).scalar_one()
    return found


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise AssertionError("the coroutine suspended")


def _table(metadata: MetaData) -> Table:
    name = f"rows_{uuid.uuid4().hex[:8]}"
    return Table(
        name,
        metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String, unique=True, nullable=False),
        Column("twin", Integer, ForeignKey(f"{name}.id")),
        UniqueConstraint("name", "twin"),
    )


@contextlib.contextmanager
def opened(kind: str, way: str, request: pytest.FixtureRequest, **options: Any) -> Iterator[Case]:
    """Open a store over an engine that it makes (or ``engine=``), with an empty table."""
    if "engine" not in options:
        options["database_url"] = url_of(kind, request)
    with using(open_store(**{"engine": None, "database_url": None, **options}), way) as case:
        yield case


@contextlib.contextmanager
def using(store: SyncStore | AsyncStore, way: str) -> Iterator[Case]:
    """Make the table of a case, and drop it again."""
    case = Case(store, way)
    with case.unhurried():
        case.wait(lambda: store.ready(case.table.metadata.create_all, case.table.name))
    try:
        yield case
        if store.dialect.name == "postgresql":
            with case.unhurried():
                case.do(case.table.metadata.drop_all, write=True, transaction=True)
    finally:
        case.wait(lambda: _dispose(store))
        case.loop.close()


async def _dispose(store: SyncStore | AsyncStore) -> None:
    """Close the pool, a user's too, which the store leaves alone."""
    await store.dispose()
    outcome = store.engine.dispose()
    if outcome is not None:
        await outcome


def user_engine(kind: str, request: pytest.FixtureRequest, **options: Any) -> Engine | AsyncEngine:
    """Make an engine as a user would, with SQLAlchemy's own defaults."""
    url = url_of(kind, request)
    if "memory" in kind:
        options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}, **options}
    return create_async_engine(url, **options) if kind in ASYNC else create_engine(url, **options)
