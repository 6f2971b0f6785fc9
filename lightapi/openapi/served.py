"""The document as it is served: made at the first request, kept as bytes with their ETag."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from lightapi.actions import mount_prefix
from lightapi.http.drive import has_running_loop
from lightapi.http.message import JSONBytes
from lightapi.plan import Route, make_route
from lightapi.threads import in_thread

__all__ = ["Document", "Rendered", "document_route", "is_known", "prefix_of"]

_MOST_PREFIXES = 16
"""Mount prefixes whose documents are kept; a mount with parameters has any number of them."""


class Rendered(NamedTuple):
    """A document's bytes, and their strong validator (RFC 9110 section 8.8.3)."""

    body: bytes
    etag: str


class Document:
    """One app's OpenAPI document; it is made when somebody first asks for it, and never again."""

    def __init__(self, make: Callable[[], dict[str, Any]], base_url: str = "") -> None:
        self._make = make
        self._base_url = base_url
        self._lock = threading.Lock()
        self._value: dict[str, Any] | None = None
        self._rendered: dict[str, Rendered] = {}

    @property
    def value(self) -> dict[str, Any]:
        """The document as plain data, without ``servers``; don't change it."""
        with self._lock:
            if self._value is None:
                self._value = self._make()
            return self._value

    async def made(self) -> None:
        """See to it that the document is there, without holding up an event loop."""
        if self._value is None and has_running_loop():
            await in_thread("pages", lambda: self.value)

    def rendered(self, prefix: str) -> Rendered:
        """Return the document of an app that is mounted under a prefix (``""``: not mounted), with its ``servers``."""
        found = self._rendered.get(prefix)
        if found is None:
            server = self._base_url + prefix
            servers = {"servers": [{"url": server}]} if server else {}
            body = to_json({**self.value, **servers}, inf_nan_mode="null")
            found = Rendered(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
            if len(self._rendered) < _MOST_PREFIXES:
                self._rendered[prefix] = found
        return found


def prefix_of(request: Request) -> str:
    """Return where the app is mounted, as it stands in links, without a trailing slash."""
    return mount_prefix(request)


def is_known(request: Request, etag: str) -> bool:
    """Tell whether the client has that representation already (RFC 9110 section 13.1.2)."""
    given = ",".join(request.headers.getlist("if-none-match"))
    return given.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in given.split(","))


def document_route(document: Document) -> Route:
    """Return the route that answers the document."""

    async def openapi(request: Request) -> Response:
        await document.made()
        body, etag = document.rendered(prefix_of(request))
        headers = {"etag": etag, "cache-control": "no-cache"}
        if is_known(request, etag):
            return Response(status_code=304, headers=headers)
        response = JSONBytes(body)
        response.headers.update(headers)
        return response

    return make_route({"GET": openapi}, internal=True)
