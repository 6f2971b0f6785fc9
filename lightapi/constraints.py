"""Which constraints a type can have: pydantic would find out with the first value that a client sends."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, get_origin

from lightapi.exceptions import ConfigurationError

__all__ = ["ADDRESSES", "check_constraints", "check_count"]

ADDRESSES = (
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Interface,
    ipaddress.IPv6Interface,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
)
"""What is stored as text and is none."""

_NUMBERS = ("int", "float", "decimal", "bool")
_LENGTHS = ("min_length", "max_length")
_COUNTS = (*_LENGTHS, "max_digits")
_FITTING = {
    **dict.fromkeys(_LENGTHS, (("str", "bytes", "text", "json"), "text, bytes, lists and dicts")),
    "pattern": (("str",), "text"),
    "multiple_of": (("int", "float", "decimal"), "numbers"),
    "max_digits": (("decimal",), "Decimal"),
}


def check_constraints(where: str, kind: str | None, python: Any, metadata: Iterable[Any]) -> None:
    """Raise ConfigurationError for a constraint that a type does not have; ``kind`` is how it is stored."""
    if kind is None or kind == "custom":
        return
    for constraint in metadata:
        for name, (kinds, allowed) in _FITTING.items():
            fits = kind in kinds and (name not in _LENGTHS or _is_measured(kind, python))
            given = getattr(constraint, name, None)
            if given is not None and not fits:
                raise ConfigurationError(f"{where}: {name} does not fit {python!r}; allowed for {allowed}")
            if name in _COUNTS:
                check_count(where, name, given)
        for name in ("ge", "gt", "le", "lt"):
            bound = getattr(constraint, name, None)
            if bound is not None:
                _check_bound(where, name, bound, kind, python)


def check_count(where: str, name: str, given: Any) -> None:
    """Raise ConfigurationError for a number of characters, items or digits that is none."""
    if given is not None and (type(given) is not int or given < 0):
        raise ConfigurationError(f"{where}: {name}={given!r} given; allowed: a whole number, 0 or more")


def _is_measured(kind: str, python: Any) -> bool:
    """Tell whether a type has a length; of what is stored as JSON only lists and dicts have one."""
    plain = get_origin(python) or python
    if kind == "json":
        return plain in (list, dict)
    return not (isinstance(plain, type) and issubclass(plain, ADDRESSES))


def _check_bound(where: str, name: str, bound: Any, kind: str, python: Any) -> None:
    if kind in _NUMBERS:
        if not isinstance(bound, (int, float, Decimal)):
            raise ConfigurationError(f"{where}: {name}={bound!r} given; allowed: a number")
    elif kind in ("json", "enum", "literal"):
        raise ConfigurationError(f"{where}: {name} does not fit {python!r}, which has no order")
    else:
        expected = str if kind == "str" else python
        if isinstance(expected, type) and not isinstance(bound, expected):
            raise ConfigurationError(f"{where}: {name}={bound!r} given; allowed: a {expected.__name__}")
