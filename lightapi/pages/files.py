"""What a browser loads: bytes with their compressed form, a hash that names them, and how they are answered."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from lightapi.openapi.served import is_known

__all__ = ["File", "accepts_gzip", "answer", "file_of"]

FOREVER = "public, max-age=31536000, immutable"
_GZIP_LEVEL = 6
"""Higher ones take longer and save less than one in a hundred."""


@dataclass(frozen=True, slots=True)
class File:
    """Bytes of one kind, as they are and compressed."""

    body: bytes
    packed: bytes
    media_type: str
    digest: str

    @property
    def query(self) -> str:
        """The query string under which these very bytes may be kept for ever."""
        return f"v={self.digest}"


def file_of(body: bytes, media_type: str) -> File:
    """Compress and hash."""
    packed = gzip.compress(body, _GZIP_LEVEL, mtime=0)
    return File(body, packed, media_type, hashlib.sha256(body).hexdigest()[:16])


def answer(file: File, request: Request, more: Mapping[str, str] | None = None) -> Response:
    """Answer a file in the coding the client takes; for ever under its hash, else to be asked for again.

    The ETag is weak because both codings share it (RFC 9110 section 8.8.3.3).
    """
    asked_by_hash = request.scope["query_string"] == file.query.encode()
    etag = f'"{file.digest}"'
    headers = {
        "etag": f"W/{etag}",
        "vary": "Accept-Encoding",
        "cache-control": FOREVER if asked_by_hash else "no-cache",
        "x-content-type-options": "nosniff",
        **(more or {}),
    }
    if is_known(request, etag):
        return Response(status_code=304, headers=headers)
    packs = accepts_gzip(request.headers.getlist("accept-encoding"))
    if packs:
        headers["content-encoding"] = "gzip"
    return Response(file.packed if packs else file.body, headers=headers, media_type=file.media_type)


def accepts_gzip(fields: list[str]) -> bool:
    """Tell whether Accept-Encoding allows gzip (RFC 9110 section 12.5.3); who does not send it does not ask for it."""
    weights: dict[str, bool] = {}
    for member in ",".join(fields).split(","):
        coding, _, parameters = member.partition(";")
        weights[coding.strip().lower()] = _is_positive(parameters)
    # `x-gzip` is the same coding (section 8.4.1.3), and `*` stands for those that are not named.
    named = [weights[coding] for coding in ("gzip", "x-gzip") if coding in weights]
    return any(named) if named else weights.get("*", False)


def _is_positive(parameters: str) -> bool:
    name, _, value = parameters.partition("=")
    if name.strip().lower() != "q":
        return not parameters.strip()
    try:
        return 0 < float(value) <= 1
    except ValueError:
        return False
