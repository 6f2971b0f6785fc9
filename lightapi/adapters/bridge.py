"""Any ASGI application behind a WSGI server: a2wsgi, hardened. It knows nothing of LightAPI's pipeline."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import inspect
import logging
import os
import sys
import threading
import weakref
from collections.abc import Coroutine, Generator, Iterable, Iterator
from typing import Any, cast

from a2wsgi.asgi import ASGIResponder, AsyncEvent, StatusStringMapping
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message

from lightapi.adapters.environ import Body, Environ, StartResponse, build_scope
from lightapi.adapters.loop import LoopStopped, LoopThread, Mailbox, StartupFailed, at_thread_shutdown
from lightapi.exceptions import ApiError, ServiceUnavailable
from lightapi.http.message import error_response

__all__ = ["Bridge", "refuse"]

logger = logging.getLogger("lightapi")

_ENDLESS = sys.maxsize
"""The length that a2wsgi is told for a body whose end only its reading shows."""
_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailers",
        b"transfer-encoding",
        b"upgrade",
    ),
)
"""They belong to the server; PEP 3333 forbids them to an application."""
_NEVER = threading.Event()
"""a2wsgi's "the application is done", which nobody waits for here."""


class Bridge:
    """Serve an ASGI application to a WSGI server: a2wsgi on one event loop per process, hardened.

    Making one starts nothing. The loop and the application's lifespan start with the first request
    of each process, so that a server may fork after loading the application; they stop with
    `close` or with the process.
    """

    def __init__(self, app: ASGIApp, *, max_body_size: int, lifespan: bool = True) -> None:
        self._app = app
        self._max_body_size = max_body_size
        self._lifespan = lifespan
        self._lock = threading.Lock()
        self._thread: LoopThread | None = None
        _bridges.add(self)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a WSGI request from the application."""
        return self.respond(self._app, environ, start_response)

    def respond(self, app: ASGIApp, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a WSGI request from another ASGI callable, a streaming response for example."""
        try:
            body = Body(environ, self._max_body_size)
            scope = build_scope(environ)
            thread = self._running()
        except ApiError as error:
            return refuse(error, environ, start_response)
        except StartupFailed:
            return refuse(ApiError(), environ, start_response)
        except LoopStopped:
            return refuse(ServiceUnavailable(), environ, start_response)
        scope["state"].update(thread.state)
        return _stream(_Responder(app, thread, scope, body), environ, start_response)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the process's loop, in this thread's context, and return its result."""
        try:
            return self._running().run(coroutine)
        finally:
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()

    def state(self) -> dict[str, Any]:
        """Return what the application's lifespan yielded, having started it; raise the ApiError of a failed start."""
        try:
            return self._running().state
        except StartupFailed:
            raise ApiError from None
        except LoopStopped:
            raise ServiceUnavailable from None

    def close(self, timeout: float = 5.0) -> None:
        """Wait up to ``timeout`` for what still runs, then cancel it and run the lifespan's shutdown.

        A request that comes later starts a loop again.
        """
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop(timeout)

    def _running(self) -> LoopThread:
        """Return this process's loop, started; whoever comes while it starts shares the outcome."""
        thread = self._thread
        if thread is None or thread.stopped.is_set():
            # Nothing may wait inside this lock: under gevent it would stop every greenlet.
            with self._lock:
                thread = self._thread
                if thread is None or thread.stopped.is_set():
                    thread = LoopThread(self._app if self._lifespan else None)
                    thread.start()
                    self._thread = thread
        try:
            thread.ready()
        except (StartupFailed, LoopStopped):
            with self._lock:
                if self._thread is thread:
                    self._thread = None
            raise
        return thread

    def _forget(self) -> None:
        """Drop the parent's loop in a forked child, where its thread does not run."""
        self._lock = threading.Lock()
        self._thread = None


class _Loop:
    """The event loop as a2wsgi knows it: telling one that has ended is nothing, for the mailbox tells the pump so."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._tell = loop.call_soon_threadsafe
        self.create_future = loop.create_future
        self.create_task = loop.create_task

    def call_soon_threadsafe(self, function: Any, *arguments: Any) -> None:
        try:
            self._tell(function, *arguments)
        except RuntimeError:
            logger.debug("the event loop ended before the server had taken the answer")


class _Responder(ASGIResponder):
    """One request: a2wsgi's pump between the server's thread and the loop, with its ends made fast.

    The pump is `ASGIResponder.__call__`, a generator in the server's thread: it takes messages from
    `sync_event`, reads the body, yields the answer. The coroutines here run on the loop.
    """

    def __init__(self, app: ASGIApp, thread: LoopThread, scope: dict[str, Any], body: Body) -> None:
        # Not super().__init__: it would make its lock on the loop, one wake-up more per request.
        self.app = cast("Any", app)
        self.loop = cast("asyncio.AbstractEventLoop", _Loop(thread.ready()))
        self.wait_time = 0  # what follows the answer runs on without the server: see `cancel`
        self.sync_event = cast("Any", Mailbox(thread))
        self.sync_event_set_lock = asyncio.Lock()
        self.receive_event = AsyncEvent(self.loop)
        self.send_event = AsyncEvent(self.loop)
        self.asgi_done = _NEVER
        self.wsgi_should_stop = False
        self.body = body
        self.thread = thread
        self._scope = scope
        self._start: Message | None = None
        self._begun = False
        self._complete = False
        self._let_go = False
        self._gone = asyncio.Event()
        self._nothing_sent = body.length == 0
        self._read_out = self._nothing_sent
        self._pull: asyncio.Task[Any] | None = None
        self._task: asyncio.Task[Any] | None = None

    def execute_in_loop(self, coro: Coroutine[None, None, Any]) -> Any:
        """Start the application without waiting for that; a2wsgi keeps what is returned as its task."""
        try:
            self.thread.submit(self._begin, coro)
        except LoopStopped:
            coro.close()
            raise
        return self

    def _begin(self, coro: Coroutine[None, None, Any]) -> None:
        self._task = self.thread.spawn(coro)

    async def start_asgi_app(self, environ: Any) -> Any:
        """Run the application to its end, background tasks included; whatever happens, the pump hears of it."""
        try:
            await self.app(cast("Any", self._scope), self.asgi_receive, self.asgi_send)
            self._check_complete()
        except asyncio.CancelledError as error:
            await self._fail(error)
            raise
        except BaseException as error:
            if self._let_go and not self._complete and isinstance(error, (ClientDisconnect, OSError)):
                return
            logger.exception("%s %r failed", self._scope["method"], self._scope["path"])
            await self._fail(error)

    def _check_complete(self) -> None:
        if not self._complete and not self._let_go:
            raise RuntimeError("the application returned without completing its response")

    async def _fail(self, error: BaseException) -> None:
        """Answer 500, or break off an answer that has begun so that the client cannot take it for whole."""
        if self._complete or self._let_go:
            return
        if not self._begun:
            response = error_response(ApiError())
            self._start = {"type": "http.response.start", "status": 500, "headers": response.raw_headers}
            await self.asgi_send({"type": "http.response.body", "body": response.body})
            return
        if not isinstance(error, Exception):
            error = RuntimeError(f"the response was broken off by {error!r}")
        await self.sync_event_set_lock.acquire()
        self.sync_event.set({"type": "a2wsgi.error", "exception": (type(error), error, error.__traceback__)})

    async def asgi_receive(self) -> Any:
        """Return the next piece of the body, then wait for the end of the exchange.

        A cancelled call loses nothing: `Request.is_disconnected` cancels each of its calls.
        """
        if self._let_go or (self._read_out and not self._nothing_sent):
            await self._gone.wait()
            return {"type": "http.disconnect"}
        await asyncio.sleep(0)  # the moment for a cancellation: what is returned counts as received
        if self._nothing_sent:
            self._nothing_sent = False
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._pull is None:
            self._pull = self.loop.create_task(super().asgi_receive())
        pull = self._pull
        try:
            message = cast("Any", await asyncio.shield(pull))
        except asyncio.CancelledError:
            if pull.cancelled() and self._complete:
                return {"type": "http.disconnect"}
            raise
        self._pull = None
        if message["type"] == "http.request" and not (message["body"] and message["more_body"]):
            self._read_out = True
            message["more_body"] = False
        return message

    async def asgi_send(self, message: Any) -> None:
        """Pass a message on and wait until the server has taken it: that is the backpressure.

        The start waits for the first piece of the body: a failure between them is a clean 500.
        """
        if self._let_go and not self._complete:
            raise OSError("the client has gone")
        kind = message["type"]
        if kind == "http.response.start" and self._start is None:
            headers = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in _HOP_BY_HOP]
            self._start = {"type": kind, "status": message["status"], "headers": headers}
        elif kind == "http.response.body" and self._start is not None and not self._complete:
            if not self._begun:
                self._begun = True
                await self._hand_over(self._start, complete=False)
            piece, more_body = bytes(message.get("body", b"")), message.get("more_body", False)
            await self._hand_over({"type": kind, "body": piece, "more_body": more_body}, complete=not more_body)
        else:
            raise RuntimeError(f"ASGI message {kind!r} is not expected here")

    async def _hand_over(self, message: Message, *, complete: bool) -> None:
        await self.sync_event_set_lock.acquire()
        self._complete = complete
        self.sync_event.set(cast("Any", message))
        await self.send_event.wait()

    def cancel(self) -> None:
        """End the exchange, on the loop: the task of a complete answer runs on, any other is cancelled.

        a2wsgi calls this for its task's own `cancel`, after the server took the last piece.
        """
        self._let_go = True
        self._gone.set()
        if self._complete:
            self.send_event.set(None)
        elif self._task is not None:
            self._task.cancel()
        if self._pull is not None:
            self._pull.cancel()


def _stream(responder: _Responder, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Yield the application's answer; closing this generator lets the application go."""
    length = responder.body.length
    started = finished = False

    def start(status: str, headers: list[tuple[str, str]], failure: Any = None) -> Any:
        nonlocal started
        if failure is not None:
            raise failure[1]
        started = True
        return start_response(status, headers)

    request = {"wsgi.input": responder.body, "CONTENT_LENGTH": _ENDLESS if length is None else length}
    try:
        with contextlib.closing(cast("Generator[bytes]", responder(cast("Any", request), start))) as pump:
            for piece in pump:
                if environ["REQUEST_METHOD"] != "HEAD":
                    yield piece
        finished = True
    except (ApiError, RuntimeError) as error:
        if started or not (isinstance(error, ApiError) or responder.thread.stopped.is_set()):
            raise
        answer = error if isinstance(error, ApiError) else ServiceUnavailable()
        yield from refuse(answer, environ, start_response)
    finally:
        if not finished:
            with contextlib.suppress(LoopStopped):
                responder.thread.submit(responder.cancel)


def refuse(error: ApiError, environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answer a request that the application does not get to see, or whose body broke off."""
    response = error_response(error)
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers]
    start_response(StatusStringMapping[response.status_code], headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [bytes(response.body)]


_bridges: weakref.WeakSet[Bridge] = weakref.WeakSet()


def _forget_all() -> None:
    for bridge in list(_bridges):
        bridge._forget()


def _close_all() -> None:
    for bridge in list(_bridges):
        bridge.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
at_thread_shutdown(_close_all)
# Once more at the very end: where the main thread ends first, other threads may have served on.
atexit.register(_close_all)
