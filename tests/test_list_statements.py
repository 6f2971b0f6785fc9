"""How many statements a page costs, counted by the database, and that each shape of page is built once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Optional

import httpx
import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import aliased
from starlette.requests import Request

from lightapi import Filtering, LightApi, Pagination, RestEndpoint
from lightapi.db.listing import Lists, Wanted
from tests.support.hosts import Api, Client, LoopThread
from tests.support.transports import AsgiTransport, WsgiTransport
from tests.test_statements import ASYNC, LANES, _drop, _engine, _tracer

FILTERING = Filtering(fields=["rank", "rank__in"], search=["title"], ordering=["title", "rank"])
ROWS = 5


class Numbered(RestEndpoint):
    """Pages by number."""

    title: str
    rank: Optional[int] = None

    class Meta:
        filtering = FILTERING
        pagination = Pagination(page_size=2)


class Uncounted(RestEndpoint):
    """Pages by number, nobody knows how many."""

    title: str
    rank: Optional[int] = None

    class Meta:
        filtering = FILTERING
        pagination = Pagination(page_size=2, count=False)


class Capped(RestEndpoint):
    """Pages by number, counted up to a point."""

    title: str
    rank: Optional[int] = None

    class Meta:
        filtering = FILTERING
        pagination = Pagination(page_size=2, count="capped")


class Estimated(RestEndpoint):
    """Pages by number, counted roughly."""

    title: str
    rank: Optional[int] = None

    class Meta:
        filtering = FILTERING
        pagination = Pagination(page_size=2, count="estimate")


class Offset(RestEndpoint):
    """Pages by offset."""

    title: str
    rank: Optional[int] = None

    class Meta:
        filtering = FILTERING
        pagination = Pagination(style="limit_offset", page_size=2)


class Sought(RestEndpoint):
    """Pages by place."""

    title: str
    rank: Optional[int] = None

    class Meta:
        filtering = FILTERING
        pagination = Pagination(style="cursor", page_size=2, backwards=True)


class Queried(RestEndpoint):
    """Pages of a queryset."""

    title: str
    rank: Optional[int] = None

    def queryset(self, request: Request) -> Any:
        return select(aliased(Queried)).distinct()

    class Meta:
        filtering = FILTERING
        pagination = Pagination(page_size=2)


class Heard(RestEndpoint):
    """Pages of entities."""

    title: str
    rank: Optional[int] = None

    class Meta:
        filtering = FILTERING
        pagination = Pagination(page_size=2)


MAPPING: dict[str, type[RestEndpoint]] = {
    f"/{each.__name__.lower()}": each
    for each in (Numbered, Uncounted, Capped, Estimated, Offset, Sought, Queried, Heard)
}
COUNTED = ["/numbered", "/capped", "/estimated", "/queried", "/heard"]


def _listen_to_nothing(target: Any, _context: object) -> None:
    """Make the mapper one that has listeners."""


class Case(NamedTuple):
    """A list request, and what it costs."""

    statements: int
    path: str
    status: int = 200


@pytest.fixture(scope="module", params=LANES, ids="-".join)
def lane(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, loop_thread: LoopThread
) -> Iterator[Lane]:
    driver, owner, host = request.param
    if driver in ("sqlite", "aiosqlite"):
        prefix = "sqlite" if driver == "sqlite" else "sqlite+aiosqlite"
        url = f"{prefix}:///{tmp_path_factory.mktemp('statements') / 'test.db'}"
    else:
        url = f"postgresql+{driver}" + request.getfixturevalue("postgres_url").removeprefix("postgresql")
    app = LightApi(database_url=url) if owner == "ours" else LightApi(engine=_engine(url))
    app.register(MAPPING)
    if not event.contains(Heard, "load", _listen_to_nothing):
        event.listen(Heard, "load", _listen_to_nothing)
    listen = _tracer(app) if "sqlite" in driver else request.getfixturevalue("postgres_log").statements
    transport: httpx.BaseTransport
    if host == "asgi":
        transport = AsgiTransport(app.build_app(), loop_thread.run)
    else:
        transport = WsgiTransport(app.build_wsgi_app())
    with Client(app, transport, app.engine) as client:
        for path, number in itertools.product(MAPPING, range(ROWS)):
            client.post(path, json={"title": f"title {number}", "rank": number % 2})
        yield Lane(client, listen)
    if driver in ASYNC:
        loop_thread.run(app.engine.dispose())
    else:
        app.engine.dispose()
    if "sqlite" not in driver:
        _drop(app, url)


class Lane(NamedTuple):
    """An application that has served before, on one host and one engine, and the ear at its database."""

    client: Client
    listen: Callable[[], AbstractContextManager[list[str]]]

    def check(self, case: Case) -> None:
        """Ask for a list and compare the statements that it took."""
        with self.listen() as statements:
            response = self.client.get(case.path)
        assert response.status_code == case.status, response.text
        assert len(statements) == case.statements, statements


QUERIES = ["", "?page=2", "?page=3", "?rank=1", "?rank__in=0,1&page=2", "?search=TITLE", "?ordering=-rank,title"]
CASES = [
    *(Case(1, path + query) for path in (*COUNTED, "/uncounted") for query in QUERIES),
    *(Case(1, f"{path}?rank=7") for path in COUNTED),
    *(Case(2, f"{path}?page=9") for path in COUNTED),
    *(Case(2, f"{path}?page=9&rank=1&search=title") for path in COUNTED),
    Case(1, "/uncounted?page=9"),
    *(Case(1, f"/offset{query}") for query in ("", "?offset=2", "?rank=1&search=title&offset=1", "?rank=7")),
    Case(2, "/offset?offset=9"),
    *(Case(1, f"/sought{query}") for query in ("", "?rank=1", "?search=title&ordering=-title", "?rank=7")),
    *(Case(0, path, 422) for path in ("/numbered?page=0", "/offset?offset=x", "/sought?cursor=x", "/heard?rank=x")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_a_page_costs_so_many_statements(lane: Lane, case: Case) -> None:
    lane.check(case)


@pytest.mark.parametrize("query", ["?", "?rank=0&", "?search=title&ordering=-rank&", "?ordering=title,-rank&"])
def test_a_page_at_a_cursor_costs_one_statement(lane: Lane, query: str) -> None:
    first = lane.client.get(f"/sought{query}").json()
    second = lane.client.get(f"/sought{query}cursor={first['next']}").json()

    lane.check(Case(1, f"/sought{query}cursor={first['next']}"))
    lane.check(Case(1, f"/sought{query}cursor={second['previous']}"))


@pytest.mark.hosts("wsgi-direct")
@pytest.mark.engines("sqlite-sync")
class TestReuse:
    """A statement is built once per shape."""

    @pytest.fixture
    def client(self, api: Api) -> Client:
        client = api({"/numbered": Numbered, "/sought": Sought})
        for path, number in itertools.product(("/numbered", "/sought"), range(ROWS)):
            client.post(path, json={"title": f"title {number}", "rank": number % 2})
        return client

    @staticmethod
    def _lists(client: Client, path: str) -> Lists:
        lists: Lists = client.app._plans[path].lists
        return lists

    def test_other_values_are_the_same_shape(self, client: Client) -> None:
        lists = self._lists(client, "/numbered")
        client.get("/numbered?rank=1&search=a&page=1")
        built = dict(lists._listings)

        for query in ("?rank=0&search=b", "?page=2&rank=7&search=%25", "?search=x&rank=5&page=9&unknown=1"):
            assert client.get(f"/numbered{query}").status_code == 200

        assert all(lists._listings[wanted] is listing for wanted, listing in built.items())
        assert set(lists._listings) - set(built) == set()

    def test_other_places_are_the_same_shape(self, client: Client) -> None:
        lists = self._lists(client, "/sought")
        first = client.get("/sought?ordering=title").json()
        second = client.get(f"/sought?ordering=title&cursor={first['next']}").json()
        built = len(lists._listings)

        client.get(f"/sought?ordering=title&cursor={second['next']}")

        assert len(lists._listings) == built == 2

    def test_shapes_are_kept_up_to_a_limit(self, client: Client) -> None:
        lists = self._lists(client, "/numbered")
        shapes = [Wanted(tuple(pairs)) for pairs in itertools.product([("rank", "in"), ("rank", "exact")], repeat=9)]

        built = [lists.listing(shape) for shape in shapes]

        assert len(shapes) > len(lists._listings) == 256
        assert lists.listing(shapes[-1]) is built[-1]
        assert lists.listing(shapes[0]) is not built[0]
