"""Open the database: an engine, a URL or the environment becomes a store."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from lightapi.db.async_store import AsyncStore
from lightapi.db.base import Store, Work
from lightapi.db.deadline import watchdog
from lightapi.db.engine import Lanes, inspect_engine, make_engine, own_lanes
from lightapi.db.sync_store import SyncStore
from lightapi.db.unit import Unit
from lightapi.exceptions import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["AsyncStore", "Store", "SyncStore", "Unit", "Work", "open_store"]

_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def open_store(
    *,
    engine: Engine | AsyncEngine | None,
    database_url: str | None,
    timeout: float = 10.0,
    sqlite_foreign_keys: bool = True,
    mode: str | None = None,
) -> SyncStore | AsyncStore:
    """Return the store for an engine, else a URL, else LIGHTAPI_DATABASE_URL; ``mode`` only asserts its kind."""
    lanes = _lanes(engine, database_url, timeout)
    kind = "async" if lanes.base.dialect.is_async else "sync"
    if mode is not None and mode != kind:
        raise ConfigurationError(f"mode={mode!r} does not fit: the engine is {kind}")
    store_class = AsyncStore if kind == "async" else SyncStore
    store = store_class(lanes, timeout=timeout, sqlite_foreign_keys=sqlite_foreign_keys)
    _stores.add(store)
    return store


def _lanes(engine: Engine | AsyncEngine | None, database_url: str | None, timeout: float) -> Lanes:
    if engine is not None:
        return inspect_engine(engine)
    url = database_url or os.environ.get("LIGHTAPI_DATABASE_URL")
    if not url:
        raise ConfigurationError("No database configured: pass engine= or database_url=, or set LIGHTAPI_DATABASE_URL")
    return own_lanes(*make_engine(url, timeout=timeout))


def _after_fork() -> None:
    """Give the child connections, locks and threads of its own: two processes on one socket read each other's rows."""
    watchdog.reset()
    for store in list(_stores):
        store.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
