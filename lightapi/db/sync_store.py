"""The store over a sync engine: work runs in threads that may block, one hop away from an event loop."""

from __future__ import annotations

import asyncio
import math
import queue
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from time import monotonic, sleep
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from lightapi.db.base import PING_TIMEOUT, Store, Work
from lightapi.db.deadline import Watch, watchdog
from lightapi.db.engine import Lanes
from lightapi.db.listeners import connecting
from lightapi.db.unit import Unit
from lightapi.exceptions import ServiceUnavailable

__all__ = ["SyncStore"]

T = TypeVar("T")
_POLL = 0.005

_holds_nested: ContextVar[bool] = ContextVar("lightapi_holds_nested", default=False)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, None in a plain thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _Slots:
    """The limiters of one event loop: callers wait in the loop, not in threads."""

    def __init__(self, capacity: int, nested: int) -> None:
        self.plain = anyio.CapacityLimiter(capacity)
        self.nested = anyio.CapacityLimiter(nested)
        self.hops = anyio.CapacityLimiter(math.inf)

    async def hop(self, function: Callable[[], T]) -> T:
        """Run the function in a worker thread; whoever calls holds a slot already."""
        return await anyio.to_thread.run_sync(function, limiter=self.hops)


class SyncStore(Store):
    """A sync engine."""

    is_async = False

    def __init__(self, lanes: Lanes, *, timeout: float, sqlite_foreign_keys: bool) -> None:
        super().__init__(lanes, timeout=timeout, sqlite_foreign_keys=sqlite_foreign_keys)
        self._counts = not self._static and hasattr(lanes.base.pool, "checkedout")
        self.reset()

    def reset(self) -> None:
        """Begin anew, with locks that nobody holds."""
        self._gate = threading.Lock()
        self._ready_lock = threading.Lock()
        self._slots: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Slots] = weakref.WeakKeyDictionary()
        self._places = _tokens(self.capacity)
        self._nested_places = _tokens(self.nested_capacity)

    def watch(self, seconds: float) -> Watch:
        """Put work of this thread under the process's watchdog."""
        watch = Watch(monotonic() + seconds)
        watchdog.start(watch)
        return watch

    def rewatch(self, watch: Watch) -> None:
        """Watch it again, for a second attempt."""
        watch.finished = False
        watchdog.start(watch)

    def unwatch(self, watch: Watch) -> bool:
        """End it; false when the work was late."""
        return watchdog.stop(watch)

    def take(self, watch: Watch, *, write: bool) -> None:
        """Wait in this thread for the gate, then for a place in the pool."""
        gated = self.gated(write=write)
        if gated and not self._gate.acquire(timeout=watch.remaining()):
            raise ServiceUnavailable
        try:
            self._places.get(timeout=watch.remaining())
        except (queue.Empty, ServiceUnavailable):
            if gated:
                self._gate.release()
            raise ServiceUnavailable from None

    def give(self, *, write: bool) -> None:
        """Give the place and the gate back."""
        self._places.put(None)
        if self.gated(write=write):
            self._gate.release()

    def take_nested(self, watch: Watch, owner: object) -> bool:
        """Wait for a nested place, unless the whole call has one (see ``enter``)."""
        if _holds_nested.get():
            return False
        try:
            self._nested_places.get(timeout=watch.remaining())
        except queue.Empty:
            raise ServiceUnavailable from None
        return True

    def give_nested(self, owner: object) -> None:
        """Give it back."""
        self._nested_places.put(None)

    def await_pool(self, watch: Watch) -> None:
        """Wait while others than this store have emptied the pool, whose own timeout may be too long for us."""
        connecting.watch = watch
        if not self._counts:
            return
        pool: Any = self.lanes.base.pool
        while pool.checkedout() >= self.capacity:
            sleep(min(_POLL, watch.remaining()))

    def once(self, work: Work[T], *, write: bool = False, transaction: bool = False) -> T:
        """Do the work in this thread, which may block."""
        return self.watched(work, self.watch(self.timeout), write=write, transaction=transaction)

    async def aonce(self, work: Work[T], *, write: bool = False, transaction: bool = False) -> T:
        """Do the work in a thread; in this one, without ever suspending, when no loop runs in it."""
        loop = running_loop()
        if loop is None:
            return self.once(work, write=write, transaction=transaction)
        expires = monotonic() + self.timeout
        slots = self.slots(loop)
        async with held(slots.plain, self.timeout):
            return await slots.hop(partial(self._until, expires, work, write=write, transaction=transaction))

    def _until(self, expires: float, work: Work[T], *, write: bool, transaction: bool) -> T:
        return self.watched(work, self.watch(expires - monotonic()), write=write, transaction=transaction)

    def slots(self, loop: asyncio.AbstractEventLoop) -> _Slots:
        """Return this loop's limiters."""
        found = self._slots.get(loop)
        if found is None:
            found = self._slots[loop] = _Slots(self.capacity, self.nested_capacity)
        return found

    def unit(self, *, nested: bool = False) -> Unit:
        """Return the database work of one request."""
        return SyncUnit(self, nested=nested)

    async def enter(self, function: Callable[..., T], *args: Any, nested: bool = False) -> T:
        """Run sync code in a thread with a slot of this store; in this one when no loop runs in it."""
        loop = running_loop()
        if loop is None:
            return self._enter_here(function, *args, nested=nested)
        slots = self.slots(loop)
        async with held(slots.nested if nested else slots.plain, self.timeout):
            token = _holds_nested.set(nested)
            try:
                return await slots.hop(partial(function, *args))
            finally:
                _holds_nested.reset(token)

    def _enter_here(self, function: Callable[..., T], *args: Any, nested: bool) -> T:
        if not nested:
            return function(*args)
        taken = self.take_nested(Watch(monotonic() + self.timeout), self)
        token = _holds_nested.set(True)
        try:
            return function(*args)
        finally:
            _holds_nested.reset(token)
            if taken:
                self.give_nested(self)

    async def enter_async(self, coroutine: Coroutine[Any, Any, T], *, nested: bool = False) -> T:
        """Await the coroutine; its helpers hop to a thread each."""
        loop = running_loop()
        if loop is None or not nested:
            return await coroutine
        try:
            async with held(self.slots(loop).nested, self.timeout):
                token = _holds_nested.set(True)
                try:
                    return await coroutine
                finally:
                    _holds_nested.reset(token)
        finally:
            coroutine.close()  # of no effect once it ran

    async def ready(self, prepare: Work[None], key: str) -> None:
        """Run ``prepare`` once, in a thread."""
        if key in self._ready_keys:
            return
        loop = running_loop()
        if loop is None:
            self.ready_sync(prepare, key)
        else:
            await self.slots(loop).hop(partial(self.ready_sync, prepare, key))

    def ready_sync(self, prepare: Work[None], key: str) -> None:
        """Run ``prepare`` once, here."""
        if key not in self._ready_keys:
            with self._ready_lock:
                self.prepare(prepare, key)

    async def ping(self) -> None:
        """Ask for an answer in a thread, past the queue of ordinary work."""
        loop = running_loop()
        if loop is None:
            self.answer(PING_TIMEOUT)
        else:
            await self.slots(loop).hop(partial(self.answer, PING_TIMEOUT))

    async def dispose(self) -> None:
        """Close the pool if it is ours."""
        self.dispose_sync()

    def dispose_sync(self) -> None:
        """Close the pool if it is ours."""
        if self.lanes.owned:
            self.lanes.base.dispose()


class SyncUnit(Unit):
    """A unit whose work happens in threads, one call at a time."""

    _store: SyncStore

    def __init__(self, store: SyncStore, *, nested: bool) -> None:
        super().__init__(store, nested=nested)
        self._lock = threading.Lock()
        self._turn = asyncio.Lock()
        self._slot: anyio.CapacityLimiter | None = None

    def run(self, work: Work[T], *, write: bool = True) -> T:
        """Do the work in this thread."""
        if not self._lock.acquire(timeout=self.left()):
            raise ServiceUnavailable
        try:
            return self._run(work, write=write)
        finally:
            self._lock.release()

    async def arun(self, work: Work[T], *, write: bool = True) -> T:
        """Do the work in a worker thread; in this one when no loop runs in it."""
        loop = running_loop()
        if loop is None:
            return self.run(work, write=write)
        async with self._turn:
            slots = self._store.slots(loop)
            if self._slot is None:
                begun = monotonic()
                await self._take_slot(slots, write=write)
                self._spent += monotonic() - begun
            try:
                return await slots.hop(partial(self.run, work, write=write))
            finally:
                self._give_slot()

    async def _take_slot(self, slots: _Slots, *, write: bool) -> None:
        limiter = slots.plain
        if write and self._nested and not _holds_nested.get():
            limiter = slots.nested
        await acquire(limiter, self, self.left())
        self._slot = limiter

    def _give_slot(self) -> None:
        """Keep the slot while a transaction is open: its next call must not queue behind those who wait for it."""
        if self._connection is None and self._slot is not None:
            self._slot.release_on_behalf_of(self)
            self._slot = None

    def close(self, *, commit: bool) -> None:
        """End the transaction in this thread."""
        with self._lock:
            self._close(commit=commit)

    async def aclose(self, *, commit: bool) -> None:
        """End the transaction in a worker thread, whatever becomes of the task meanwhile."""
        loop = running_loop()
        if loop is None or self._connection is None:
            self.close(commit=commit)
            return
        with anyio.CancelScope(shield=True):
            try:
                await self._store.slots(loop).hop(partial(self.close, commit=commit))
            finally:
                self._give_slot()


def _tokens(count: int) -> queue.SimpleQueue[None]:
    """Return a semaphore: SimpleQueue waits with a timeout in C, threading.Semaphore in Python."""
    tokens: queue.SimpleQueue[None] = queue.SimpleQueue()
    for _ in range(count):
        tokens.put(None)
    return tokens


async def acquire(limiter: anyio.CapacityLimiter, borrower: object, seconds: float) -> None:
    """Borrow from the limiter within the time, or raise ServiceUnavailable."""
    try:
        limiter.acquire_on_behalf_of_nowait(borrower)
    except anyio.WouldBlock:
        with anyio.move_on_after(seconds):
            await limiter.acquire_on_behalf_of(borrower)
            return
        raise ServiceUnavailable from None


@asynccontextmanager
async def held(limiter: anyio.CapacityLimiter, seconds: float) -> AsyncIterator[None]:
    """Hold a slot of the limiter."""
    borrower = object()
    await acquire(limiter, borrower, seconds)
    try:
        yield
    finally:
        limiter.release_on_behalf_of(borrower)
