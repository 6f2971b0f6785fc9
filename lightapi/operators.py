"""The filter operators: which there are, which types have them, how many values each takes."""

from __future__ import annotations

from enum import Enum

from lightapi.declaration import FieldSpec

__all__ = ["INCOMPARABLE", "OPERATORS", "TEXT_OPERATORS", "is_sortable", "is_text", "operators_of"]

_EQUALITY = ("exact", "ne", "in", "notin", "isnull")
_ORDER = ("gt", "gte", "lt", "lte", "range")
TEXT_OPERATORS = ("contains", "icontains", "startswith", "istartswith", "endswith", "iendswith")
OPERATORS = (*_EQUALITY, *_ORDER, *TEXT_OPERATORS)

_TEXT = frozenset({"str", "text"})
_UNORDERED = frozenset({"bool", "bytes", "enum", "literal"})
INCOMPARABLE = frozenset({"json", "opaque"})
"""Kinds that a database can't compare."""


def operators_of(spec: FieldSpec) -> tuple[str, ...]:
    """Return the operators that a column of this kind has."""
    kind = spec.storage.kind
    if kind in INCOMPARABLE:
        return ("isnull",)
    if kind in _UNORDERED:
        return _EQUALITY
    return OPERATORS if kind in _TEXT else (*_EQUALITY, *_ORDER)


def is_text(spec: FieldSpec) -> bool:
    """Tell whether ``?search=`` can look into the column."""
    kind, python = spec.storage.kind, spec.storage.python
    if kind == "enum":
        return isinstance(python, type) and issubclass(python, Enum) and all(type(e.value) is str for e in python)
    if kind == "literal":
        return all(type(value) is str for value in python.__args__)
    return kind in _TEXT


def is_sortable(spec: FieldSpec) -> bool:
    """Tell whether rows can be put in the order of the column."""
    return spec.storage.kind not in INCOMPARABLE
