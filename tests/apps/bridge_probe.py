"""A small ASGI application behind the bridge that reports what happened to it, for tests of real WSGI servers."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from lightapi.adapters.bridge import Bridge

logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
LIMIT = 1000
happened: list[str] = []


async def answer(send: Send, value: Any, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    body = json.dumps(value).encode()
    length = (b"content-length", b"%d" % len(body))
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"application/json"), length, *headers],
        },
    )
    await send({"type": "http.response.body", "body": body})


async def read(receive: Receive) -> bytes:
    body = b""
    more_body = True
    while more_body:
        message = await receive()
        body += message["body"]
        more_body = message["more_body"]
    return body


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        body = await read(receive)
    except asyncio.CancelledError:
        happened.append("echo cancelled")
        raise
    await answer(send, {"length": len(body), "start": body[:20].decode("latin-1"), "path": scope["path"]})


async def report(scope: Scope, receive: Receive, send: Send) -> None:
    tasks = len(asyncio.all_tasks())
    loops = sum(thread.name == "lightapi-loop" for thread in threading.enumerate())
    await answer(send, {"pid": os.getpid(), "happened": happened, "tasks": tasks, "loops": loops})


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        for number in range(100_000):
            await send({"type": "http.response.body", "body": b"%08d" % number * 1000, "more_body": True})
            happened[:] = [f"sent {number}"]
            await asyncio.sleep(0.001)
        await send({"type": "http.response.body", "body": b""})
    finally:
        happened.append("stream left")


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await asyncio.sleep(2)
    await send({"type": "http.response.body", "body": b"last"})


async def broken_stream(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    raise ValueError("broken in the middle")


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("broken at once")


async def background(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, "accepted", 202)
    await asyncio.sleep(1)
    happened.append("background done")
    record("background done")


async def sleep(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(3600)


async def cookies(scope: Scope, receive: Receive, send: Send) -> None:
    cookie = b"set-cookie"
    await answer(send, {"client": scope["client"]}, headers=((cookie, b"a=1"), (cookie, b"b=2")))


def record(line: str) -> None:
    """Write a line where a test can read it after the process has ended."""
    if path := os.environ.get("BRIDGE_LOG"):
        with Path(path).open("a") as file:
            file.write(f"{line} {os.getpid()}\n")


async def lifespan(receive: Receive, send: Send) -> None:
    await receive()
    record("startup")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    record("shutdown")
    await send({"type": "lifespan.shutdown.complete"})


PAGES: dict[str, Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]] = {
    "/report": report,
    "/stream": stream,
    "/slow": slow,
    "/broken-stream": broken_stream,
    "/fail": fail,
    "/background": background,
    "/sleep": sleep,
    "/cookies": cookies,
}


async def probe(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    else:
        await PAGES.get(scope["path"], echo)(scope, receive, send)


application = Bridge(probe, max_body_size=LIMIT)
