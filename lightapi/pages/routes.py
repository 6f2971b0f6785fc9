"""The routes of the documentation page: which page it is, what it loads, and what a browser may do on it."""

from __future__ import annotations

import functools
import posixpath
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from lightapi.exceptions import NotFound
from lightapi.openapi.served import Document, prefix_of
from lightapi.pages.files import File, answer, file_of
from lightapi.pages.interactive import ASSETS, asset, interactive_page, is_installed
from lightapi.pages.plain import plain_page, stylesheet
from lightapi.plan import Handler, Route, make_route

__all__ = ["docs_routes"]

_SHEET: Final = "plain.css"
_MOST_PAGES: Final = 32
"""Rendered pages that are kept; a mount with parameters has any number of prefixes."""


def docs_routes(document: Document, docs_url: str, openapi_url: str, base_url: str = "") -> dict[str, Route]:
    """Return the routes of the page and of what it loads; both URLs are checked paths below the mount point.

    Which page it is, is decided when somebody first asks: the interactive one where the extra ``docs`` is installed,
    else our own. Requests tried on it may go to ``base_url``, too.
    """

    @functools.lru_cache(_MOST_PAGES)
    def rendered(prefix: str, *, inside: bool) -> File:
        seen_from = docs_url if inside else posixpath.dirname(docs_url)
        folder, openapi = _relative(docs_url, seen_from), _relative(openapi_url, seen_from)
        if is_installed():
            page = interactive_page(document.value["info"]["title"], folder=folder, openapi=openapi)
        else:
            sheet = f"{folder}/{_SHEET}?{_sheet().query}"
            page = plain_page(document.value, sheet=sheet, openapi=openapi, site=f"{base_url or _LOCAL}{prefix}")
        return file_of(page, "text/html")

    async def docs(request: Request) -> Response:
        await document.made()
        # Below a trailing slash, which names the same page, a relative URL means another one.
        inside = request.scope["path"].endswith("/")
        return answer(rendered(prefix_of(request), inside=inside), request, _page_headers(base_url))

    files = {name: make_route({"GET": _file(name)}, internal=True) for name in (*ASSETS, _SHEET)}
    return {
        docs_url: make_route({"GET": docs}, internal=True),
        **{f"{docs_url}/{name}": route for name, route in files.items()},
    }


_LOCAL: Final = "http://localhost:8000"
"""Where an app is while it is written; what a client calls the host never enters an answer."""

_sheet = functools.cache(stylesheet)


def _file(name: str) -> Handler:
    async def file(request: Request) -> Response:
        if is_installed() != (name in ASSETS):
            raise NotFound
        return answer(asset(name) if name in ASSETS else _sheet(), request)

    return file


def _relative(path: str, folder: str) -> str:
    """Return a reference that holds whatever is before both paths; the dot keeps a colon from ending a scheme."""
    reference = quote(posixpath.relpath(path, folder))
    return reference if reference.startswith(".") else f"./{reference}"


@functools.cache
def _page_headers(base_url: str) -> dict[str, str]:
    policy = {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    if is_installed():
        policy |= {"script-src": "'self'", "connect-src": f"'self' {_origin(base_url)}".rstrip()}
    return {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "referrer-policy": "no-referrer",
    }


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""
