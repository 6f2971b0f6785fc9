"""The store over an async engine: whole pieces of work run inside one greenlet on the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from time import monotonic
from typing import Any, TypeVar

import anyio
from sqlalchemy.util import await_only, greenlet_spawn

from lightapi.db.base import PING_TIMEOUT, Store, Work
from lightapi.db.deadline import LoopWatchdog, TaskWatch, Watch
from lightapi.db.engine import Lanes
from lightapi.db.unit import Unit
from lightapi.exceptions import ConfigurationError, ServiceUnavailable

__all__ = ["AsyncStore"]

T = TypeVar("T")

_holds_nested: ContextVar[bool] = ContextVar("lightapi_async_holds_nested", default=False)


class AsyncStore(Store):
    """An async engine; it belongs to one running event loop at a time."""

    is_async = True

    def __init__(self, lanes: Lanes, *, timeout: float, sqlite_foreign_keys: bool) -> None:
        super().__init__(lanes, timeout=timeout, sqlite_foreign_keys=sqlite_foreign_keys)
        self.reset()

    def reset(self) -> None:
        """Begin anew, bound to no loop."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watchdog: LoopWatchdog
        self._gate: asyncio.Lock
        self._places: _Places
        self._ready_lock: asyncio.Lock
        self._nested: anyio.CapacityLimiter

    def bind(self) -> None:
        """Make sure that the pool belongs to the running loop: asyncpg crashes the process if it does not."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._rebind(loop)

    def _rebind(self, loop: asyncio.AbstractEventLoop) -> None:
        old = self._loop
        if old is not None:
            if old.is_running():
                raise ConfigurationError(
                    "this async engine is in use by another running event loop: create one engine per loop"
                )
            if not self._static:
                self._drop_pool()
        self._loop = loop
        self._watchdog = LoopWatchdog(loop)
        self._gate = asyncio.Lock()
        self._places = _Places(loop, self.capacity)
        self._ready_lock = asyncio.Lock()
        self._nested = anyio.CapacityLimiter(self.nested_capacity)

    def _drop_pool(self) -> None:
        for peer in list(self._peers):
            peer.discard()
        self.lanes.base.dispose(close=False)

    def watch(self, seconds: float) -> Watch:
        """Put work of this task under its loop's watchdog."""
        watch = TaskWatch(monotonic() + seconds, asyncio.current_task(), keep=self._static)
        self._watchdog.start(watch)
        return watch

    def rewatch(self, watch: Watch) -> None:
        """Watch it again, for a second attempt."""
        watch.finished = False
        self._watchdog.start(watch)

    def unwatch(self, watch: Watch) -> bool:
        """End it; false when the work was late."""
        return self._watchdog.stop(watch)

    def take(self, watch: Watch, *, write: bool) -> None:
        """Wait for the gate, then for a place in the pool, whose own queue would cost a timer per waiter."""
        gated = self.gated(write=write)
        if gated:
            await_only(self._gate.acquire())
        try:
            self._places.take()
        except BaseException:
            if gated:
                self._gate.release()
            raise

    def give(self, *, write: bool) -> None:
        """Give the place and the gate back."""
        self._places.give()
        if self.gated(write=write):
            self._gate.release()

    def take_nested(self, watch: Watch, owner: object) -> bool:
        """Wait for a nested place, unless the whole call has one (see ``enter``)."""
        if _holds_nested.get():
            return False
        await_only(self._nested.acquire_on_behalf_of(owner))
        return True

    def give_nested(self, owner: object) -> None:
        """Give it back."""
        self._nested.release_on_behalf_of(owner)

    def await_pool(self, watch: Watch) -> None:
        """Return at once: waiting in the pool's queue can be cancelled."""

    def once(self, work: Work[T], *, write: bool = False, transaction: bool = False) -> T:
        """Do the work here; only inside a greenlet of this store (``enter``, ``enter_async``)."""
        self.bind()
        return self.watched(work, self.watch(self.timeout), write=write, transaction=transaction)

    async def aonce(self, work: Work[T], *, write: bool = False, transaction: bool = False) -> T:
        """Do the work, checkout and release included, in one greenlet."""
        if self._static:
            return await shielded(greenlet_spawn(self.once, work, write=write, transaction=transaction))  # pyright: ignore[reportReturnType]
        return await greenlet_spawn(self.once, work, write=write, transaction=transaction)  # pyright: ignore[reportReturnType]

    def unit(self, *, nested: bool = False) -> Unit:
        """Return the database work of one request."""
        return AsyncUnit(self, nested=nested)

    async def enter(self, function: Callable[..., T], *args: Any, nested: bool = False) -> T:
        """Run sync code inside a greenlet: it may use the database, and blocks the loop when it blocks."""
        self.bind()
        if not nested:
            return await greenlet_spawn(function, *args)
        return await self._nesting(greenlet_spawn(function, *args))

    async def enter_async(self, coroutine: Coroutine[Any, Any, T], *, nested: bool = False) -> T:
        """Run the coroutine inside a greenlet, so that the sync helpers it calls can wait."""
        try:
            self.bind()
            if not nested:
                return await greenlet_spawn(_drive, coroutine)  # pyright: ignore[reportReturnType]
            return await self._nesting(greenlet_spawn(_drive, coroutine))  # pyright: ignore[reportReturnType]
        finally:
            coroutine.close()  # of no effect once it ran

    async def _nesting(self, coroutine: Coroutine[Any, Any, T]) -> T:
        borrower = object()
        try:
            with anyio.move_on_after(self.timeout) as scope:
                await self._nested.acquire_on_behalf_of(borrower)
            if scope.cancelled_caught:
                raise ServiceUnavailable
            token = _holds_nested.set(True)
            try:
                return await coroutine
            finally:
                _holds_nested.reset(token)
                self._nested.release_on_behalf_of(borrower)
        finally:
            coroutine.close()

    async def ready(self, prepare: Work[None], key: str) -> None:
        """Run ``prepare`` once, in this loop."""
        if key in self._ready_keys:
            return
        self.bind()
        async with self._ready_lock:
            await greenlet_spawn(self.prepare, prepare, key)

    def ready_sync(self, prepare: Work[None], key: str) -> None:
        """Refuse: an async engine is prepared in the loop that will use it."""
        raise ConfigurationError("an async engine creates its tables when the server starts: await ready() instead")

    async def ping(self) -> None:
        """Ask for an answer soon."""
        self.bind()
        await greenlet_spawn(self.answer, PING_TIMEOUT)

    async def dispose(self) -> None:
        """Close the pool if it is ours, gracefully in the loop it belongs to."""
        if not self.lanes.owned or self._loop is None:
            return
        if self._loop is asyncio.get_running_loop():
            await greenlet_spawn(self.lanes.base.dispose)
        else:
            self.dispose_sync()

    def dispose_sync(self) -> None:
        """Drop the pool if it is ours; its connections cannot be closed without their loop."""
        if self.lanes.owned:
            self._drop_pool()


class _Places:
    """A fair semaphore of one loop, for greenlets; a free place costs no switch to the loop."""

    __slots__ = ("_free", "_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        self._loop = loop
        self._free = count
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> None:
        """Wait for a place; one that arrives together with a cancellation is passed on."""
        if self._free:
            self._free -= 1
            return
        turn = self._loop.create_future()
        self._waiting.append(turn)
        try:
            await_only(turn)
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.give()
            turn.cancel()
            raise

    def give(self) -> None:
        """Hand the place to whoever waits longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class AsyncUnit(Unit):
    """A unit whose work happens in greenlets of one loop, one call at a time."""

    _store: AsyncStore

    def __init__(self, store: AsyncStore, *, nested: bool) -> None:
        super().__init__(store, nested=nested)
        self._turn = asyncio.Lock()

    def run(self, work: Work[T], *, write: bool = True) -> T:
        """Do the work here, inside a greenlet of the store."""
        self._store.bind()
        await_only(self._turn.acquire())
        try:
            return self._run(work, write=write)
        finally:
            self._turn.release()

    async def arun(self, work: Work[T], *, write: bool = True) -> T:
        """Do the work in a greenlet of its own."""
        return await self._spawn(self.run, work, write=write)  # pyright: ignore[reportReturnType]

    def close(self, *, commit: bool) -> None:
        """End the transaction here, inside a greenlet of the store."""
        self._close(commit=commit)

    async def aclose(self, *, commit: bool) -> None:
        """End the transaction, whatever becomes of the task meanwhile."""
        if self._connection is None:
            self._close(commit=commit)
            return
        with anyio.CancelScope(shield=True):
            await self._spawn(self._close, commit=commit)

    async def _spawn(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        coroutine = greenlet_spawn(function, *args, **options)
        if self._store.lanes.static:
            return await shielded(coroutine)
        return await coroutine


async def shielded(coroutine: Coroutine[Any, Any, T]) -> T:
    """Finish in any case: cancelled in mid-statement SQLAlchemy would close the connection that is the database."""
    task = asyncio.ensure_future(coroutine)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_forget)
        raise


def _forget(task: asyncio.Task[Any]) -> None:
    """Take the exception that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


class _Again:
    """Yield to the event loop what a coroutine inside the greenlet has just yielded."""

    __slots__ = ("_yielded",)

    def __init__(self, yielded: Any) -> None:
        self._yielded = yielded

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self._yielded)


def _drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine inside a greenlet: what it waits for is waited for outside, cancellation included."""
    step: Callable[[], Any] = lambda: coroutine.send(None)  # noqa: E731
    while True:
        try:
            yielded = step()
        except StopIteration as stop:
            result: T = stop.value
            return result
        step = _resume(coroutine, yielded)


def _resume(coroutine: Coroutine[Any, Any, Any], yielded: Any) -> Callable[[], Any]:
    try:
        value = await_only(_Again(yielded))
    except BaseException as error:  # noqa: BLE001  it belongs to the coroutine, cancellation too
        thrown = error
        return lambda: coroutine.throw(thrown)
    return lambda: coroutine.send(value)
