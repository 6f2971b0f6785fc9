"""Decide whether a request's body is an acceptable JSON object, before any hook sees it."""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import from_json

from lightapi.exceptions import InvalidInput, UnsupportedMediaType
from lightapi.http.message import Request

__all__ = ["parse_object", "read_body"]


async def read_body(request: Request) -> bytes:
    """Return the body of a request that says it is JSON.

    Raises PayloadTooLarge, then UnsupportedMediaType (RFC 9110 sections 15.5.14 and 15.5.16).
    """
    request.refuse_declared_length()
    headers = request.headers
    for content_type in headers.getlist("content-type"):
        _check_media_type(content_type)
    for encoding in ",".join(headers.getlist("content-encoding")).split(","):  # RFC 9110 section 5.3
        if encoding.strip().lower() not in ("identity", ""):
            raise UnsupportedMediaType(f"content encoding {encoding[:40]!r} is not accepted")
    body = await request.body()
    if b"NaN" in body or b"Infinity" in body:
        _refuse_constants(body)
    return body


_JSON_TYPE = re.compile(r"application/json|[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+\+json")


def _check_media_type(content_type: str) -> None:
    if content_type in ("application/json", ""):
        return
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if _JSON_TYPE.fullmatch(media_type) is None:
        raise UnsupportedMediaType("the body must be application/json")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip(' "') not in ("utf-8", "utf8"):
            raise UnsupportedMediaType("the body must be UTF-8")


def _refuse_constants(body: bytes) -> None:
    """Raise InvalidInput for NaN and Infinity, which are no JSON (RFC 8259 section 6)."""
    try:
        from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise _json_invalid(error) from None


def _json_invalid(error: ValueError) -> InvalidInput:
    return InvalidInput([{"type": "json_invalid", "loc": [], "msg": f"Invalid JSON: {error}"}])


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in ``body``; raise InvalidInput when it is not one."""
    try:
        data = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise _json_invalid(error) from None
    if not isinstance(data, dict):
        raise InvalidInput([{"type": "model_type", "loc": [], "msg": "Input should be an object"}])
    return data
