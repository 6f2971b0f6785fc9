"""Pages by number and by offset: their keys and counts, what a client may ask for, and the links between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Optional
from urllib.parse import parse_qsl

import pytest
from sqlalchemy import Engine, insert, text
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette
from starlette.routing import Mount

from lightapi import Filtering, LightApi, Pagination, RestEndpoint
from tests.support.hosts import Api, Client, Database, LoopThread, close_bridge
from tests.support.transports import AsgiTransport, WsgiTransport

NUMBERED = Pagination(page_size=2)
OFFSET = Pagination(style="limit_offset", page_size=2)
CURSOR = Pagination(style="cursor", page_size=2)
Posts = Callable[..., Client]


class Post(RestEndpoint):
    """Paginated as its app says."""

    title: str
    rank: Optional[int] = None

    class Meta:
        table = "posts"
        filtering = Filtering(fields=["rank", "title"], search=["title"], ordering=["title", "rank"])


class Whole(RestEndpoint):
    """Not paginated, whatever its app says."""

    title: str

    class Meta:
        pagination = None


class Small(RestEndpoint):
    """Paginated in its own way."""

    title: str

    class Meta:
        pagination = Pagination(style="limit_offset", page_size=1)


@pytest.fixture
def posts(api: Api) -> Posts:
    """Give a function that serves posts named a, b, c and so on, paginated."""

    def start(pagination: Pagination, count: int = 5, **options: Any) -> Client:
        client = api({"/posts": Post}, default_pagination=pagination, **options)
        for letter in "abcdefgh"[:count]:
            client.post("/posts", json={"title": letter, "rank": ord(letter) % 2})
        return client

    return start


def _titles(body: Any) -> str:
    return "".join(row["title"] for row in body["results"])


def test_a_numbered_page_has_exactly_these_keys(posts: Posts) -> None:
    response = posts(NUMBERED).get("/posts?page=2")

    body = response.json()
    links = {"count": 5, "pages": 3, "next": "/posts?page=3", "previous": "/posts?page=1"}
    assert body == {**links, "results": body["results"]}
    assert list(body) == ["count", "pages", "next", "previous", "results"]
    assert _titles(body) == "cd"
    assert response.headers["link"] == (
        '</posts?page=1>; rel="first", </posts?page=1>; rel="prev", '
        '</posts?page=3>; rel="next", </posts?page=3>; rel="last"'
    )


def test_an_offset_page_has_exactly_these_keys(posts: Posts) -> None:
    response = posts(OFFSET).get("/posts?offset=2")

    body = response.json()
    links = {"count": 5, "next": "/posts?offset=4", "previous": "/posts?offset=0"}
    assert body == {**links, "results": body["results"]}
    assert list(body) == ["count", "next", "previous", "results"]
    assert _titles(body) == "cd"
    assert response.headers["link"] == (
        '</posts?offset=0>; rel="first", </posts?offset=0>; rel="prev", '
        '</posts?offset=4>; rel="next", </posts?offset=4>; rel="last"'
    )


@pytest.mark.parametrize(("style", "page"), [(NUMBERED, "page=9"), (OFFSET, "offset=18")], ids=["number", "offset"])
def test_a_page_past_the_end_is_empty_and_leads_back(posts: Posts, style: Pagination, page: str) -> None:
    client = posts(style)

    response = client.get(f"/posts?{page}")

    assert response.status_code == 200
    body = response.json()
    assert (body["count"], body["next"], body["results"]) == (5, None, [])
    assert _titles(client.get(body["previous"]).json()) == "e"
    assert 'rel="next"' not in response.headers["link"]


@pytest.mark.parametrize(
    "style",
    [
        *(Pagination(page_size=2, count=count) for count in (True, False, "capped", "estimate")),
        *(Pagination(style="limit_offset", page_size=2, count=count) for count in (True, False)),
    ],
    ids=["number", "number uncounted", "number capped", "number estimated", "offset", "offset uncounted"],
)
def test_links_lead_through_all_pages_and_back(posts: Posts, style: Pagination) -> None:
    client = posts(style)

    there = [client.get("/posts").json()]
    while there[-1]["next"]:
        there.append(client.get(there[-1]["next"]).json())
    back = [there[-1]]
    while back[-1]["previous"]:
        back.append(client.get(back[-1]["previous"]).json())

    assert [_titles(body) for body in there] == ["ab", "cd", "e"]
    assert [body["results"] for body in back] == [body["results"] for body in reversed(there)]
    assert ("count" in there[0]) is bool(style.count)


def test_filters_search_and_order_count_and_page_together(posts: Posts) -> None:
    client = posts(NUMBERED)
    client.post("/posts", json={"title": "B and e", "rank": 1})

    body = client.get("/posts?rank=1&search=E&ordering=-title").json()
    first = client.get("/posts?rank=1&ordering=-title").json()
    second = client.get(first["next"]).json()

    assert (body["count"], [row["title"] for row in body["results"]]) == (2, ["e", "B and e"])
    titles = [row["title"] for row in first["results"] + second["results"]]
    assert (first["count"], len(titles), titles[:2]) == (4, 4, ["e", "c"])


QUERY = "q=%C3%A4+%26+%2B&tag=1&page=9&tag=2&blank=&page=2"


def test_links_keep_all_other_parameters(posts: Posts) -> None:
    response = posts(NUMBERED).get(f"/posts?{QUERY}")

    body = response.json()
    assert body["next"] == "/posts?q=%C3%A4+%26+%2B&tag=1&tag=2&blank=&page=3"
    assert body["previous"] == "/posts?q=%C3%A4+%26+%2B&tag=1&tag=2&blank=&page=1"
    assert f'<{body["next"]}>; rel="next"' in response.headers["link"]
    assert _titles(body) == "cd"


@pytest.mark.parametrize(
    "query", ["title=%3Cb%3E", "title=%22%3E%3B", "title=a%0D%0AX: y", "%3C=1", "q=%FF", "q=漢字 🙂"]
)
@pytest.mark.parametrize("style", [NUMBERED, CURSOR], ids=["number", "cursor"])
def test_whatever_is_in_a_query_stays_inside_its_link(posts: Posts, style: Pagination, query: str) -> None:
    response = posts(style, 0).get(f"/posts?{query}")

    link = response.headers["link"]
    assert response.status_code == 200
    assert set(link.partition("<")[2].partition(">")[0]) <= set(map(chr, range(33, 127))) - set('<>"')
    assert parse_qsl(link.partition("?")[2].partition(">")[0])[0][0] == parse_qsl(query)[0][0]


def test_head_and_a_trailing_slash_have_the_same_links(posts: Posts) -> None:
    client = posts(NUMBERED)

    get, head, slash = client.get("/posts?page=2"), client.head("/posts?page=2"), client.get("/posts/?page=2")

    assert head.headers["link"] == slash.headers["link"] == get.headers["link"]
    assert slash.json() == get.json()


def test_base_url_makes_links_absolute(posts: Posts) -> None:
    response = posts(NUMBERED, base_url="https://api.example.com/").get("/posts", headers={"Host": "evil.example"})

    assert response.json()["next"] == "https://api.example.com/posts?page=2"
    assert response.headers["link"].startswith('<https://api.example.com/posts?page=1>; rel="first"')
    assert "evil" not in response.text + str(response.headers)


@pytest.fixture
def mounted(make_engine: Callable[..., Engine | AsyncEngine]) -> Iterator[LightApi]:
    app = LightApi(engine=make_engine(), default_pagination=NUMBERED)
    app.register({"/größe/posts": Post})
    yield app
    close_bridge(app)


@pytest.mark.hosts("asgi", "wsgi-direct", "wsgi-a2wsgi")
@pytest.mark.filterwarnings("ignore:(?s).*sync:RuntimeWarning")
def test_links_have_the_prefix_that_the_app_is_mounted_under(
    mounted: LightApi, host: str, loop_thread: LoopThread
) -> None:
    transport: Any
    if host == "asgi":
        transport = AsgiTransport(Starlette(routes=[Mount("/a b", app=mounted.build_app())]), loop_thread.run)
    else:
        served: Any = mounted.build_wsgi_app(direct=host == "wsgi-direct")
        transport = WsgiTransport(lambda environ, start: served(_below("/a b", environ), start))
    with Client(mounted, transport, None) as client:
        for title in "abc":
            client.post("/a%20b/gr%C3%B6%C3%9Fe/posts", json={"title": title})
        body = client.get("/a%20b/gr%C3%B6%C3%9Fe/posts").json()

        assert body["next"] == "/a%20b/gr%C3%B6%C3%9Fe/posts?page=2"
        assert _titles(client.get(body["next"]).json()) == "c"


def _below(prefix: str, environ: dict[str, Any]) -> dict[str, Any]:
    path = environ["PATH_INFO"].removeprefix(prefix)
    return {**environ, "SCRIPT_NAME": environ["SCRIPT_NAME"] + prefix, "PATH_INFO": path}


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
class TestAsked:
    """Laws that hold before any host and any engine."""

    @pytest.mark.parametrize(("count", "pages"), [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2)])
    def test_pages_are_rounded_up(self, posts: Posts, count: int, pages: int) -> None:
        body = posts(NUMBERED, count).get("/posts").json()

        assert (body["count"], body["pages"]) == (count, pages)

    @pytest.mark.parametrize(
        "text", ["x", "1.0", "1e3", "", " 1", "+1", "0x1", "1_0", "٣", "\uff11", "1\x00", "-1", "-" + "9" * 99]
    )
    @pytest.mark.parametrize("name", ["page", "page_size", "offset", "limit"])
    def test_what_is_no_place_or_size_is_refused(self, posts: Posts, name: str, text: str) -> None:
        style: Any = "page_number" if name.startswith("page") else "limit_offset"

        response = posts(Pagination(style=style, max_page_size=50), 0).get("/posts", params={name: text})

        assert response.status_code == 422
        assert [error["loc"] for error in response.json()["detail"]] == [["query", name]]
        assert list(response.json()["detail"][0]) == ["type", "loc", "msg"]

    @pytest.mark.parametrize(("name", "status"), [("page", 422), ("page_size", 422), ("limit", 422), ("offset", 200)])
    def test_the_least_page_is_one_and_the_least_offset_none(self, posts: Posts, name: str, status: int) -> None:
        style: Any = "page_number" if name.startswith("page") else "limit_offset"

        client = posts(Pagination(style=style, max_page_size=50), 0)

        assert client.get("/posts", params={name: "0"}).status_code == status
        assert client.get("/posts", params={name: "0001"}).status_code == 200

    @pytest.mark.engines("sqlite-sync", "postgres-sync", "postgres-async")
    @pytest.mark.parametrize("text", [str(2**31), str(2**62), str(2**63), "9" * 5000], ids=len)
    @pytest.mark.parametrize("style", [NUMBERED, OFFSET], ids=["page", "offset"])
    def test_a_huge_place_is_past_the_end(self, posts: Posts, style: Pagination, text: str) -> None:
        name = "page" if style is NUMBERED else "offset"

        response = posts(style, 3).get("/posts", params={name: text})

        assert response.status_code == 200
        assert (response.json()["results"], response.json()["count"]) == ([], 3)

    @pytest.mark.parametrize(("asked", "given"), [("1", 1), ("4", 4), ("5", 4), ("9" * 40, 4)])
    @pytest.mark.parametrize("name", ["page_size", "limit"])
    def test_a_size_is_capped(self, posts: Posts, name: str, asked: str, given: int) -> None:
        style: Any = "page_number" if name == "page_size" else "limit_offset"

        body = posts(Pagination(style=style, page_size=2, max_page_size=4)).get("/posts", params={name: asked}).json()

        assert len(body["results"]) == given
        assert f"{name}={asked}" in body["next"]

    @pytest.mark.parametrize("style", [NUMBERED, OFFSET, CURSOR], ids=["number", "offset", "cursor"])
    def test_a_size_counts_only_when_it_is_declared(self, posts: Posts, style: Pagination) -> None:
        client = posts(style)

        assert _titles(client.get("/posts?page_size=4&limit=4").json()) == "ab"
        assert client.get("/posts?page_size=x&limit=x").status_code == 200

    def test_meta_wins_over_the_apps_pagination(self, api: Api) -> None:
        client = api({"/posts": Post, "/whole": Whole, "/small": Small}, default_pagination=NUMBERED)

        keys = {path: list(client.get(path).json()) for path in ("/posts", "/whole", "/small")}

        assert keys["/posts"] == ["count", "pages", "next", "previous", "results"]
        assert keys["/whole"] == ["results"]
        assert keys["/small"] == ["count", "next", "previous", "results"]

    def test_a_link_too_long_for_proxies_is_in_the_body_alone(self, posts: Posts) -> None:
        response = posts(NUMBERED).get("/posts", params={"q": "x" * 5000})

        assert "link" not in response.headers
        assert len(response.json()["next"]) > 5000


@pytest.fixture
def many(posts: Posts, database: Database) -> Callable[[Any], Client]:
    """Give a function that serves more rows than are counted one by one."""

    def start(count: Any) -> Client:
        client = posts(Pagination(page_size=100, count=count), 0)
        rows = [{"title": str(number), "rank": number % 2, "version": 1} for number in range(10_250)]
        with database.admin_engine().begin() as connection:
            connection.execute(insert(client.app.metadata.tables["posts"]), rows)
            connection.execute(text("ANALYZE posts"))
        return client

    return start


@pytest.mark.hosts("wsgi-direct")
@pytest.mark.engines("sqlite-sync", "postgres-sync")
class TestCounts:
    """Lists too long to count for every page."""

    def test_a_capped_count_stops_at_ten_thousand(self, many: Callable[[Any], Client]) -> None:
        client = many("capped")

        body = client.get("/posts").json()

        assert (body["count"], body["pages"]) == (10_000, 100)
        assert client.get("/posts?rank=1").json()["count"] == 5125

    def test_pages_beyond_a_capped_count_are_reached_by_their_links(self, many: Callable[[Any], Client]) -> None:
        client = many("capped")

        beyond = client.get("/posts?page=102")

        assert len(beyond.json()["results"]) == 100
        assert beyond.json()["next"] == "/posts?page=103"
        assert beyond.json()["previous"] == "/posts?page=101"
        assert '</posts?page=100>; rel="last"' not in beyond.headers["link"]

    def test_an_estimate_is_near_and_exact_where_rows_are_filtered(self, many: Callable[[Any], Client]) -> None:
        client = many("estimate")

        assert client.get("/posts").json()["count"] == pytest.approx(10_250, rel=0.1)
        assert client.get("/posts?rank=1").json()["count"] == 5125
