"""Values in a query string: text turned into what a column holds, by the column's own type."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any

from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError, to_json

from lightapi.declaration import FieldSpec
from lightapi.exceptions import InvalidInput
from lightapi.fields import SQLITE_DIGITS, fits_sqlite
from lightapi.operators import TEXT_OPERATORS
from lightapi.storage import TOO_LONG, constrained, storage_of

__all__ = ["MOST_IN_ALL", "MOST_VALUES", "Parser", "parser_of", "problem", "split_values", "value_parser"]

Parser = Callable[[str, Sequence[str]], Sequence[Any]]
"""Takes a parameter's name and all its texts; returns its values or raises InvalidInput."""

MOST_VALUES = 1000
"""How many values ``in`` and ``notin`` take."""
MOST_IN_ALL = 10_000
"""How many values the filters of one request take; databases have limits of their own from 32,766 on."""


def problem(kind: str, parameter: str, message: str) -> dict[str, Any]:
    """Return one error of a 422 about a query parameter."""
    return {"type": kind, "loc": ["query", parameter], "msg": message}


def parser_of(operator: str, reader: Callable[[], Callable[[str], Any]]) -> Parser:
    """Return what reads the values of one filter; ``reader`` gives what reads one value of the column."""
    if operator == "isnull":
        return _single(_flag())
    if operator in TEXT_OPERATORS:
        return _single(_piece())
    one = reader()
    if operator == "range":
        return _range(one)
    return _several(one) if operator in ("in", "notin") else _single(one)


@functools.cache
def _flag() -> Callable[[str], Any]:
    return _adapted(bool)


@functools.cache
def _piece() -> Callable[[str], Any]:
    """Return what reads a part of a text."""
    return _adapted(constrained(str, storage_of("", str, [], {}).checks))


def value_parser(spec: FieldSpec, *, sqlite: bool = False) -> Callable[[str], Any]:
    """Return what turns a text into one value of the column's type; raises ValidationError.

    ``sqlite`` refuses what SQLite can't compare with the digits that it keeps.
    """
    storage = spec.storage
    kind = storage.kind
    if kind == "custom":
        return _adapted_or_text(storage.python)
    options = {"sa_type": storage.sa_type} if storage.sa_type is not None else {}
    checks = storage_of(spec.name, storage.python, [], options).checks
    if kind == "decimal" and sqlite:
        checks = (*checks, AfterValidator(_few_digits))
    adapter: TypeAdapter[Any] = TypeAdapter(constrained(storage.python, checks))
    if spec.options.get("base64"):
        encoded: TypeAdapter[bytes] = TypeAdapter(bytes, config=ConfigDict(val_json_bytes="base64"))
        return lambda text: encoded.validate_json(to_json(text))
    if kind in ("enum", "literal") and _is_numeric(storage.python):
        return lambda text: adapter.validate_python(int(text) if _INTEGER.fullmatch(text) else text)
    if kind in ("datetime", "time"):
        return lambda text: adapter.validate_strings(_SPACED_OFFSET.sub(r"\1+\2", text))
    return adapter.validate_strings


def _few_digits(value: Decimal) -> Decimal:
    if not fits_sqlite(value):
        raise PydanticCustomError("decimal_max_digits", SQLITE_DIGITS)
    return value


_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)

_SPACED_OFFSET = re.compile(r"(\d\d:\d\d(?::\d\d(?:\.\d+)?)?) (\d\d:?\d\d)\Z", re.ASCII)
"""A time whose ``+02:00`` was not percent-encoded: the plus sign of a query string is a space."""


def _is_numeric(python: Any) -> bool:
    values = (
        [each.value for each in python] if isinstance(python, type) and issubclass(python, Enum) else python.__args__
    )
    return all(type(value) is int for value in values)


def _adapted(annotation: Any) -> Callable[[str], Any]:
    return TypeAdapter(annotation).validate_strings


def _adapted_or_text(annotation: Any) -> Callable[[str], Any]:
    try:
        return _adapted(annotation)
    except Exception:  # noqa: BLE001  pydantic knows no such type: the column's own type must take the text
        return _adapted(str)


def _parsed(parameter: str, texts: Sequence[str], parse: Callable[[str], Any]) -> list[Any]:
    try:
        return [parse(text) for text in texts]
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise InvalidInput([problem(first["type"], parameter, first["msg"])]) from None
    except OverflowError:  # pydantic-core counts a duration's days before it adds the hours
        raise InvalidInput([problem("timedelta_range", parameter, TOO_LONG)]) from None


def _single(parse: Callable[[str], Any]) -> Parser:
    return lambda parameter, texts: _parsed(parameter, texts[-1:], parse)


def _several(parse: Callable[[str], Any]) -> Parser:
    def read(parameter: str, texts: Sequence[str]) -> Sequence[Any]:
        parts = [part for text in texts for part in split_values(parameter, text)]
        if len(parts) > MOST_VALUES:
            raise InvalidInput([problem("too_long", parameter, f"There should be at most {MOST_VALUES} values")])
        return _parsed(parameter, parts, parse)

    return read


def _range(parse: Callable[[str], Any]) -> Parser:
    def read(parameter: str, texts: Sequence[str]) -> Sequence[Any]:
        parts = split_values(parameter, texts[-1])
        if len(parts) != _BOTH_ENDS:
            raise InvalidInput([problem("range", parameter, "Range should be two values with a comma between them")])
        return _parsed(parameter, parts, parse)

    return read


_BOTH_ENDS = 2
_QUOTED = re.compile(r'"((?:[^"]|"")*)"(?=,|\Z)')


def split_values(parameter: str, text: str) -> list[str]:
    """Split at commas; a value in double quotes may hold commas, and quotes written twice (RFC 4180 section 2).

    Raises InvalidInput for a quote that does not end.
    """
    values: list[str] = []
    position = 0
    while True:
        if text.startswith('"', position):
            quoted = _QUOTED.match(text, position)
            if quoted is None:
                raise InvalidInput([problem("quoting", parameter, "A quoted value should end before a comma")])
            values.append(quoted[1].replace('""', '"'))
            position = quoted.end()
        else:
            end = text.find(",", position)
            end = len(text) if end < 0 else end
            values.append(text[position:end])
            position = end
        if position >= len(text):
            return values
        position += 1
