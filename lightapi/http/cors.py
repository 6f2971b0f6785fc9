"""Cross-origin requests: which origins a browser may read answers for (Fetch standard, section 3.2)."""

from __future__ import annotations

import re
from collections.abc import Callable, MutableSequence
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lightapi.exceptions import ConfigurationError
from lightapi.http.message import NOSNIFF

__all__ = ["Cors", "CorsApp"]

Headers = MutableSequence[tuple[bytes, bytes]]


class Cors:
    """The origins that may read an app's answers, and what it tells browsers about them.

    ``origins`` are ``"https://app.example.com"``, or ``"*"`` for any; ``credentials`` lets browsers send
    cookies along. Raises ConfigurationError for what is no origin, and for ``*`` with credentials.
    """

    def __init__(self, origins: Any, *, credentials: bool = False) -> None:
        if not isinstance(origins, (list, tuple)):
            raise ConfigurationError(f"cors_origins={origins!r} given; allowed: a list of origins")
        if not isinstance(credentials, bool):
            raise ConfigurationError(f"cors_allow_credentials={credentials!r} given; allowed: True or False")
        for origin in origins:
            if not isinstance(origin, str) or not _ORIGIN.fullmatch(origin):
                raise ConfigurationError(
                    f"cors_origins: {origin!r} given; allowed: '*', or scheme and host without a path, "
                    "as in 'https://app.example.com'"
                )
        self._any = "*" in origins
        if self._any and credentials:
            raise ConfigurationError(
                "cors_origins=['*'] together with cors_allow_credentials=True would let every page act as its "
                "visitor; name the origins"
            )
        self._origins = frozenset(origin.lower() for origin in origins)
        self._credentials = credentials

    def preflight(self, method: str, header: Callable[[str], str | None]) -> Response | None:
        """Answer a CORS-preflight request of an allowed origin; None for any other request."""
        origin, asked = header("origin"), header("access-control-request-method")
        if method != "OPTIONS" or asked is None or not self._allows(origin):
            return None
        response = Response(status_code=204)
        response.raw_headers = [
            (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            (b"access-control-max-age", b"600"),
            (b"vary", b"Access-Control-Request-Headers"),
            NOSNIFF,
        ]
        names = header("access-control-request-headers")
        if names is not None and _NAMES.fullmatch(names):
            response.raw_headers.append((b"access-control-allow-headers", names.encode("ascii")))
        self.add(origin, response.raw_headers)
        return response

    def add(self, origin: str | None, headers: Headers) -> None:
        """Add what an answer tells the browser of a page of ``origin``; nothing that the answer says itself."""
        if not self._any:
            headers.append((b"vary", b"Origin"))
        if origin is None or not self._allows(origin) or any(name.lower() == _ALLOW for name, _ in headers):
            return
        headers.append((_ALLOW, b"*" if self._any else origin.encode("latin-1")))
        headers.append((b"access-control-expose-headers", b"Link, Location, Retry-After, X-Cache"))
        if self._credentials:
            headers.append((b"access-control-allow-credentials", b"true"))

    def _allows(self, origin: str | None) -> bool:
        return origin is not None and (self._any or origin.lower() in self._origins)


_ALLOW = b"access-control-allow-origin"
_ORIGIN = re.compile(r"\*|[A-Za-z][A-Za-z0-9+.-]*://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
"""RFC 6454 section 6.2."""
_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")


class CorsApp:
    """An ASGI application with CORS around it."""

    def __init__(self, app: ASGIApp, cors: Cors) -> None:
        self._app = app
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight request; add to the answer of any other HTTP request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origin = _header(scope, "origin")
        preflight = self._cors.preflight(scope["method"], lambda name: _header(scope, name))
        if preflight is not None:
            await preflight(scope, receive, send)
            return

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ())]
                self._cors.add(origin, message["headers"])
            await send(message)

        await self._app(scope, receive, add)


def _header(scope: Scope, name: str) -> str | None:
    wanted = name.encode("ascii")
    return next((value.decode("latin-1") for given, value in scope["headers"] if given == wanted), None)
