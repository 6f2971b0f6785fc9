"""What an engine must do at every connect: limit its time, enforce foreign keys, use the write-ahead log."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from functools import partial
from typing import Any

from sqlalchemy import event

from lightapi.db.deadline import Watch
from lightapi.db.engine import CONNECT_TIMEOUT, Lanes, is_memory
from lightapi.db.liveness import Peer, remember_peer
from lightapi.db.operators import FOLD
from lightapi.db.tolerant import keep_last_days
from lightapi.exceptions import ConfigurationError

__all__ = ["connecting", "prepare_engine"]

_FOREIGN_KEYS = "lightapi.foreign_keys"
_FUNCTIONS = "lightapi.functions"
_TIMEOUT_ARGUMENTS = {
    "psycopg": "connect_timeout",
    "psycopg_async": "connect_timeout",
    "psycopg2": "connect_timeout",
    "asyncpg": "timeout",
    "pymysql": "connect_timeout",
    "mysqldb": "connect_timeout",
    "aiomysql": "connect_timeout",
    "asyncmy": "connect_timeout",
}


class _Connecting(threading.local):
    watch: Watch | None = None


connecting = _Connecting()
"""The deadline of the checkout that this thread is in: a new connection is put under it at once."""


def prepare_engine(lanes: Lanes, *, timeout: float, foreign_keys: bool) -> weakref.WeakSet[Peer]:
    """Add the listeners, and return the set of open connections that they fill.

    A user's engine gets only what changes no setting of its own.
    """
    base = lanes.base
    peers: weakref.WeakSet[Peer] = weakref.WeakSet()
    dialect = base.dialect

    def limit_connect(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
        argument = _TIMEOUT_ARGUMENTS.get(dialect.driver)
        if argument is not None and "PGCONNECT_TIMEOUT" not in os.environ:
            parameters.setdefault(argument, max(1, min(CONNECT_TIMEOUT, round(timeout))))

    def attach(connection: Any, record: Any) -> None:
        peer = remember_peer(dialect, connection, record.info)
        watch = connecting.watch
        if watch is not None:
            watch.peer = peer
        peers.add(peer)

    event.listen(base, "do_connect", limit_connect)
    event.listen(base, "connect", attach, insert=True)
    if dialect.driver == "asyncpg":
        event.listen(base, "connect", keep_last_days)
    if dialect.driver == "psycopg":
        event.listen(base, "handle_error", _drop_outdated)
    if dialect.name == "sqlite":
        event.listen(base, "checkout", _add_functions)
        if foreign_keys:
            event.listen(base, "checkout", _enforce_foreign_keys)
        if lanes.owned and not is_memory(base.url):
            event.listen(base, "connect", _use_write_ahead_log)
    return peers


def _drop_outdated(context: Any) -> None:
    """Part with connections whose prepared statements fit a table no more: somebody has altered it."""
    if "cached plan must not change result type" in str(context.original_exception):
        context.is_disconnect = True


def _add_functions(connection: Any, record: Any, _proxied: Any) -> None:
    # At checkout, as foreign keys are enforced.
    if _FUNCTIONS not in record.info:
        (encoding,) = _execute(connection, "PRAGMA encoding") or ("UTF-8",)
        connection.create_function(FOLD, 1, partial(fold, encoding), deterministic=True)
        record.info[_FUNCTIONS] = True


def fold(encoding: str, value: bytes | None) -> str | None:
    """Return a text in lower case, all alphabets included; it comes in the file's encoding, which it may break."""
    return None if value is None else value.decode(encoding, "replace").lower()


def _enforce_foreign_keys(connection: Any, record: Any, _proxied: Any) -> None:
    # At checkout, not at connect: a user's pool may hold connections that are older than the store.
    if _FOREIGN_KEYS in record.info:
        return
    if getattr(record.driver_connection, "autocommit", None) is False:
        raise ConfigurationError(
            "SQLite connections with autocommit=False are not supported: leave it out of connect_args, "
            "LightAPI begins its transactions itself"
        )
    record.info[_FOREIGN_KEYS] = True
    _execute(connection, "PRAGMA foreign_keys=ON")


def _use_write_ahead_log(connection: Any, _record: Any) -> None:
    try:
        _execute(connection, "PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        # Another process holds the file, or it is read-only. The file keeps its mode: a later connection sets it.
        if "locked" not in str(error) and "readonly" not in str(error):
            raise


def _execute(connection: Any, statement: str) -> Any:
    """Return the first row."""
    cursor = connection.cursor()
    try:
        cursor.execute(statement)
        return cursor.fetchone()
    finally:
        cursor.close()
