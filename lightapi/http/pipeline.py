"""The life of a request, once, for every host and engine."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response

from lightapi.exceptions import ApiError, MethodNotAllowed
from lightapi.http.message import NOSNIFF, JSONBytes, Request, challenged, detached, error_response, owned
from lightapi.plan import Route

__all__ = ["Pipeline", "Step"]

logger = logging.getLogger("lightapi")

Translate = Callable[[BaseException], ApiError | None]


class Step(Protocol):
    """One middleware's ``process``, made awaitable: before (None) and after the endpoint."""

    def __call__(self, request: StarletteRequest, response: Response | None, /) -> Awaitable[Response | None]:  # pyright: ignore[reportReturnType]
        """Return the response to send, or None to go on."""


class Pipeline:
    """Run requests: middleware, verb, access, handler, middleware; every failure becomes JSON."""

    def __init__(self, steps: Sequence[Step], translate: Translate) -> None:
        self._before = tuple(steps)
        self._after = tuple(reversed(steps))
        self._translate = translate

    async def run(self, request: Request, route: Route) -> Response:
        """Answer one request. Nothing raised below leaves here."""
        request.state.user = None
        try:
            response = await self._answer(request, route)
        except Exception as error:  # noqa: BLE001  the one place that turns failures into answers
            response = self._failure(request, error)
        access = route.access.get("GET" if request.method == "HEAD" else request.method)
        if access is not None:
            response = access.seal(request, response)
        if self._after and not route.internal:
            response = await self._run_after(request, response)
        return challenged(response) if access is None else challenged(response, access.challenge)

    async def _answer(self, request: Request, route: Route) -> Response:
        if self._before and not route.internal:
            for step in self._before:
                early = await step(request, None)
                if early is not None:
                    return early
        method = request.method
        verb = "GET" if method == "HEAD" else method
        handler = route.handlers.get(verb)
        if handler is None:
            if method == "OPTIONS":
                return options_response(route)
            raise MethodNotAllowed(route.verbs, route.allow)
        access = route.access.get(verb)
        if access is not None:
            await access(request)
        return await handler(request)

    async def _run_after(self, request: Request, response: Response) -> Response:
        for step in self._after:
            try:
                response = await step(request, response) or response
            except Exception as error:  # noqa: BLE001  a failing middleware is an answer too
                response = self._failure(request, error)
        return response

    def _failure(self, request: Request, error: Exception) -> Response:
        try:
            known = self._translate(error)
            if known is None and isinstance(error, HTTPException):
                known = from_http_exception(error)
            if known is not None:
                return error_response(known)
        except Exception as failure:  # noqa: BLE001  what a hook raised can't be said in JSON or in a header
            error = failure
        logger.error("%s %s failed", request.method, request.scope["path"], exc_info=error)
        return error_response(ApiError())


def options_response(route: Route) -> Response:
    """Answer OPTIONS: 204 and ``Allow`` (RFC 9110 section 9.3.7)."""
    return Response(status_code=204, headers={"Allow": route.allow})


def from_http_exception(error: HTTPException) -> ApiError:
    """Return the ApiError that says what a Starlette HTTPException does."""
    known = ApiError(error.detail, error.headers)
    known.status_code = error.status_code
    return known


def finish(method: str, response: Response) -> Response:
    """Make the message well-formed: a length that is the body's, no body for HEAD, 204 and 304.

    What no message can be is a bug of a hook; a line break in a header would let a client write headers.
    """
    wrong = _wrong_in(response)
    if wrong:
        logger.error("%s: 500 instead", wrong)
        response = error_response(ApiError())
    if not any(pair[0] == NOSNIFF[0] for pair in response.raw_headers):
        response = owned(response)
        response.raw_headers.append(NOSNIFF)
    if not hasattr(response, "body"):
        return response
    body: Any = response.body
    if not isinstance(body, bytes):
        response = detached(response)
        body = response.body = body.encode() if isinstance(body, str) else bytes(body or b"")
    if response.status_code in _BODILESS:
        response = detached(response)
        response.body = b""
        drop_header(response, b"content-length")
        drop_header(response, b"content-type")
        return response
    if not _length_is(response, len(body)):
        response = detached(response)
        drop_header(response, b"content-length")
        response.raw_headers.append((b"content-length", b"%d" % len(body)))
    if method == "HEAD":
        response = detached(response)
        response.body = b""
    return response


def _wrong_in(response: Response) -> str:
    """Return what no server could send of a response (RFC 9110 sections 5.1, 5.5 and 15, PEP 3333), if anything."""
    status: Any = response.status_code
    if not isinstance(status, int):
        return f"the response has the status {status!r}, which is no whole number"
    if not _FINAL <= status <= _LAST:
        return f"the response has the status {status}"
    for name, value in response.raw_headers:
        if name not in _USUAL and not _NAME.fullmatch(name):
            return f"the response has a header of the name {name!r}"
        if _CONTROL.search(value):
            return f"the response has a control character in its header {name.decode()}"
    return ""


_FINAL, _LAST = 200, 599
_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_USUAL = frozenset((b"content-length", b"content-type", NOSNIFF[0], b"cache-control", b"vary", b"etag", b"link"))
_BODILESS = (204, 304)


def _length_is(response: Response, size: int) -> bool:
    if isinstance(response, JSONBytes):
        return response.raw_headers[:1] == [(b"content-length", b"%d" % size)]
    return response.headers.get("content-length") == str(size)


def drop_header(response: Response, name: bytes) -> None:
    """Remove a header from a response, if it is there."""
    response.raw_headers[:] = [pair for pair in response.raw_headers if pair[0] != name]
