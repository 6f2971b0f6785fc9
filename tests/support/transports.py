"""Carry httpx requests into an ASGI or WSGI application as a correct server would."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.validate import validator

import httpx

_STANDARD_METHODS = {"GET", "HEAD", "POST", "OPTIONS", "PATCH", "PUT", "DELETE", "TRACE"}


class _Body(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


class AsgiTransport(httpx.BaseTransport):
    """Serve an ASGI application, lifespan included, on a loop that runs in another thread."""

    def __init__(self, app: Any, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._inner = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.run = run
        self._lifespan = _Lifespan(app)
        run(self._lifespan.start())

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        content = request.read()
        response: httpx.Response = self.run(self.answer(request, content))
        return response

    async def answer(self, request: httpx.Request, content: bytes) -> httpx.Response:
        """Answer one request; only on the loop."""
        copy = httpx.Request(request.method, request.url, headers=request.headers.raw, stream=_Body(content))
        response = await self._inner.handle_async_request(copy)
        # As sent: httpx undoes a Content-Encoding when it makes the response below.
        body = b"".join([piece async for piece in response.aiter_raw()])
        return httpx.Response(response.status_code, headers=response.headers.raw, content=body)

    def close(self) -> None:
        self.run(self._lifespan.stop())


class _Lifespan:
    """Drive the lifespan protocol of an ASGI application."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def start(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._task = asyncio.ensure_future(self._app(scope, self._inbox.get, self._outbox.put))
        await self._exchange("startup")

    async def stop(self) -> None:
        await self._exchange("shutdown")
        await self._task

    async def _exchange(self, phase: str) -> None:
        await self._inbox.put({"type": f"lifespan.{phase}"})
        answer = await asyncio.wait_for(self._outbox.get(), 30)
        assert answer["type"] == f"lifespan.{phase}.complete", answer


class WsgiTransport(httpx.BaseTransport):
    """Serve a WSGI application with a bounded number of threads, checking it against PEP 3333."""

    def __init__(self, app: Any, script_name: str = "", threads: int = 8) -> None:
        self._app = app
        self._checked = validator(app)
        self._script_name = script_name
        self._slots = threading.BoundedSemaphore(threads)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        environ = environ_of(request, self._script_name)
        app = self._checked if request.method in _STANDARD_METHODS else self._app
        with self._slots:
            return call_wsgi(app, environ)


def environ_of(request: httpx.Request, script_name: str = "") -> dict[str, Any]:
    """Make the environ that a PEP 3333 server makes of the request."""
    content = request.read()
    path, _, query = request.url.raw_path.partition(b"?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": script_name,
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1").removeprefix(script_name),
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.url.scheme,
        "wsgi.input": io.BytesIO(content),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in request.headers.raw:
        name = raw_name.decode("latin-1").upper().replace("-", "_")
        key = name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"
        environ[key] = raw_value.decode("latin-1")
    if "HTTP_TRANSFER_ENCODING" in environ:
        environ["wsgi.input_terminated"] = True
    return environ


def call_wsgi(app: Any, environ: dict[str, Any]) -> httpx.Response:
    """Call a WSGI application once and close its answer, as a server does."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], object]:
        started[:] = [(status, headers)]
        return lambda _data: None

    result = app(environ, start_response)
    try:
        body = b"".join(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    status, headers = started[0]
    return httpx.Response(int(status.split()[0]), headers=headers, content=body)
