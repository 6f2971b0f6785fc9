"""Read the database outside of any request, whatever the engine and whether or not an event loop runs here."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SAWarning
from sqlalchemy.pool import StaticPool

from lightapi.db.store import Store

__all__ = ["read_database"]

T = TypeVar("T")


def read_database(store: Store, work: Callable[[Connection], T]) -> T:
    """Run ``work`` on a connection now, whatever the engine and whether or not an event loop runs here.

    An async engine's own pool belongs to the loop that serves: the connection comes from a twin that is thrown away.
    """
    base = store.lanes.base
    if not store.is_async:
        with base.connect() as connection:
            return _quietly(work, connection)
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(asyncio.run(_read(base, work)))
        except BaseException as error:  # noqa: BLE001  raised again in the thread that waits
            failures.append(error)

    thread = threading.Thread(target=run, name="lightapi-reflection")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def _quietly(work: Callable[[Connection], T], connection: Connection) -> T:
    """Do the work; a type that SQLAlchemy does not know is no news: its values are shown as text."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Did not recognize type", SAWarning)
        return work(connection)


async def _read(base: Engine, work: Callable[[Connection], T]) -> T:
    from sqlalchemy.ext.asyncio import AsyncEngine  # heavy, and of no use to a sync engine

    shared = isinstance(base.pool, StaticPool)  # a twin of an in-memory database would be empty
    engine = AsyncEngine(base if shared else Engine(base.pool.recreate(), base.dialect, base.url))
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(partial(_quietly, work))
    finally:
        if not shared:
            await engine.dispose()
