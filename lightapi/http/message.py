"""Requests and responses as data: Starlette's own classes, plus a limit and ready JSON bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from copy import copy
from typing import Any, TypeVar

from pydantic_core import to_json
from starlette.requests import ClientDisconnect
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response

from lightapi.exceptions import ApiError, BadRequest, PayloadTooLarge

__all__ = [
    "NOSNIFF",
    "JSONBytes",
    "Request",
    "add_headers",
    "add_missing",
    "add_vary",
    "challenged",
    "detached",
    "error_response",
    "json_response",
    "owned",
]


ResponseType = TypeVar("ResponseType", bound=Response)

_UNAUTHORIZED = 401

NOSNIFF = (b"x-content-type-options", b"nosniff")
"""A browser must not guess that an answer is a page or a script."""

_LENGTH_DIGITS = 18
"""A longer Content-Length is larger than any limit; it is not worth converting."""


class JSONBytes(Response):
    """A response whose body is JSON already; ``headers`` may be changed like any response's.

    It may also be awaited, giving itself, so that ``await super().list(request)`` and
    ``super().list(request)`` mean the same in an override.
    """

    def __init__(self, body: bytes, status_code: int = 200) -> None:
        self.status_code = status_code
        self.background = None
        self.body = body
        self.raw_headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
            NOSNIFF,
        ]

    def __await__(self) -> Generator[None, None, JSONBytes]:
        yield from ()
        return self


class Request(StarletteRequest):
    """A Starlette request whose body is bounded while it is read, with or without its length."""

    max_body_size: int
    _refusal: ApiError | None = None

    async def body(self) -> bytes:
        """Return the whole body; raise PayloadTooLarge as soon as it exceeds ``max_body_size``."""
        if not hasattr(self, "_body"):
            if self._refusal is not None:
                raise self._refusal
            self._body = await self._read()
        return self._body

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Give the whole body at once, and to everybody who asks: middleware and the endpoint read the same request."""
        yield await self.body()
        yield b""

    async def prefetch(self) -> None:
        """Read the body ahead of time; a refusal is kept for whoever asks for the body."""
        try:
            await self.body()
        except ApiError as error:
            self._refusal = error

    async def _read(self) -> bytes:
        self.refuse_declared_length()
        limit = self.max_body_size
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in super().stream():
                size += len(chunk)
                if size > limit:
                    raise PayloadTooLarge(limit)
                chunks.append(chunk)
        except ClientDisconnect as error:
            raise BadRequest("the body ended before its declared length") from error
        return b"".join(chunks)

    def refuse_declared_length(self) -> None:
        """Raise PayloadTooLarge when Content-Length already says so, without reading."""
        declared = self.headers.get("content-length", "")
        if not (declared.isascii() and declared.isdigit()):
            return
        if len(declared) > _LENGTH_DIGITS or int(declared) > self.max_body_size:
            raise PayloadTooLarge(self.max_body_size)


def detached(response: ResponseType) -> ResponseType:
    """Return a copy of a response whose headers and body may be changed: a hook may answer with a shared one."""
    twin = copy(response)
    twin.__dict__.pop("_headers", None)
    twin.raw_headers = [*response.raw_headers]
    return twin


def owned(response: ResponseType) -> ResponseType:
    """Return a response whose headers may be changed: this one where it is ours, else a copy."""
    return response if isinstance(response, JSONBytes) else detached(response)


def add_missing(response: Response, name: bytes, value: bytes) -> None:
    """Append a header, unless the response has it."""
    if not any(given == name for given, _ in response.raw_headers):
        response.raw_headers.append((name, value))


def add_vary(response: Response, names: bytes) -> None:
    """Name request headers that the answer depends on (RFC 9110 section 12.5.5)."""
    response.raw_headers.append((b"vary", names))


def error_response(error: ApiError) -> JSONBytes:
    """Turn an ApiError into its answer, ``{"detail": ...}``."""
    response = JSONBytes(to_json({"detail": error.detail}), error.status_code)
    add_headers(response, error.headers)
    return response


def challenged(response: ResponseType, challenge: str = "Bearer") -> ResponseType:
    """Return an answer that names a challenge if it is a 401 (RFC 9110 section 15.5.2)."""
    if response.status_code == _UNAUTHORIZED:
        response = owned(response)
        add_missing(response, b"www-authenticate", challenge.encode("latin-1"))
    return response


def add_headers(response: Response, headers: Mapping[str, str]) -> None:
    """Append headers given as text to a response."""
    for name, value in headers.items():
        response.raw_headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))


def json_response(value: Any, status_code: int = 200) -> JSONBytes:
    """Answer a plain value as JSON; NaN and Infinity become null."""
    return JSONBytes(to_json(value, inf_nan_mode="null"), status_code)
