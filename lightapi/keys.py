"""Ids in paths: the text of a primary key, of one column or of several with commas between them."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import AfterValidator, ValidationError
from pydantic_core import PydanticCustomError, to_jsonable_python
from sqlalchemy import BigInteger, SmallInteger

from lightapi.declaration import FieldSpec
from lightapi.exceptions import InvalidInput, NotFound
from lightapi.values import split_values, value_parser

__all__ = ["PART", "WHOLE", "key_formatter", "key_parser"]

Parse = Callable[[str], Any]


_UNREADABLE = "\N{REPLACEMENT CHARACTER}"
"""What servers put in place of bytes that are no UTF-8: many paths would name one row."""


def _part(text: str) -> str:
    if _UNREADABLE in text:
        raise PydanticCustomError("key_in_path", "Value should be able to stand in a path")
    return text


def _whole(text: str) -> str:
    """Refuse a key that no path can end in: clients remove dots (RFC 3986 section 5.2.4), and nothing is the list."""
    if text in ("", ".", ".."):
        raise PydanticCustomError("key_in_path", "Value should be able to stand in a path")
    return _part(text)


WHOLE = (AfterValidator(_whole),)
"""What a text must be to be the only key of a row."""
PART = (AfterValidator(_part),)
"""What it must be to be one of several."""


def key_parser(specs: Sequence[FieldSpec], *, sqlite: bool) -> Callable[[str], tuple[Any, ...]]:
    """Return what reads the id of a path; it raises NotFound for what is no value of the key's type."""
    parsers = [_parser(spec, sqlite=sqlite) for spec in specs]
    if len(parsers) == 1:
        parse = parsers[0]
        return lambda text: (parse(text),)

    def parse_all(text: str) -> tuple[Any, ...]:
        try:
            parts = split_values("id", text)
        except InvalidInput:
            raise NotFound from None
        if len(parts) != len(parsers):
            raise NotFound
        return tuple(parse(part) for parse, part in zip(parsers, parts, strict=True))

    return parse_all


def _parser(spec: FieldSpec, *, sqlite: bool) -> Parse:
    if spec.storage.kind == "int":
        return _integer_parser(spec)
    parse = _decoded if spec.storage.kind == "bytes" else value_parser(spec, sqlite=sqlite)

    def read(text: str) -> Any:
        if _UNREADABLE in text:
            raise NotFound
        try:
            return parse(text)
        except (ValidationError, ValueError, OverflowError):
            raise NotFound from None

    return read


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))


_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)


def _integer_parser(spec: FieldSpec) -> Parse:
    kind = spec.storage.sa_type
    bits = 63 if isinstance(kind, BigInteger) else 15 if isinstance(kind, SmallInteger) else 31
    low, high = -(2**bits), 2**bits - 1

    def read(text: str) -> int:
        if _INTEGER.fullmatch(text) is None:
            raise NotFound
        value = int(text)
        if not low <= value <= high:
            raise NotFound
        return value

    return read


def key_formatter(key: Sequence[str]) -> Callable[[Mapping[str, Any]], str]:
    """Return what writes the id of a row, so that ``key_parser`` reads it."""
    if len(key) == 1:
        name = key[0]
        return lambda row: _text(row[name])
    return lambda row: ",".join(_quoted(_text(row[name])) for name in key)


def _text(value: Any) -> str:
    if isinstance(value, (bytes, memoryview)):
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")
    return value if isinstance(value, str) else str(to_jsonable_python(value))


def _quoted(text: str) -> str:
    """Put a text that holds a comma between quotes (RFC 4180 section 2)."""
    if "," not in text and not text.startswith('"'):
        return text
    return '"' + text.replace('"', '""') + '"'
