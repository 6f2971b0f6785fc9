"""What pydantic's lax mode accepts, exactly: a document that says less calls accepted requests wrong.

In lax mode ``"5"`` and ``true`` are an int, ``1.5`` is a moment. The first type is always the usual one. What a
document leaves out are spellings that nobody sends: spaces and underscores in numbers, capital letters in ``"Yes"``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

__all__ = ["boolean", "date", "duration", "integer", "moment", "number", "time_of_day", "whole_numbers"]

Schema = dict[str, Any]
_NUMERIC = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")


def boolean() -> Schema:
    """Return what is true or false."""
    words = ("0", "1", "f", "n", "no", "off", "false", "t", "y", "yes", "on", "true")
    return {"type": ["boolean", "integer", "string"], "enum": [False, True, 0, 1, *words]}


def integer(strict: Schema) -> Schema:
    """Return the lax form of an integer's schema."""
    return _with_texts(strict, _pattern(strict, fraction=""))


def number(strict: Schema) -> Schema:
    """Return the lax form of a float's schema."""
    return _with_texts(strict, _pattern(strict, fraction=r"(\.0{1,5})?" if _bounded(strict) else r"(\.[0-9]{1,15})?"))


def _with_texts(strict: Schema, pattern: str | None) -> Schema:
    """Add texts that are numbers, and what true and false stand for, as far as the bounds let them."""
    flags = [flag for flag in (False, True) if _fits(int(flag), strict)]
    kinds = [strict["type"], *(["string"] if pattern else []), *(["boolean"] if flags else [])]
    found: Schema = {**strict, "type": kinds}
    if pattern:
        found["pattern"] = pattern
    if len(flags) == 1:
        found["not"] = {"enum": [not flags[0]]}
    return found


def _fits(value: float, schema: Mapping[str, Any]) -> bool:
    return (
        value >= schema.get("minimum", value)
        and value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
        and ("multipleOf" not in schema or math.remainder(value, schema["multipleOf"]) == 0)
    )


def _bounded(schema: Mapping[str, Any]) -> bool:
    return any(name in schema for name in _NUMERIC)


def _pattern(schema: Mapping[str, Any], *, fraction: str) -> str | None:
    """Return a regular expression of whole numbers within the bounds, None where there is no simple one."""
    if "multipleOf" in schema:
        return None
    low, high = _whole_bounds(schema)
    if high == _MOST and low in (0, -_MOST):
        return rf"^{'[+-]?' if low else '[+]?'}[0-9]{{1,9}}{fraction}$"
    return None if low > high else f"^({'|'.join(whole_numbers(low, high))}){fraction}$"


def _whole_bounds(schema: Mapping[str, Any]) -> tuple[int, int]:
    """Return the least and the greatest whole number within the bounds, of those with few enough digits."""
    low, high = -_MOST, _MOST
    if "minimum" in schema:
        low = max(low, math.ceil(schema["minimum"]))
    if "exclusiveMinimum" in schema:
        low = max(low, math.floor(schema["exclusiveMinimum"]) + 1)
    if "maximum" in schema:
        high = min(high, math.floor(schema["maximum"]))
    if "exclusiveMaximum" in schema:
        high = min(high, math.ceil(schema["exclusiveMaximum"]) - 1)
    return low, high


_MOST = 999_999_999
"""Texts of more digits are left out: nobody would read their pattern."""


def whole_numbers(low: int, high: int) -> list[str]:
    """Return regular expressions that together match the numbers from ``low`` to ``high``, with zeros before them."""
    found: list[str] = []
    if low < 0:
        found += [f"-0*{each}" for each in _digits(max(1, -high), -low)]
    if high >= 0:
        found += [rf"\+?0*{each}" for each in _digits(max(0, low), high)]
        found += ["-0+"] if low <= 0 else []
    return found


def _digits(low: int, high: int) -> list[str]:
    """Return the same for numbers that are not negative, cut where the number of free digits changes."""
    if low > high:
        return []
    ends = {high}
    for free in range(1, len(str(high)) + 1):
        ends |= {end - end % 10**free - 1 for end in (low + 10**free, high + 1)}
    free_digits: dict[str, list[int]] = {}
    for end in sorted(end for end in ends if low <= end <= high):
        pairs = zip(str(low).zfill(len(str(end))), str(end), strict=True)
        digits = "".join(first if first == last else f"[{first}-{last}]" for first, last in pairs)
        count = 0
        while digits.endswith(_ANY):
            digits, count = digits.removesuffix(_ANY), count + 1
        free_digits.setdefault(digits, []).append(count)
        low = end + 1
    return [_repeated(digits, min(counts), max(counts)) for digits, counts in free_digits.items()]


def _repeated(digits: str, least: int, most: int) -> str:
    """Return digits with so many free ones behind them."""
    if most <= 1 and least == most:
        return digits + _ANY * most
    return f"{digits}{_ANY}{{{least}}}" if least == most else f"{digits}{_ANY}{{{least},{most}}}"


_ANY = "[0-9]"


_DAY = 24 * 60 * 60


INNER_DAYS = "^(?!0001-01-01|9999-12-31)"
"""The pattern of the moments that are stored: see storage."""


def moment() -> Schema:
    """Return what is a datetime: text, or a Unix time in seconds, in milliseconds where it is large."""
    # 0001-01-02 and 9999-12-31 in milliseconds: see storage.
    bounds = {"minimum": -62135510400000, "exclusiveMaximum": 253402214400000}
    return {"type": ["string", "number"], "format": "date-time", "pattern": INNER_DAYS, **bounds}


def date() -> Schema:
    """Return what is a date: text, or the Unix time of a midnight."""
    most = 20_000_000_000 // _DAY * _DAY  # larger ones are milliseconds
    return {"type": ["string", "number"], "format": "date", "multipleOf": _DAY, "minimum": -most, "maximum": most}


def time_of_day() -> Schema:
    """Return what is a time: text, or seconds since midnight."""
    return {"type": ["string", "number"], "format": "time", "minimum": 0, "maximum": _DAY - 0.000001}


def duration() -> Schema:
    """Return what is a timedelta: text (ISO 8601), or seconds."""
    most = (2**63 - 1) // 10**3 / 10**3
    return {"type": ["string", "number"], "format": "duration", "minimum": -most, "maximum": most}


def decimal(schema: Mapping[str, Any]) -> Schema:
    """Return what a core schema of a Decimal accepts: text, or a number of at most 15 digits."""
    places, digits = schema.get("decimal_places"), schema.get("max_digits")
    bounds = {_BOUNDS[name]: _plain(schema[name]) for name in _BOUNDS if schema.get(name) is not None}
    found: Schema = {"type": ["string", "number"], **bounds}
    if places is not None and "multipleOf" not in found:
        found["multipleOf"] = float(Decimal(1).scaleb(-places))
    most = _MOST
    if digits is not None:
        whole = 10 ** (digits - (places or 0))
        limit = _plain(whole - Decimal(1).scaleb(-(places or 0)))
        found |= {
            "minimum": max(found.get("minimum", -limit), -limit),
            "maximum": min(found.get("maximum", limit), limit),
        }
        most = min(most, whole - 1)
    return {**found, "pattern": _decimal_pattern(bounds, places, most)}


def _decimal_pattern(bounds: Mapping[str, Any], places: int | None, most: int) -> str:
    """Return a regular expression of the texts within bounds whose whole part is at most ``most``."""
    fraction = rf"(\.[0-9]{{0,{15 if places is None else places}}})?"
    free = rf"[0-9]{{1,{len(str(most))}}}{fraction}$" if most else rf"0{fraction}$"
    simple = {(): f"^[+-]?{free}", (("minimum", 0),): f"^[+]?{free}"}
    simple[("exclusiveMinimum", 0),] = rf"^[+]?(?!0*(\.0*)?$){free}"
    found = simple.get(tuple(bounds.items()))
    if found is not None:
        return found
    low, high = _whole_bounds(bounds)
    low, high = max(low, -most), min(high, most)
    inner = [each for each in whole_numbers(low + (low < 0), high - (high > 0)) if low < 0 or not each.startswith("-")]
    outer = [*whole_numbers(low, low), *whole_numbers(high, high)]
    return f"^(({'|'.join(inner) or '0'}){fraction}|({'|'.join(outer)})(\\.0*)?)$"


_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}


def _plain(value: Any) -> Any:
    number = Decimal(value)
    return int(number) if number == number.to_integral_value() else float(number)
