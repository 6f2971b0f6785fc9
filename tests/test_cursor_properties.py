"""Cursors walk any rows in any order, page by page, and neither lose nor double one, while rows come and go."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple, Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Table, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request

from lightapi import Field, Filtering, LightApi, Pagination, RestEndpoint
from tests.support.hosts import Client, Database

pytestmark = [
    pytest.mark.slow,
    pytest.mark.hosts("wsgi-direct"),
    pytest.mark.engines("sqlite-sync", "postgres-sync"),
]

Row = dict[str, Any]
Make = Callable[..., Engine | AsyncEngine]
Changes = list[tuple[list[Row], set[int]]]
Serve = Callable[[LightApi, Engine | AsyncEngine | None], Client]

CURSORS = Pagination(style="cursor", page_size=3, max_page_size=1000, backwards=True)
OWNERS = 3
MOMENTS = [
    datetime(2020, 1, 1, tzinfo=timezone.utc),
    datetime(2020, 1, 1, 0, 0, 0, 1, tzinfo=timezone.utc),
    datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=timezone.utc),
]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "number": st.sampled_from([0, 1, -1, 2**31 - 1]),
    "name": st.sampled_from(["", "a", "A", "b", "ä", "%", "a b", "漢"]),
    "ratio": st.sampled_from([0.0, -0.0, 0.1, 1 / 3, 5e-324, -1e300]),
    "price": st.sampled_from([Decimal("0.00"), Decimal("0.10"), Decimal("-3.00"), Decimal("12345678.90")]),
    "moment": st.sampled_from(MOMENTS),
    "grade": st.integers(0, 2),
    "label": st.sampled_from(["x", "y", "Ü"]),
}
NULLABLE = ("number", "name", "ratio", "price", "moment", "owner_id")
COLUMNS = (*VALUES, "owner_id", "id")
ORDERED = Filtering(ordering=COLUMNS)


class Owner(RestEndpoint):
    """What a thing may belong to."""

    name: Optional[str] = None

    class Meta:
        table = "owners"


class Columns(RestEndpoint):
    """Columns of several types, with and without NULL."""

    number: Optional[int] = None
    name: Optional[str] = None
    ratio: Optional[float] = None
    price: Optional[Decimal] = Field(default=None, decimal_places=2)
    moment: Optional[datetime] = None
    grade: int = 0
    label: str = ""
    owner_id: Optional[int] = Field(default=None, foreign_key="owners.id")


class Thing(Columns):
    """The rows of a table."""

    class Meta:
        table = "things"
        filtering = ORDERED


class Shaped(Columns):
    """The rows of a queryset, in the shape asked for."""

    def queryset(self, request: Request) -> Any:
        return SHAPES[request.query_params.get("shape", "plain")]()

    class Meta:
        table = "shaped"
        filtering = ORDERED


shaped: Any = Shaped
owner: Any = Owner


def _joined() -> Any:
    return select(shaped).outerjoin(owner, owner.id == shaped.owner_id)


def _grouped() -> Any:
    size = func.count(owner.id).label("size")
    return select(shaped, size).outerjoin(owner, owner.id >= shaped.owner_id).group_by(shaped.id).order_by(size.desc())


SHAPES: dict[str, Callable[[], Any]] = {
    "plain": lambda: select(shaped),
    "nulls last, up": lambda: select(shaped).order_by(shaped.number.asc().nulls_last(), shaped.name),
    "nulls last, down": lambda: select(shaped).order_by(shaped.number.desc().nulls_last(), shaped.name),
    "nulls first, up": lambda: select(shaped).order_by(shaped.number.asc().nulls_first(), shaped.price.desc()),
    "nulls first, down": lambda: select(shaped).order_by(shaped.number.desc().nulls_first()),
    "expression": lambda: select(shaped).order_by(func.coalesce(shaped.number, 1).desc(), shaped.grade),
    "joined": lambda: _joined().order_by(owner.name.desc().nulls_last(), shaped.moment),
    "grouped": _grouped,
}


class Order(NamedTuple):
    """An ordering as it is asked for."""

    terms: tuple[tuple[str, bool], ...]

    @property
    def text(self) -> str:
        """Return the value of ``?ordering=``."""
        return ",".join(f"-{name}" if down else name for name, down in self.terms)


ROW = st.fixed_dictionaries(
    {
        **{name: (st.none() | values) if name in NULLABLE else values for name, values in VALUES.items()},
        "owner_id": st.none() | st.integers(1, OWNERS),
    }
)
ROWS = st.lists(ROW, max_size=14)
ORDERS = st.lists(st.tuples(st.sampled_from(COLUMNS), st.booleans()), max_size=4, unique_by=lambda term: term[0]).map(
    lambda terms: Order(tuple(terms))
)
SIZES = st.integers(1, 5)
CHANGES = st.lists(st.tuples(st.lists(ROW, max_size=2), st.sets(st.integers(0, 20), max_size=3)), max_size=8)
"""Between two pages: rows that come, and which of those there go."""

walking = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Lists:
    """One database behind two applications: one answers pages, the other whole lists."""

    def __init__(self, paged: Client, whole: Client, engine: Engine) -> None:
        self._clients = (paged, whole)
        self._engine = engine
        self._ids = itertools.count(1)
        self.sqlite = engine.dialect.name == "sqlite"
        with engine.begin() as connection:
            connection.execute(insert(self._table("owners")), [{"name": n, "version": 1} for n in ("b", None, "a")])

    def _table(self, name: str) -> Table:
        return self._clients[0].app.metadata.tables[name]

    def fill(self, name: str, rows: Sequence[Row]) -> None:
        """Let these be all the rows of a table."""
        with self._engine.begin() as connection:
            connection.execute(delete(self._table(name)))
        self._ids = itertools.count(1)
        self.add(name, rows)

    def add(self, name: str, rows: Sequence[Row]) -> None:
        """Insert rows."""
        if rows:
            with self._engine.begin() as connection:
                # With ids of their own: SQLite gives a new row the id of the last one that went.
                fresh = [{**row, "id": next(self._ids), "version": 1} for row in rows]
                connection.execute(insert(self._table(name)), fresh)

    def remove(self, name: str, keys: Iterable[int]) -> None:
        """Delete rows."""
        table = self._table(name)
        with self._engine.begin() as connection:
            connection.execute(delete(table).where(table.c.id.in_(list(keys))))

    def page(self, path: str, **query: Any) -> Any:
        """Return the body of one page."""
        response = self._clients[0].get(path, params=query)
        assert response.status_code == 200, response.text
        assert list(response.json()) == ["next", "previous", "results"]
        return response.json()

    def all(self, path: str, **query: Any) -> list[Row]:
        """Return every row, unpaginated."""
        rows: list[Row] = self._clients[1].get(path, params=query).json()["results"]
        return rows

    def walk(self, path: str, rel: str, body: Any = None, **query: Any) -> Iterator[Any]:
        """Give the page, the one that it names as ``rel``, and so on; without a page from the first on."""
        body = body or self.page(path, **query)
        yield body
        while body[rel] is not None:
            body = self.page(path, **query, cursor=body[rel])
            yield body


@pytest.fixture
def lists(database: Database, make_engine: Make, serve: Serve) -> Lists:
    clients = []
    for pagination in (CURSORS, None):
        app = LightApi(engine=make_engine(), default_pagination=pagination)
        app.register({"/owners": Owner, "/things": Thing, "/shaped": Shaped})
        clients.append(serve(app, None))
    return Lists(clients[0], clients[1], database.admin_engine())


def _ids(bodies: Iterable[Any]) -> list[int]:
    return [row["id"] for body in bodies for row in body["results"]]


def _check_both_ways(lists: Lists, path: str, wanted: list[Row], size: int, **query: Any) -> None:
    """Check that pages forwards are the rows, and pages backwards from the last one the same pages again."""
    pages = list(lists.walk(path, "next", **query, page_size=size))
    assert [row for body in pages for row in body["results"]] == wanted
    assert all(len(body["results"]) == size for body in pages[:-1])
    back = list(lists.walk(path, "previous", pages[-1], **query, page_size=size))
    assert [body["results"] for body in back] == [body["results"] for body in reversed(pages)]


@walking
@given(rows=ROWS, order=ORDERS, size=SIZES)
def test_pages_are_the_ordered_rows_forwards_and_backwards(
    lists: Lists, rows: list[Row], order: Order, size: int
) -> None:
    lists.fill("things", rows)

    wanted = lists.all("/things", ordering=order.text)

    assert len(wanted) == len(rows)
    _check_both_ways(lists, "/things", wanted, size, ordering=order.text)


@pytest.mark.engines("sqlite-sync")
@walking
@given(rows=ROWS, order=ORDERS)
def test_rows_are_in_the_order_that_python_sorts_them_in(lists: Lists, rows: list[Row], order: Order) -> None:
    lists.fill("things", [{**row, "id": number} for number, row in enumerate(rows, 1)])

    found = lists.all("/things", ordering=order.text)

    assert [row["id"] for row in found] == [row["id"] for row in _sorted(rows, order)]


def _sorted(rows: list[Row], order: Order) -> list[Row]:
    """Put rows in order, NULL before everything, and those that tie by their key."""
    result = [{**row, "id": number} for number, row in enumerate(rows, 1)]
    for name, down in reversed(order.terms):
        result.sort(key=partial(_rank, name), reverse=down)
    return result


def _rank(name: str, row: Row) -> tuple[Any, ...]:
    return (False,) if row[name] is None else (True, row[name])


@pytest.mark.parametrize("shape", SHAPES)
@settings(walking, max_examples=20)
@given(rows=ROWS, order=ORDERS.filter(lambda order: len(order.terms) < 2), size=SIZES)
def test_pages_of_a_queryset_are_its_rows_in_its_order(
    lists: Lists, shape: str, rows: list[Row], order: Order, size: int
) -> None:
    lists.fill("shaped", rows)

    wanted = lists.all("/shaped", shape=shape, ordering=order.text)

    assert sorted(row["id"] for row in wanted) == sorted({row["id"] for row in wanted})
    assert shape == "grouped" or len(wanted) == len(rows)
    _check_both_ways(lists, "/shaped", wanted, size, shape=shape, ordering=order.text)


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ("nulls last, up", [-1, 0, 1, 1, None, None]),
        ("nulls last, down", [1, 1, 0, -1, None, None]),
        ("nulls first, up", [None, None, -1, 0, 1, 1]),
        ("nulls first, down", [None, None, 1, 1, 0, -1]),
    ],
)
def test_the_order_of_a_queryset_is_the_one_it_says(lists: Lists, shape: str, wanted: list[int | None]) -> None:
    lists.fill("shaped", [{"number": number, "grade": 0, "label": ""} for number in (None, 1, 0, None, -1, 1)])

    assert [row["number"] for row in lists.all("/shaped", shape=shape)] == wanted


@walking
@given(rows=ROWS, order=ORDERS, size=SIZES, changes=st.tuples(CHANGES, CHANGES))
def test_rows_that_stay_are_seen_exactly_once_while_others_come_and_go(
    lists: Lists, rows: list[Row], order: Order, size: int, changes: tuple[Changes, Changes]
) -> None:
    path = "/shaped" if size % 2 else "/things"
    lists.fill(path[1:], rows)
    query = {"ordering": order.text, "page_size": size, "shape": "nulls last, up"}

    last = _walk_while_changing(lists, path, None, changes[0], query)
    _walk_while_changing(lists, path, last, changes[1], query)


def _walk_while_changing(lists: Lists, path: str, last: Any, changes: Changes, query: dict[str, Any]) -> Any:
    """Walk forwards, or backwards from the last page, and check what was seen of the rows that were always there."""
    before = [row["id"] for row in lists.all(path, **query)]
    pages: list[Any] = []
    rel = "next" if last is None else "previous"
    for body in lists.walk(path, rel, last, **query):
        is_changed = body[rel] is not None and len(pages) < len(changes)
        come, gone = changes[len(pages)] if is_changed else ([], set())
        pages.append(body)
        lists.add(path[1:], come)
        there = [row["id"] for row in lists.all(path, **query)]
        lists.remove(path[1:], [key for position, key in enumerate(there) if position in gone])
    after = [row["id"] for row in lists.all(path, **query)]
    seen = _ids(pages if rel == "next" else reversed(pages))
    assert len(seen) == len(set(seen))
    assert [key for key in seen if key in after and key in before] == [key for key in before if key in after]
    return pages[-1]
