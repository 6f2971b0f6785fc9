"""Cursors: a place in an order as one signed base64url string, equal on every worker and host."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

from lightapi.exceptions import InvalidInput

__all__ = ["Cursor", "invalid_cursor", "read_cursor", "write_cursor"]


class Cursor(NamedTuple):
    """A place between two rows, and the order it belongs to."""

    ordering: tuple[tuple[str, bool], ...]
    """The order that was asked for: column, and True for descending."""
    values: tuple[Any, ...]
    """The row at the place, as the database orders it."""
    backwards: bool = False
    inclusive: bool = False
    own_order: str = ""
    """Names the list's own order, where none was asked for."""


def write_cursor(scope: str, cursor: Cursor) -> str:
    """Return the cursor as base64url (RFC 4648 section 5, no padding): 16 bytes of HMAC-SHA-256, then JSON.

    ``scope`` names what it is a place in; a cursor of another scope is refused.
    """
    flags = cursor.backwards + 2 * cursor.inclusive
    document: list[Any] = [
        [[name, int(down)] for name, down in cursor.ordering],
        [_packed(v) for v in cursor.values],
        flags,
    ]
    document.append(cursor.own_order)
    payload = json.dumps(document, separators=(",", ":")).encode()
    return _encoded(_signature(scope, payload) + payload)


def _encoded(message: bytes) -> str:
    return base64.urlsafe_b64encode(message).rstrip(b"=").decode("ascii")


def read_cursor(scope: str, text: str) -> Cursor:
    """Return what ``write_cursor`` wrote; raise InvalidInput for anything else."""
    try:
        message = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        payload = message[_SIGNATURE_BYTES:]
        # Base64 has several spellings of the same bytes; a cursor has one.
        if _encoded(message) != text or not hmac.compare_digest(message[:_SIGNATURE_BYTES], _signature(scope, payload)):
            raise invalid_cursor()
        ordering, values, flags, own_order = json.loads(payload)
        if not all(isinstance(name, str) for name, _ in ordering):
            raise invalid_cursor()
        return Cursor(
            tuple((name, bool(down)) for name, down in ordering),
            tuple(_unpacked(value) for value in values),
            bool(flags & 1),
            bool(flags & 2),
            own_order,
        )
    except (ValueError, binascii.Error, TypeError, KeyError, ArithmeticError, AttributeError, RecursionError):
        raise invalid_cursor() from None


def invalid_cursor() -> InvalidInput:
    """Return the refusal of a cursor that is forged, garbled, or of another list."""
    message = "Cursor should be the next or previous of an answer of this list"
    return InvalidInput([{"type": "cursor", "loc": ["query", "cursor"], "msg": message}])


_SIGNATURE_BYTES = 16


def _signature(scope: str, payload: bytes) -> bytes:
    secret = os.environ.get("LIGHTAPI_CURSOR_SECRET") or os.environ.get("LIGHTAPI_JWT_SECRET") or ""
    key = hashlib.sha256(f"lightapi.cursor\0{secret}\0{scope}".encode()).digest()
    return hmac.digest(key, payload, "sha256")[:_SIGNATURE_BYTES]


# datetime stands before date, which it is a subclass of
_PACKERS: dict[type, tuple[str, Any, Any]] = {
    Decimal: ("n", str, Decimal),
    datetime: ("t", datetime.isoformat, datetime.fromisoformat),
    date: ("d", date.isoformat, date.fromisoformat),
    time: ("c", time.isoformat, time.fromisoformat),
    UUID: ("u", str, UUID),
    bytes: ("b", bytes.hex, bytes.fromhex),
    timedelta: ("s", lambda value: value // timedelta(microseconds=1), lambda number: timedelta(microseconds=number)),
}
_UNPACKERS = {tag: unpack for tag, _, unpack in _PACKERS.values()}


def _packed(value: Any) -> Any:
    """Return a value of the database as JSON: plain, or ``{tag: text}``."""
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, memoryview):
        value = bytes(value)
    for kind, (tag, pack, _) in _PACKERS.items():
        if isinstance(value, kind):
            return {tag: pack(value)}
    return str(value)  # of a type that only the column knows, such as an IP address: the database reads its text


def _unpacked(value: Any) -> Any:
    if isinstance(value, list):
        raise TypeError("a cursor holds single values")
    if not isinstance(value, dict):
        return value
    ((tag, packed),) = value.items()
    return _UNPACKERS[tag](packed)
