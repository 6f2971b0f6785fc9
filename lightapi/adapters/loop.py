"""One event loop in a thread of its own, inside an application's lifespan. It knows nothing of WSGI."""

from __future__ import annotations

import asyncio
import concurrent.futures
import concurrent.futures.thread  # imported for its exit hook: see `at_thread_shutdown`
import logging
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from starlette.types import ASGIApp, Message

__all__ = ["LoopStopped", "LoopThread", "Mailbox", "StartupFailed", "at_thread_shutdown", "gevent_patched"]

_T = TypeVar("_T")

logger = logging.getLogger("lightapi")

POLL = 0.5
"""Seconds between two looks at whether the loop that a thread waits for still exists."""


class StartupFailed(RuntimeError):
    """The application's lifespan refused to start."""


class LoopStopped(RuntimeError):
    """The loop ended before it could answer."""


def gevent_patched() -> bool:
    """Say whether gevent has replaced threads by greenlets in this process."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def at_thread_shutdown(function: Callable[[], None]) -> None:
    """Call ``function`` when the main thread ends, before other threads are waited for.

    `atexit` comes too late: the interpreter joins the threads of every executor first, and those
    of a threaded server may be the very threads that wait for our loop. `concurrent.futures` uses
    this hook of `threading` for the same reason; hooks run last in, first out.
    """
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(function)


class _Lifespan:
    """One run of the ASGI lifespan protocol; an application that does not speak it is let be."""

    def __init__(self, app: ASGIApp, state: dict[str, Any]) -> None:
        self._app = app
        self._state = state
        self._begun = asyncio.Event()
        self._leave = asyncio.Event()
        self._ended = asyncio.Event()
        self._asked = False
        self._failure: str | None = None
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Run the application's startup; raise StartupFailed with what it said when it failed."""
        self._task = asyncio.create_task(self._run())
        try:
            await self._begun.wait()
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        if self._failure is not None:
            raise StartupFailed(self._failure)

    async def shutdown(self) -> None:
        """Run the application's shutdown and wait for it."""
        if self._task is None or self._task.done():
            return
        self._leave.set()
        await self._ended.wait()

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except (Exception, SystemExit):
            if not self._begun.is_set():
                # ASGI: raising before anything is sent means "I know no lifespan".
                logger.debug("the application has no lifespan", exc_info=True)
            elif self._failure is None:
                logger.exception("the application's lifespan failed")
        finally:
            self._begun.set()
            self._ended.set()

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self._leave.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self._begun.set()
        elif kind == "lifespan.startup.failed":
            self._failure = message.get("message") or "no reason given"
            self._begun.set()
        elif kind == "lifespan.shutdown.failed":
            logger.error("the application's lifespan shutdown failed: %s", message.get("message"))
            self._ended.set()
        elif kind == "lifespan.shutdown.complete":
            self._ended.set()


class LoopThread:
    """An event loop in a daemon thread; it starts once, serves, and stops once.

    Everything runs beneath one root task: anyio looks for it, and without one it would make a
    worker thread and a limiter for each request.
    """

    def __init__(self, app: ASGIApp | None) -> None:
        self.state: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.stopped = threading.Event()
        self._app = app
        self._started: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        self._leave = asyncio.Event()
        self._grace = 0.0
        self._unwanted = False
        self._root: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Start the thread, a real one in a gevent process too, and wait for nothing; raise LoopStopped if it cannot.

        Python 3.12 starts no thread once the main one has ended.
        """
        try:
            if gevent_patched():
                # A greenlet would show its running loop to every other greenlet of the same thread.
                sys.modules["gevent.monkey"].get_original("_thread", "start_new_thread")(self._run, ())
            else:
                threading.Thread(target=self._run, name="lightapi-loop", daemon=True).start()
        except RuntimeError as error:
            raise LoopStopped(str(error)) from error

    def ready(self) -> asyncio.AbstractEventLoop:
        """Return the loop once the application has started; raise StartupFailed or LoopStopped."""
        return self.wait(self._started)

    def wait(self, future: concurrent.futures.Future[_T]) -> _T:
        """Return a future's result, or raise LoopStopped when the loop ended without giving one."""
        while not future.done():
            concurrent.futures.wait([future], timeout=POLL)
            if self.stopped.is_set() and not future.done():
                raise LoopStopped("the event loop stopped")
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise LoopStopped("the task was cancelled") from None

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine on the loop, in a copy of this thread's context, and return its result."""
        loop = self.ready()
        if _running_loop() is loop:
            raise RuntimeError("run() would wait for the loop that it is called on; await the coroutine instead")
        tracked = self._tracked(coroutine)
        try:
            future = asyncio.run_coroutine_threadsafe(tracked, loop)
        except RuntimeError:
            tracked.close()
            raise LoopStopped("the event loop stopped") from None
        try:
            return self.wait(future)
        except BaseException:
            if not self.stopped.is_set():
                future.cancel()
            raise

    async def _tracked(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        task = asyncio.current_task()
        assert task is not None
        self._track(task)
        return await coroutine

    def submit(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function on the loop, in a copy of this thread's context; raise LoopStopped if it ended."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            raise LoopStopped("the event loop stopped") from None

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Make a task that a stopping loop waits for; called on the loop."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._track(task)
        return task

    def _track(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self, timeout: float) -> None:
        """Give tasks up to ``timeout`` seconds, cancel the rest, run the lifespan's shutdown, end the thread.

        Threads that wait for the loop are released in any case, even when it is stuck.
        """
        self._grace = timeout
        self._unwanted = True
        if self._loop is not None:
            try:
                self.submit(self._begin_stop)
            except LoopStopped:
                logger.debug("the event loop has ended already")
        if not self.stopped.wait(timeout + 4 * POLL):
            logger.warning("the event loop did not stop within %s seconds", timeout)
            self.stopped.set()

    def _begin_stop(self) -> None:
        assert self._root is not None
        if self._started.done():
            self._leave.set()
        else:
            self._root.cancel()

    def _run(self) -> None:
        """Run the thread: nothing that a task raises may end it, SystemExit included."""
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        root = self._root = loop.create_task(self._serve())
        self._loop = loop
        try:
            while not root.done():
                try:
                    loop.run_until_complete(root)
                except asyncio.CancelledError:
                    logger.debug("stopped while the application was starting")
                except (SystemExit, KeyboardInterrupt):
                    logger.exception("a task tried to end the process")
            loop.run_until_complete(_cancel(asyncio.all_tasks(loop)))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
            if not self._started.done():
                self._started.set_exception(LoopStopped("the event loop stopped"))
            self.stopped.set()

    async def _serve(self) -> None:
        lifespan = None if self._app is None else _Lifespan(self._app, self.state)
        # A stop that came before there was a loop to tell.
        if self._unwanted:
            return
        if lifespan is not None:
            try:
                await lifespan.startup()
            except StartupFailed as failure:
                logger.error("the application did not start: %s", failure)  # noqa: TRY400  its text is a traceback
                self._started.set_exception(failure)
                return
        self._started.set_result(asyncio.get_running_loop())
        await self._leave.wait()
        await self._drain()
        if lifespan is not None:
            try:
                await asyncio.wait_for(lifespan.shutdown(), max(self._grace, POLL))
            except asyncio.TimeoutError:
                logger.warning("the application's lifespan shutdown took too long")

    async def _drain(self) -> None:
        """Wait for the tasks as long as the grace lasts, then cancel them."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._grace)
            await _cancel(late)


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel tasks and give them a moment to clean up."""
    tasks.discard(cast("asyncio.Task[Any]", asyncio.current_task()))
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=POLL)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Mailbox:
    """What `a2wsgi.asgi.SyncEvent` is, except that the wait ends when the loop does."""

    def __init__(self, thread: LoopThread) -> None:
        self._thread = thread
        self._arrived = threading.Event()
        self._message: Any = None

    def set(self, message: Any) -> None:
        """Hand a message over."""
        self._message = message
        self._arrived.set()

    def wait(self) -> Any:
        """Return the next message; raise LoopStopped when none can come any more."""
        while not self._arrived.wait(POLL):
            if self._thread.stopped.is_set():
                raise LoopStopped("the event loop stopped")
        self._arrived.clear()
        message, self._message = self._message, None
        return message
