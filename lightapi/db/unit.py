"""One request's database work when user code is involved: a transaction that the first write begins."""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import monotonic
from typing import TypeVar

from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from lightapi.db.base import Store, Work
from lightapi.db.deadline import Watch
from lightapi.db.errors import translate
from lightapi.exceptions import ServiceUnavailable

__all__ = ["Unit"]

T = TypeVar("T")


class Unit(ABC):
    """The reads and writes of one request's helper calls.

    Reads before the first write autocommit and hold nothing between two calls, so that slow user code
    occupies no connection. The first write opens the transaction that every later call shares. A call that
    fails leaves the unit usable: what earlier calls wrote stays, behind a savepoint.
    """

    def __init__(self, store: Store, *, nested: bool) -> None:
        self._store = store
        self._nested = nested
        self._connection: Connection | None = None
        self._holds_nested = False
        self._written = False
        self._lost = False
        self._closed = False
        self._spent = 0.0

    @abstractmethod
    def run(self, work: Work[T], *, write: bool = True) -> T:
        """Do the work from sync code: a worker thread, or inside the async store's greenlet."""

    @abstractmethod
    async def arun(self, work: Work[T], *, write: bool = True) -> T:
        """Do the work from async code; concurrent calls of one unit take turns."""

    @abstractmethod
    def close(self, *, commit: bool) -> None:
        """Commit or roll back from sync code; nothing happens the second time."""

    @abstractmethod
    async def aclose(self, *, commit: bool) -> None:
        """Commit or roll back from async code; nothing happens the second time."""

    def left(self) -> float:
        """Return the seconds of database work that the request may still use."""
        left = self._store.timeout - self._spent
        if left <= 0:
            raise ServiceUnavailable
        return left

    def _run(self, work: Work[T], *, write: bool) -> T:
        """Do the work here and now; the caller has made sure that nothing else of this unit runs."""
        if self._closed:
            raise RuntimeError("the database work of this request is over: it was used after the answer")
        if self._lost:
            raise ServiceUnavailable
        watch = self._store.watch(self.left())
        begun = monotonic()
        try:
            if self._connection is None and not write:
                return self._store.watched(work, watch, write=False, transaction=False)
            return self._within(work, watch, write=write)
        finally:
            self._spent += monotonic() - begun

    def _within(self, work: Work[T], watch: Watch, *, write: bool) -> T:
        """Run a step of the transaction; a late step loses all of it and is ServiceUnavailable."""
        try:
            result = self._step(work, watch, write=write)
        except BaseException as error:
            if self._store.unwatch(watch):
                raise
            self._lose(watch)
            if watch.explains(error):
                raise ServiceUnavailable from error
            raise
        if not self._store.unwatch(watch):
            self._lose(watch)
            watch.forgive()
            raise ServiceUnavailable
        return result

    def _step(self, work: Work[T], watch: Watch, *, write: bool) -> T:
        if self._connection is None:
            connection = self._begin(watch)
        else:
            connection = self._connection
            if connection.invalidated:
                self._lost = True
                raise ServiceUnavailable
            self._store.attach(connection, watch)
        result = self._guarded(work, connection) if self._written else self._unguarded(work, connection, watch)
        self._written = self._written or write
        return result

    def _begin(self, watch: Watch) -> Connection:
        if self._nested:
            self._holds_nested = self._store.take_nested(watch, self)
        try:
            self._connection = self._store.open(watch)
        except BaseException:
            self._end()
            raise
        return self._connection

    def _end(self) -> Connection | None:
        """Forget the connection, which the caller releases, and the right to hold it."""
        connection, self._connection = self._connection, None
        if self._holds_nested:
            self._holds_nested = False
            self._store.give_nested(self)
        return connection

    def _unguarded(self, work: Work[T], connection: Connection, watch: Watch) -> T:
        """Run the first write: when it fails the whole transaction goes, and the next call begins another."""
        try:
            return work(connection)
        except BaseException:
            self._end()
            self._store.abandon(connection, watch)
            raise

    def _guarded(self, work: Work[T], connection: Connection) -> T:
        """Run a later call behind a savepoint, which keeps what was written before."""
        savepoint = connection.begin_nested()
        try:
            result = work(connection)
            savepoint.commit()
        except Exception:
            try:
                if not connection.invalidated:
                    savepoint.rollback()
            except SQLAlchemyError:
                self._lost = True
            raise
        except BaseException:
            self._lost = True
            raise
        return result

    def _lose(self, watch: Watch) -> None:
        """Give the transaction up: its connection is of unknown state, and nothing of it may be committed."""
        self._lost = True
        connection = self._end()
        if connection is not None:
            self._store.abandon(connection, watch)
        watch.finished = True

    def _close(self, *, commit: bool) -> None:
        if self._closed:
            return
        self._closed = True
        connection = self._end()
        if connection is not None:
            self._lost = self._lost or connection.invalidated
            self._finish(connection, commit=commit and not self._lost)
        if commit and self._lost:
            raise ServiceUnavailable

    def _finish(self, connection: Connection, *, commit: bool) -> None:
        store = self._store
        # However much was spent, a commit gets a moment: without it everything before was in vain.
        watch = store.watch(max(1.0, store.timeout - self._spent))
        store.attach(connection, watch)
        if not commit:
            store.abandon(connection, watch)
            return
        try:
            store.commit(connection)
        except BaseException as error:
            late = not store.unwatch(watch)
            store.abandon(connection, watch)
            if late and watch.explains(error):
                raise ServiceUnavailable from error
            answer = translate(error)
            if answer is None:
                raise
            raise answer from error
        store.release(connection, watch, write=True)
