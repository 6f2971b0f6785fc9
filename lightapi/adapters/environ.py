"""A WSGI environ read strictly: as an ASGI scope and as a body. It knows no server and no application."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import quote_from_bytes

from lightapi.exceptions import BadRequest, NotFound, PayloadTooLarge

__all__ = ["Body", "Environ", "StartResponse", "build_scope", "content_length", "read_body"]

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
"""PEP 3333's ``start_response(status, headers, exc_info=None)``; what it returns is never used."""

_PIECE = 65536
_LENGTH_DIGITS = 18
"""A longer Content-Length is larger than any limit, and ``int`` refuses very long ones."""
_HUGE = 10**_LENGTH_DIGITS
_ASCII = "".join(map(chr, range(128)))


def build_scope(environ: Environ) -> dict[str, Any]:
    """Return the ASGI scope of a WSGI request; raise BadRequest when it has none or frames its body wrongly.

    The server has decoded ``%2F`` already, so there is no ``raw_path``. ``wsgi_environ`` is the
    name that a2wsgi users know.
    """
    content_length(environ)
    root_path, path = _path(environ, "SCRIPT_NAME"), _path(environ, "PATH_INFO")
    if path and not path.startswith("/"):  # no prefix, but what a client made a server believe: gunicorn takes a header
        root_path, path = "", root_path + path
    address = environ.get("REMOTE_ADDR")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": _http_version(environ.get("SERVER_PROTOCOL", "")),
        "method": environ["REQUEST_METHOD"],
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "path": root_path + path or "/",
        "root_path": root_path,
        "query_string": _query_string(environ.get("QUERY_STRING", "")),
        "headers": _headers(environ),
        "client": (address, _port(environ.get("REMOTE_PORT")) or 0) if address else None,
        "server": (environ.get("SERVER_NAME", ""), _port(environ.get("SERVER_PORT"))),
        "state": {},
        "extensions": {},
        "wsgi_environ": environ,
    }


def _path(environ: Environ, name: str) -> str:
    """Undo PEP 3333's latin-1 dress of a path; bytes that are no UTF-8 are replaced, as ASGI servers do."""
    dressed: str = environ.get(name, "")
    if dressed.isascii():
        return dressed
    try:
        return dressed.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        raise NotFound from None


def _query_string(query: str) -> bytes:
    """Return the query as ASCII: raw bytes beyond it are percent-encoded, as they should have been sent."""
    if query.isascii():
        return query.encode("ascii")
    try:
        raw = query.encode("latin-1")
    except UnicodeEncodeError:
        # A server that decoded the query as UTF-8, against PEP 3333.
        raw = query.encode("utf-8", "surrogatepass")
    return quote_from_bytes(raw, safe=_ASCII).encode("ascii")


def _headers(environ: Environ) -> list[tuple[bytes, bytes]]:
    headers: list[tuple[bytes, bytes]] = []
    try:
        for key, value in environ.items():
            name = _header_name(key)
            if name is not None and (value or key not in _CGI_HEADERS):
                headers.append((name, value.encode("latin-1")))
    except UnicodeEncodeError:
        raise BadRequest("a header is not valid Latin-1") from None
    return headers


_CGI_HEADERS = {"CONTENT_TYPE": b"content-type", "CONTENT_LENGTH": b"content-length"}
"""Present but empty means absent for these two (PEP 3333), and the HTTP_ forms are not theirs."""


@lru_cache(maxsize=512)
def _header_name(key: str) -> bytes | None:
    if key in _CGI_HEADERS:
        return _CGI_HEADERS[key]
    if not key.startswith("HTTP_") or key[5:] in _CGI_HEADERS:
        return None
    return key[5:].lower().replace("_", "-").encode("latin-1")


def _http_version(protocol: str) -> str:
    """Return ``1.0``, ``1.1``, ``2`` or ``3``, the spellings of ASGI."""
    version = protocol.partition("/")[2] or "1.0"
    return version.partition(".")[0] if version[0] in "23" else version


def _port(given: str | int | None) -> int | None:
    """Return a port, or None where there is none: servers on a Unix socket send an empty one, Werkzeug's a number."""
    text = str(given or "")
    return int(text) if text.isascii() and text.isdigit() else None


def content_length(environ: Environ) -> int | None:
    """Return the declared length of the body, None without one; raise BadRequest unless it is plain digits."""
    text: str = environ.get("CONTENT_LENGTH") or ""
    if not text:
        return None
    # RFC 9110 section 8.6: 1*DIGIT. int() would also take "+5", "5_0", " 5" and digits of other scripts.
    if not (text.isascii() and text.isdigit()):
        raise BadRequest("Content-Length is not a number")
    significant = text.lstrip("0")
    return int(significant or "0") if len(significant) <= _LENGTH_DIGITS else _HUGE


class Body:
    """The bytes of one request's body, read from ``wsgi.input`` piece by piece.

    ``length`` is the declared one, 0 without a body, and None when only the reading will tell
    (``wsgi.input_terminated``: a chunked body). A body of unknown length is refused at the first
    piece after ``limit`` bytes: the application has seen by then that it is too large, and could
    have answered itself.
    """

    __slots__ = ("_input", "_limit", "_read", "length")

    def __init__(self, environ: Environ, limit: int) -> None:
        self._input = environ.get("wsgi.input")
        self._limit = limit
        self._read = 0
        self.length = content_length(environ)
        if self._input is None or (self.length is None and not environ.get("wsgi.input_terminated")):
            self.length = 0

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes, none at the end; raise BadRequest when the client stopped before it."""
        if self.length is not None:
            size = min(size, self.length - self._read)
        if size <= 0:
            return b""
        piece = self._receive(size)
        if not piece and self.length is not None:
            raise BadRequest("the body ended before its declared length")
        if piece and self.length is None and self._read > self._limit:
            raise PayloadTooLarge(self._limit)
        self._read += len(piece)
        return piece

    def _receive(self, size: int) -> bytes:
        assert self._input is not None
        try:
            piece: bytes = self._input.read(size)
        # Servers raise what they like for broken chunks and lost connections, without a common base.
        except Exception as error:
            raise BadRequest("the body could not be read") from error
        return piece


def read_body(environ: Environ, limit: int) -> bytes:
    """Return the whole body; raise PayloadTooLarge over ``limit`` and BadRequest when it is cut short."""
    body = Body(environ, limit)
    if body.length == 0:
        return b""
    if body.length is not None and body.length > limit:
        raise PayloadTooLarge(limit)
    pieces: list[bytes] = []
    size = 0
    while piece := body.read(_PIECE):
        size += len(piece)
        if size > limit:
            raise PayloadTooLarge(limit)
        pieces.append(piece)
    return b"".join(pieces)
