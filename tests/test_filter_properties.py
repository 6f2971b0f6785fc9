"""Every filter operator finds the rows that the same filter finds in Python, whatever the rows hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, NamedTuple, Optional
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, insert

from lightapi import Field, Filtering, RestEndpoint
from tests.support.hosts import Api, Client, Database

FIRST, LAST = datetime.fromisoformat("1000-01-01"), datetime.fromisoformat("9998-01-01")
EXAMPLES = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Colour(Enum):
    """Text in the database."""

    RED = "red"
    BLUE = "blue"
    COMMA = "a, b"


class Level(Enum):
    """A number in the database."""

    LOW = -1
    HIGH = 12


EQUALITY = ("exact", "ne", "in", "notin", "isnull")
ORDERED = (*EQUALITY, "gt", "gte", "lt", "lte", "range")
TEXTUAL = ("contains", "icontains", "startswith", "istartswith", "endswith", "iendswith")
SORTED_FIELDS = ("number", "ratio", "price", "moment", "day", "clock", "key")
SETS = ("flag", "colour", "level", "size")


class Anything(RestEndpoint):
    """A field of each type that can be filtered."""

    text: Optional[str] = None
    number: Optional[int] = None
    ratio: Optional[float] = None
    price: Optional[Decimal] = Field(default=None, decimal_places=2)
    moment: Optional[datetime] = None
    day: Optional[date] = None
    clock: Optional[time] = None
    key: Optional[UUID] = None
    flag: Optional[bool] = None
    colour: Optional[Colour] = None
    level: Optional[Level] = None
    size: Optional[Literal["s", "m"]] = None

    class Meta:
        filtering = Filtering(
            fields={
                "text": [*ORDERED, *TEXTUAL],
                **dict.fromkeys(SORTED_FIELDS, ORDERED),
                **dict.fromkeys(SETS, EQUALITY),
            },
            search=["text", "colour"],
            ordering=SORTED_FIELDS,
        )


ZONES = st.integers(min_value=-23 * 60, max_value=23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": st.text("abcxyz", max_size=4),
    "number": st.integers(min_value=-(2**31), max_value=2**31 - 1) | st.integers(min_value=-3, max_value=3),
    "ratio": st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([-0.0, 0.1, 5e-324]),
    "price": st.decimals(min_value=-(10**10), max_value=10**10, places=2) | st.decimals(-1, 1, places=2),
    "moment": st.datetimes(min_value=FIRST, max_value=LAST, timezones=ZONES)
    | st.datetimes(FIRST, LAST, timezones=st.just(timezone.utc)).map(lambda moment: moment.replace(microsecond=0)),
    "day": st.dates(),
    "clock": st.times() | st.times().map(lambda clock: clock.replace(second=0, microsecond=0)),
    "key": st.uuids(),
    "flag": st.booleans(),
    "colour": st.sampled_from(Colour),
    "level": st.sampled_from(Level),
    "size": st.sampled_from(["s", "m"]),
}

COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "exact": lambda value, other: value == other,
    "gt": lambda value, other: value > other,
    "gte": lambda value, other: value >= other,
    "lt": lambda value, other: value < other,
    "lte": lambda value, other: value <= other,
    "contains": lambda value, other: other in value,
    "icontains": lambda value, other: other.lower() in value.lower(),
    "startswith": lambda value, other: value.startswith(other),
    "istartswith": lambda value, other: value.lower().startswith(other.lower()),
    "endswith": lambda value, other: value.endswith(other),
    "iendswith": lambda value, other: value.lower().endswith(other.lower()),
}
"""What each operator says of a row that is not None."""


def holds(operator: str, value: Any, others: list[Any]) -> bool:
    """Tell whether a filter is true of a value, in Python."""
    if operator == "isnull":
        return bool((value is None) == others[0])
    if operator in ("ne", "notin"):
        return value not in (others[:1] if operator == "ne" else others)
    if value is None:
        return False
    if operator == "in":
        return value in others
    if operator == "range":
        low, high = others
        return bool(low <= value <= high)
    return bool(COMPARED[operator](value, others[0]))


def text_of(value: Any) -> str:
    """Return a value as a client writes it."""
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    return str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, float) else str(value)


def query_of(name: str, operator: str, others: list[Any]) -> dict[str, str]:
    """Return the query parameter of a filter; lists of values are quoted, as their commas require."""
    texts = [text_of(other) for other in others]
    if operator in ("in", "notin", "range"):
        return {f"{name}__{operator}": ",".join('"{}"'.format(text.replace('"', '""')) for text in texts)}
    return {f"{name}__{operator}": texts[0]}


class Column(NamedTuple):
    """The values of one column, and values to compare them with."""

    rows: list[Any]
    others: list[Any]


def columns(values: st.SearchStrategy[Any], operands: st.SearchStrategy[Any] | None = None) -> Any:
    """Return a strategy for a column with ties and None, compared with what it holds and with what it may not."""
    return st.lists(values, min_size=1, max_size=5).flatmap(
        lambda pool: st.builds(
            Column,
            st.lists(st.none() | st.sampled_from(pool), max_size=8),
            st.lists(st.sampled_from(pool) | (values if operands is None else operands), min_size=2, max_size=4),
        )
    )


@dataclass
class Shelf:
    """One application and its table, filled anew for every example."""

    client: Client
    admin: Engine

    def fill(self, **columns: list[Any]) -> None:
        """Make the rows 1, 2, 3, ... with the values of these columns."""
        table: Any = Anything._model_class.__table__
        with self.admin.begin() as connection:
            connection.execute(delete(table))
            rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            if rows:
                connection.execute(insert(table), [{"id": number, **row} for number, row in enumerate(rows, start=1)])

    def ids(self, query: dict[str, str]) -> list[int]:
        """Return the ids that a list answers."""
        response = self.client.get("/anything", params=query)
        assert response.status_code == 200, (query, response.text)
        return [row["id"] for row in response.json()["results"]]

    def check(self, name: str, operator: str, column: Column, others: list[Any]) -> None:
        """Compare what one filter finds with what it finds in Python."""
        query = query_of(name, operator, others)
        expected = [number for number, value in enumerate(column.rows, start=1) if holds(operator, value, others)]
        assert (query, self.ids(query)) == (query, expected)

    def check_orderings(self, name: str, rows: list[Any]) -> None:
        """Compare both orders of what is not None with Python's; rows that tie are in the order of their key."""
        numbers = [number for number, value in enumerate(rows, start=1) if value is not None]
        for sign, falling in (("", False), ("-", True)):
            expected = sorted(numbers, key=lambda number: rows[number - 1], reverse=falling)
            assert self.ids({f"{name}__isnull": "false", "ordering": f"{sign}{name}"}) == expected


@pytest.fixture
def shelf(api: Api, database: Database) -> Shelf:
    client = api({"/anything": Anything})
    client.get("/anything")
    return Shelf(client, database.admin_engine())


pytestmark = [pytest.mark.slow, pytest.mark.hosts("asgi"), pytest.mark.engines("sqlite-sync", "postgres-sync")]


def operands_of(operator: str, others: list[Any]) -> list[Any]:
    """Return as many operands as an operator takes."""
    if operator in ("in", "notin"):
        return others
    return others[:2] if operator == "range" else others[:1]


@pytest.mark.parametrize("name", ["text", *SORTED_FIELDS, *SETS])
@EXAMPLES
@given(data=st.data())
def test_every_operator_and_ordering_does_as_python(shelf: Shelf, name: str, data: st.DataObject) -> None:
    column = data.draw(columns(VALUES[name]))
    shelf.fill(**{name: column.rows})

    for operator in EQUALITY if name in SETS else ORDERED:
        others = [False] if operator == "isnull" else operands_of(operator, column.others)
        shelf.check(name, operator, column, others)
    shelf.check(name, "isnull", column, [True])
    if name in SORTED_FIELDS:
        shelf.check_orderings(name, column.rows)


LETTERS = "aAbéÉßжЖ%_\\/\"', "


@EXAMPLES
@given(column=columns(st.text(LETTERS, max_size=5), st.text(LETTERS, max_size=2)))
@example(column=Column(["a%b", "a_b", r"a\b", "a/b", "A/%", "", None], ["%", "_"]))
@example(column=Column(["ab", "", None], ["xab", ""]))
def test_text_operators_find_what_python_finds(shelf: Shelf, column: Column) -> None:
    shelf.fill(text=column.rows)

    for operator in ("exact", "ne", "in", "notin", *TEXTUAL):
        for other in column.others[:2]:
            shelf.check("text", operator, column, [other, *column.others] if operator in ("in", "notin") else [other])


@EXAMPLES
@given(column=columns(st.text(LETTERS, max_size=5), st.text(LETTERS, max_size=2)))
def test_search_is_literal_and_ignores_case(shelf: Shelf, column: Column) -> None:
    shelf.fill(text=column.rows)

    for text in column.others:
        found = [n for n, value in enumerate(column.rows, start=1) if not text or holds("icontains", value, [text])]
        assert (text, shelf.ids({"search": text})) == (text, found)


PRICES = st.decimals(min_value=-(10**8), max_value=10**8, places=4) | st.decimals(-1, 1, places=4)


@EXAMPLES
@given(column=columns(VALUES["price"].filter(lambda price: abs(price) < 10**8), PRICES))
def test_decimals_are_compared_without_rounding(shelf: Shelf, column: Column) -> None:
    shelf.fill(price=column.rows)

    for operator in ("exact", "ne", "gt", "gte", "lt", "lte"):
        for other in column.others:
            shelf.check("price", operator, column, [other])


@EXAMPLES
@given(
    rows=st.lists(st.tuples(*(st.none() | st.integers(0, 2) for _ in range(2))), max_size=8),
    numbers=st.lists(st.integers(0, 2), min_size=1, max_size=2),
    limit=st.integers(0, 2),
)
def test_filters_are_all_true_at_once(
    shelf: Shelf, rows: list[tuple[int | None, int | None]], numbers: list[int], limit: int
) -> None:
    shelf.fill(number=[number for number, _ in rows], ratio=[ratio for _, ratio in rows])

    found = shelf.ids({"number__in": ",".join(map(str, numbers)), "ratio__lt": str(limit), "number__isnull": "0"})

    assert found == [
        key
        for key, (number, ratio) in enumerate(rows, start=1)
        if number in numbers and ratio is not None and ratio < limit
    ]
