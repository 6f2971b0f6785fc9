"""What the sync and the async store share: one attempt at a piece of work, written once.

The code here runs in a thread that may block, or inside a greenlet of an async engine; in both a plain
SQLAlchemy ``Connection`` does the input and output. How to wait and how a deadline is enforced is left to the
subclasses.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Engine, text
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from lightapi.db.deadline import Watch
from lightapi.db.engine import Lanes, capacity_of
from lightapi.db.errors import is_transient, translate
from lightapi.db.listeners import prepare_engine
from lightapi.db.liveness import peer_of
from lightapi.exceptions import ApiError, ServiceUnavailable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from lightapi.db.unit import Unit

__all__ = ["Store", "Work"]

T = TypeVar("T")
Work = Callable[[Connection], T]

logger = logging.getLogger("lightapi.db")

READY_FACTOR = 3
PING_TIMEOUT = 2.0


class Store(ABC):
    """One database as the rest of LightAPI sees it."""

    is_async: bool

    def __init__(self, lanes: Lanes, *, timeout: float, sqlite_foreign_keys: bool) -> None:
        self.lanes = lanes
        self.timeout = timeout
        self.engine: Engine | AsyncEngine = lanes.engine
        self.dialect: Dialect = lanes.base.dialect
        self.capacity = capacity_of(lanes.base.pool)
        self.nested_capacity = max(1, self.capacity // 2)
        self._sqlite = lanes.sqlite
        self._begin = lanes.begin
        self._toggles = lanes.toggles
        self._static = lanes.static
        self._ready_keys: set[str] = set()
        self._peers = prepare_engine(lanes, timeout=timeout, foreign_keys=sqlite_foreign_keys)

    def is_ready(self, key: str) -> bool:
        """Tell whether ``ready`` has succeeded in this process."""
        return key in self._ready_keys

    @abstractmethod
    async def ready(self, prepare: Work[None], key: str) -> None:
        """Run ``prepare`` (which creates tables) once per process; afterwards one look at a set."""

    @abstractmethod
    def ready_sync(self, prepare: Work[None], key: str) -> None:
        """Do the same in a thread that may block."""

    @abstractmethod
    def once(self, work: Work[T], *, write: bool = False, transaction: bool = False) -> T:
        """Do one piece of work on a connection of its own, here and now."""

    @abstractmethod
    async def aonce(self, work: Work[T], *, write: bool = False, transaction: bool = False) -> T:
        """Do one piece of work without blocking the event loop."""

    @abstractmethod
    def unit(self, *, nested: bool = False) -> Unit:
        """Return the database work of one request: a transaction that its first write begins."""

    @abstractmethod
    async def enter(self, function: Callable[..., T], *args: Any, nested: bool = False) -> T:
        """Run sync code where it may use the database; ``nested`` says that it may open a second connection."""

    @abstractmethod
    async def enter_async(self, coroutine: Coroutine[Any, Any, T], *, nested: bool = False) -> T:
        """Run a coroutine in which sync helpers may use the database."""

    @abstractmethod
    async def ping(self) -> None:
        """Ask the database for an answer soon, or raise ServiceUnavailable."""

    @abstractmethod
    async def dispose(self) -> None:
        """Close the pool of an engine that we made; leave a user's alone."""

    @abstractmethod
    def dispose_sync(self) -> None:
        """Do the same in a thread that may block."""

    def translate(self, error: BaseException) -> ApiError | None:
        """Return the answer that a database error deserves, None for a bug."""
        return translate(error)

    @abstractmethod
    def reset(self) -> None:
        """Begin anew in a forked child, where locks may be held by threads that do not exist."""

    @abstractmethod
    def watch(self, seconds: float) -> Watch:
        """Begin to watch a deadline."""

    @abstractmethod
    def rewatch(self, watch: Watch) -> None:
        """Watch it again, for a second attempt."""

    @abstractmethod
    def unwatch(self, watch: Watch) -> bool:
        """End it; false when the work was late."""

    @abstractmethod
    def take(self, watch: Watch, *, write: bool) -> None:
        """Wait for the right to use the database: a place in the pool, the lock of a database that needs one."""

    @abstractmethod
    def give(self, *, write: bool) -> None:
        """Give that right back."""

    @abstractmethod
    def take_nested(self, watch: Watch, owner: object) -> bool:
        """Wait for one of the few rights to hold a connection while opening another; false when not needed."""

    @abstractmethod
    def give_nested(self, owner: object) -> None:
        """Give that right back."""

    @abstractmethod
    def await_pool(self, watch: Watch) -> None:
        """Return when the pool can hand out a connection before the deadline."""

    def gated(self, *, write: bool) -> bool:
        """Tell whether the work needs the database for itself in this process."""
        return self._static or (write and self._sqlite)

    def watched(self, work: Work[T], watch: Watch, *, write: bool, transaction: bool) -> T:
        """Do the work under a deadline; whatever late work raises is ServiceUnavailable."""
        try:
            result = self._attempts(work, watch, write=write, transaction=transaction)
        except BaseException as error:
            if self.unwatch(watch) or not watch.explains(error):
                raise
            raise ServiceUnavailable from error
        if watch.late:
            watch.forgive()
        return result

    def _attempts(self, work: Work[T], watch: Watch, *, write: bool, transaction: bool) -> T:
        """Do the work; once more if a read met a dead connection or a write lost a deadlock."""
        attempt = self._transact if transaction else self._autocommit
        try:
            return attempt(work, watch, write=write)
        except DBAPIError as error:
            again = is_transient(error) if write or transaction else error.connection_invalidated
            if watch.late or not again:
                raise
        watch.remaining()
        self.rewatch(watch)
        return attempt(work, watch, write=write)

    def _autocommit(self, work: Work[T], watch: Watch, *, write: bool) -> T:
        connection = self.checkout(watch, self.lanes.autocommit, write=write)
        try:
            if self._toggles:
                _set_autocommit(connection, value=True)
            return work(connection)
        finally:
            if self._toggles:
                _set_autocommit(connection, value=False)
            self.release(connection, watch, write=write)

    def _transact(self, work: Work[T], watch: Watch, *, write: bool) -> T:
        del write  # a transaction may always write
        connection = self.open(watch)
        try:
            result = work(connection)
            self.commit(connection)
        except BaseException:
            self.abandon(connection, watch)
            raise
        self.release(connection, watch, write=True)
        return result

    def checkout(self, watch: Watch, engine: Engine, *, write: bool) -> Connection:
        """Return a live connection; pair with ``release``."""
        self.take(watch, write=write)
        try:
            connection = self._connect(watch, engine)
            for _ in range(self.capacity):
                if peer_of(connection).alive():
                    break
                connection.invalidate()
                connection.close()
                connection = self._connect(watch, engine)
        except BaseException:
            watch.peer = None
            self.give(write=write)
            raise
        watch.peer = peer_of(connection)
        return connection

    def _connect(self, watch: Watch, engine: Engine) -> Connection:
        self.await_pool(watch)
        try:
            return engine.connect()
        except (PoolTimeout, DBAPIError, OSError, asyncio.TimeoutError) as error:
            raise unreachable(error) from error

    def attach(self, connection: Connection, watch: Watch) -> None:
        """Put a connection that is already in use under this deadline."""
        if not connection.invalidated:
            watch.peer = peer_of(connection)

    def release(self, connection: Connection, watch: Watch, *, write: bool) -> None:
        """Give the connection back, or drop it when the deadline may have broken it."""
        try:
            if not self.unwatch(watch) and not self._static:
                connection.invalidate()
            elif self._sqlite:
                self._end_leftover(connection)
            connection.close()
        finally:
            watch.finished = True
            self.give(write=write)

    def _end_leftover(self, connection: Connection) -> None:
        """Commit what a statement left open, where the user's own listeners or settings began a transaction."""
        if self._in_transaction(connection):
            connection.exec_driver_sql("COMMIT")

    def _in_transaction(self, connection: Connection) -> bool:
        return not connection.invalidated and bool(getattr(peer_of(connection).driver, "in_transaction", False))

    def open(self, watch: Watch) -> Connection:
        """Return a connection on which a transaction has begun; pair with ``release`` or ``abandon``."""
        connection = self.checkout(watch, self.lanes.transactional, write=True)
        try:
            connection.begin()  # sends nothing where we begin by hand, unless a listener of the user's does
            if self._begin is not None:
                self._end_leftover(connection)
                connection.exec_driver_sql(self._begin)
        except BaseException:
            self.release(connection, watch, write=True)
            raise
        return connection

    def commit(self, connection: Connection) -> None:
        """Commit; by hand what was begun by hand, because the driver's commit() is a no-op in autocommit."""
        if self._begin is None:
            connection.commit()
        else:
            connection.exec_driver_sql("COMMIT")

    def abandon(self, connection: Connection, watch: Watch) -> None:
        """Roll back and release after a failure; the failure itself is what matters to the caller."""
        try:
            if not connection.invalidated and (self._static or not watch.late):
                self._rollback(connection)
        except Exception as error:  # noqa: BLE001  whatever broke: a connection of unknown state is dropped
            logger.warning("rollback failed, the connection is dropped: %s", type(error).__name__)
            connection.invalidate()
        finally:
            self.release(connection, watch, write=True)

    def _rollback(self, connection: Connection) -> None:
        if self._begin is None:
            connection.rollback()
        elif not self._sqlite or self._in_transaction(connection):
            connection.exec_driver_sql("ROLLBACK")

    def after_fork(self) -> None:
        """Drop what a forked child must not share with its parent."""
        self.reset()
        if self._static:
            self._ready_keys.clear()
            warnings.warn(
                "an in-memory database is per process: this forked one begins empty", RuntimeWarning, stacklevel=2
            )
        self.lanes.base.dispose(close=False)

    def prepare(self, prepare: Work[None], key: str) -> None:
        """Run ``prepare`` in one transaction that no other process runs at the same time."""
        if key in self._ready_keys:
            return
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)

        def guarded(connection: Connection) -> None:
            if self.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})
            prepare(connection)

        try:
            self.watched(guarded, self.watch(self.timeout * READY_FACTOR), write=True, transaction=True)
        except DBAPIError as error:
            answer = translate(error)
            if isinstance(answer, ServiceUnavailable):
                raise answer from error
            raise
        self._ready_keys.add(key)

    def answer(self, seconds: float) -> None:
        """Ask for 1 within the time; any failure is ServiceUnavailable."""
        try:
            self.watched(_select_one, self.watch(min(seconds, self.timeout)), write=False, transaction=False)
        except DBAPIError as error:
            raise ServiceUnavailable from error


def _set_autocommit(connection: Connection, *, value: bool) -> None:
    if not connection.invalidated:
        driver: Any = peer_of(connection).driver
        if not driver.closed:
            driver.autocommit = value


def _select_one(connection: Connection) -> None:
    connection.execute(_ONE).scalar_one()


_ONE = text("SELECT 1")


def unreachable(error: BaseException) -> ServiceUnavailable:
    """Return the answer to a failed connect, having told the operator why."""
    if not isinstance(error, PoolTimeout):
        logger.warning("the database cannot be reached: %s", getattr(error, "orig", None) or repr(error))
    return ServiceUnavailable()
