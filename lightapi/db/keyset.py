"""Keyset pagination: the rows after a place in any order, each part of them a range of an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, tuple_

from lightapi.db.binds import as_text, bound_raw
from lightapi.db.types import EnumValue

__all__ = ["Place", "Term", "after", "fit", "ordered", "place_parameter"]


class Term(NamedTuple):
    """One column of an order."""

    column: ColumnElement[Any]
    descending: bool
    nullable: bool
    nulls_first: bool


class Place(NamedTuple):
    """The shape of a place in an order: which of its values are NULL, and which way to go from there."""

    nulls: tuple[bool, ...]
    backwards: bool = False
    inclusive: bool = False
    """True: a row at the very place counts too."""


def default_nulls_first(*, descending: bool, sqlite: bool) -> bool:
    """Tell where a database puts NULL by itself: SQLite takes it for the smallest value, PostgreSQL for the largest."""
    return descending != sqlite


def ordered(terms: Sequence[Term], *, backwards: bool, sqlite: bool) -> list[ColumnElement[Any]]:
    """Return the ORDER BY of the terms, or of their reverse."""
    clauses = []
    for term in terms:
        descending = term.descending != backwards
        nulls_first = term.nulls_first != backwards
        clause: ColumnElement[Any] = term.column.desc() if descending else term.column.asc()
        if term.nullable and nulls_first != default_nulls_first(descending=descending, sqlite=sqlite):
            clause = clause.nulls_first() if nulls_first else clause.nulls_last()
        clauses.append(clause)
    return clauses


def place_parameter(number: int) -> str:
    """Return the name of the parameter that holds a place's value."""
    return f"__place_{number}"


def fit(terms: Sequence[Term], values: Sequence[Any], *, sqlite: bool) -> bool:
    """Tell whether the values of a cursor can be compared with the columns of the order."""
    if len(terms) != len(values):
        return False
    return all(value is None or _fits(term, value, sqlite=sqlite) for term, value in zip(terms, values, strict=True))


_NUMBERS = (int, float, Decimal)


def _fits(term: Term, value: Any, *, sqlite: bool) -> bool:
    if sqlite:
        return isinstance(value, (int, float, str, bytes))
    if as_text(term.column) or isinstance(term.column.type, EnumValue):
        return isinstance(value, (str, int))
    try:
        kind = term.column.type.python_type
    except NotImplementedError:
        return True
    if kind in _NUMBERS:
        return isinstance(value, _NUMBERS) and not isinstance(value, bool)
    return type(value) is kind or (isinstance(value, kind) and kind is not date)


def after(terms: Sequence[Term], place: Place, *, sqlite: bool) -> list[list[ColumnElement[bool]]]:
    """Return the rows after a place as disjoint parts, each a list of conditions that one index range serves.

    A single OR of them would read an index from its start.
    """
    same_direction = len({term.descending for term in terms}) == 1
    # SQLite's row values use no more of an index than what stands before its INTEGER PRIMARY KEY.
    if same_direction and not any(place.nulls) and (len(terms) == 1 or not sqlite):
        return [[_row_comparison(terms, place, sqlite=sqlite)], *_later_nulls(terms, place, sqlite=sqlite)]
    parts = []
    for number in range(len(terms) - 1, -1, -1):
        before = _same(terms[:number], place, sqlite=sqlite)
        parts += [[*before, beyond] for beyond in _beyond(terms[number], number, place, sqlite=sqlite)]
    if place.inclusive:
        parts.append(_same(terms, place, sqlite=sqlite))
    return parts


def _value(term: Term, number: int, *, sqlite: bool) -> Any:
    return bound_raw(term.column, place_parameter(number), sqlite=sqlite)


def _row_comparison(terms: Sequence[Term], place: Place, *, sqlite: bool) -> ColumnElement[bool]:
    """Compare whole rows (SQL:1992, row value constructors): one range of an index over all the columns."""
    values = [_value(term, number, sqlite=sqlite) for number, term in enumerate(terms)]
    single = len(terms) == 1
    left: Any = terms[0].column if single else tuple_(*(term.column for term in terms))
    right: Any = values[0] if single else tuple_(*values)
    result: ColumnElement[bool]
    if terms[0].descending != place.backwards:
        result = left <= right if place.inclusive else left < right
    else:
        result = left >= right if place.inclusive else left > right
    return result


def _later_nulls(terms: Sequence[Term], place: Place, *, sqlite: bool) -> Iterator[list[ColumnElement[bool]]]:
    """Return the parts that a row comparison leaves out: NULLs that come after the place's values."""
    for number, term in enumerate(terms):
        if term.nullable and term.nulls_first == place.backwards:
            yield [*_same(terms[:number], place, sqlite=sqlite), term.column.is_(None)]


def _same(terms: Sequence[Term], place: Place, *, sqlite: bool) -> list[ColumnElement[bool]]:
    return [
        term.column.is_(None) if place.nulls[number] else term.column == _value(term, number, sqlite=sqlite)
        for number, term in enumerate(terms)
    ]


def _beyond(term: Term, number: int, place: Place, *, sqlite: bool) -> Iterator[ColumnElement[bool]]:
    """Return the parts in which this column lies beyond the place's value."""
    nulls_first = term.nulls_first != place.backwards
    if place.nulls[number]:
        if nulls_first:
            yield term.column.is_not(None)
        return
    value = _value(term, number, sqlite=sqlite)
    yield term.column < value if term.descending != place.backwards else term.column > value
    if term.nullable and not nulls_first:
        yield term.column.is_(None)
