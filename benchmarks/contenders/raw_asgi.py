"""The limit: the same answers from an ASGI function, asyncpg and pydantic, written by hand for this one table."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime, timezone
from decimal import Decimal
from typing import Annotated, Any

import asyncpg
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import to_json

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CONNECTIONS = 10
COLUMNS = "id, title, author, price, in_stock, version, created_at, updated_at"
GET = f"SELECT {COLUMNS} FROM books WHERE id = $1"  # noqa: S608  both parts are constants
LIST = f"SELECT {COLUMNS} FROM shelves ORDER BY id"  # noqa: S608
CREATE = (
    "INSERT INTO books (title, author, price, in_stock, version, created_at, updated_at) "  # noqa: S608
    f"VALUES ($1, $2, $3, $4, 1, $5, $5) RETURNING {COLUMNS}"
)
PATCH = (
    "UPDATE books SET price = $1, version = version + 1, updated_at = $2 "  # noqa: S608
    f"WHERE id = $3 AND version = $4 RETURNING {COLUMNS}"
)


class Book(BaseModel):
    """What POST takes."""

    title: Annotated[str, Field(min_length=1, max_length=100)]
    author: Annotated[str, Field(min_length=1)]
    price: Annotated[Decimal, Field(ge=0, decimal_places=2)]
    in_stock: bool = True


class Change(BaseModel):
    """What PATCH takes."""

    price: Annotated[Decimal, Field(ge=0, decimal_places=2)]
    version: Annotated[int, Field(strict=True, ge=1)]


# asyncpg's own pool asks the server to reset the connection after every use: a second round trip.
free: asyncio.LifoQueue[Any] = asyncio.LifoQueue()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the five requests of the benchmark, and nothing else."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    try:
        status, body = await answer(scope, receive)
    except ValidationError as error:
        errors = error.json(include_url=False, include_context=False, include_input=False)
        status, body = 422, b'{"detail":' + errors.encode() + b"}"
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def answer(scope: Scope, receive: Receive) -> tuple[int, bytes]:
    """Return the status and the body."""
    method, path = scope["method"], scope["path"]
    if method == "GET":
        if path == "/shelves":
            rows = await ask("fetch", LIST)
            return 200, b'{"results":' + to_json([dict(row) for row in rows]) + b"}"
        row = await ask("fetchrow", GET, int(path[7:]))
        return (200, to_json(dict(row))) if row else (404, b'{"detail":"not found"}')
    sent = await body_of(receive)
    now = datetime.now(timezone.utc)
    if method == "POST":
        book = Book.model_validate_json(sent)
        row = await ask("fetchrow", CREATE, book.title, book.author, book.price, book.in_stock, now)
        return 201, to_json(dict(row))
    change = Change.model_validate_json(sent)
    row = await ask("fetchrow", PATCH, change.price, now, int(path[7:]), change.version)
    return (200, to_json(dict(row))) if row else (409, b'{"detail":"conflict"}')


async def ask(how: str, statement: str, *values: Any) -> Any:
    """Run one statement on a connection of the pool."""
    connection = await free.get()
    try:
        return await getattr(connection, how)(statement, *values)
    finally:
        free.put_nowait(connection)


async def body_of(receive: Receive) -> bytes:
    """Read the whole body."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


async def lifespan(receive: Receive, send: Send) -> None:
    """Open the connections before the first request and close them after the last."""
    await receive()
    connections = [await asyncpg.connect(os.environ["BENCHMARK_URL"]) for _ in range(CONNECTIONS)]
    for connection in connections:
        free.put_nowait(connection)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    for connection in connections:
        await connection.close()
    await send({"type": "lifespan.shutdown.complete"})
