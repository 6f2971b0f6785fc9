"""Cursors: what they look like, whom they belong to, and which are refused."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any, Optional

import pytest

from lightapi import Filtering, Pagination, RestEndpoint
from tests.support.hosts import Api, Client

CURSOR = Pagination(style="cursor", page_size=2, max_page_size=10)
BACK = Pagination(style="cursor", page_size=2, backwards=True)
ORDERED = Filtering(fields=["rank"], search=["title"], ordering=["title", "rank"])


class Post(RestEndpoint):
    """Paginated as its app says."""

    title: str
    rank: Optional[int] = None

    class Meta:
        table = "posts"
        filtering = ORDERED


class Note(RestEndpoint):
    """The same columns in another table."""

    title: str
    rank: Optional[int] = None

    class Meta:
        table = "notes"
        filtering = ORDERED


Posts = Callable[..., Client]


@pytest.fixture
def posts(api: Api) -> Posts:
    """Give a function that serves posts and notes named a to e, paginated."""

    def start(pagination: Pagination = CURSOR) -> Client:
        client = api({"/posts": Post, "/notes": Note}, default_pagination=pagination)
        if not client.get("/posts").json()["results"]:
            for letter in "abcde":
                for path in ("/posts", "/notes"):
                    client.post(path, json={"title": letter, "rank": ord(letter) % 2})
        return client

    return start


def _titles(body: Any) -> str:
    return "".join(row["title"] for row in body["results"])


def _cursor(client: Client, **query: Any) -> str:
    cursor: str = client.get("/posts", params=query).json()["next"]
    return cursor


def test_a_cursor_page_has_exactly_these_keys(posts: Posts) -> None:
    client = posts()

    first = client.get("/posts")
    second = client.get(f"/posts?cursor={first.json()['next']}")

    assert list(first.json()) == list(second.json()) == ["next", "previous", "results"]
    assert (first.json()["previous"], second.json()["previous"]) == (None, None)
    assert re.fullmatch("[A-Za-z0-9_-]+", first.json()["next"])
    assert [_titles(body.json()) for body in (first, second)] == ["ab", "cd"]
    link = f'</posts>; rel="first", </posts?cursor={second.json()["next"]}>; rel="next"'
    assert second.headers["link"] == link


def test_the_last_page_has_no_next(posts: Posts) -> None:
    client = posts()

    body = client.get("/posts", params={"page_size": 5}).json()

    assert (body["next"], _titles(body)) == (None, "abcde")


def test_pages_lead_back_on_request(posts: Posts) -> None:
    client = posts(BACK)
    second = client.get("/posts", params={"tag": "ä", "cursor": _cursor(client)})

    first = client.get("/posts", params={"cursor": second.json()["previous"]}).json()

    assert (_titles(first), first["previous"]) == ("ab", None)
    assert _titles(client.get("/posts", params={"cursor": first["next"]}).json()) == "cd"
    target = f"/posts?tag=%C3%A4&cursor={second.json()['previous']}"
    assert f'<{target}>; rel="prev"' in second.headers["link"]
    assert client.get(target).json()["results"] == first["results"]


@pytest.mark.parametrize("ordering", ["", "title", "-title", "rank,-title"])
def test_an_empty_page_leads_back_to_the_rows_it_came_from(posts: Posts, ordering: str) -> None:
    client = posts(BACK)
    query = {"ordering": ordering}
    first = client.get("/posts", params=query).json()
    second = client.get("/posts", params={**query, "cursor": first["next"]}).json()

    for row in first["results"]:
        client.delete(f"/posts/{row['id']}")
    before = client.get("/posts", params={**query, "cursor": second["previous"]}).json()
    third = client.get("/posts", params={**query, "cursor": second["next"]}).json()
    client.delete(f"/posts/{third['results'][0]['id']}")
    after = client.get("/posts", params={**query, "cursor": second["next"]}).json()

    assert (before["results"], before["previous"], after["results"], after["next"]) == ([], None, [], None)
    for turned in (before["next"], after["previous"]):
        again = client.get("/posts", params={**query, "cursor": turned}).json()
        assert again["results"] == second["results"]


def test_filters_and_search_go_with_a_cursor(posts: Posts) -> None:
    client = posts()
    query: dict[str, Any] = {"rank": 1, "ordering": "-title"}

    first = client.get("/posts", params=query)
    second = client.get(first.headers["link"].partition(", <")[2].partition(">")[0])

    assert _titles(first.json()) + _titles(second.json()) == "eca"
    assert client.get("/posts", params={"search": "C", "cursor": _cursor(client)}).json()["next"] is None


def test_a_cursor_keeps_the_order_that_it_was_made_in(posts: Posts) -> None:
    client = posts()
    cursor = _cursor(client, ordering="-title")

    again = client.get("/posts", params={"ordering": "-title", "cursor": cursor}).json()
    alone = client.get("/posts", params={"cursor": cursor}).json()

    assert _titles(again) == _titles(alone) == "cb"


def test_workers_with_the_same_secret_write_and_read_the_same_cursors(
    posts: Posts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTAPI_CURSOR_SECRET", "s" * 32)
    one, other = posts(), posts()

    cursors = [_cursor(client, ordering="title") for client in (one, other)]

    assert cursors[0] == cursors[1]
    assert _titles(other.get("/posts", params={"cursor": cursors[0]}).json()) == "cd"


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
class TestRefused:
    """Laws that hold before any host and any engine."""

    @pytest.fixture
    def client(self, posts: Posts) -> Client:
        return posts()

    @staticmethod
    def _check(client: Client, cursor: str, path: str = "/posts", **query: str) -> None:
        response = client.get(path, params={"cursor": cursor, **query})
        assert response.status_code == 422, (cursor, response.text)
        assert [error["loc"] for error in response.json()["detail"]] == [["query", "cursor"]]
        assert list(response.json()["detail"][0]) == ["type", "loc", "msg"]

    def test_a_cursor_with_any_character_changed(self, client: Client) -> None:
        cursor = _cursor(client, ordering="title")

        for place, character in enumerate(cursor):
            for other in {"A", "b", "_"} - {character}:
                self._check(client, cursor[:place] + other + cursor[place + 1 :])

    def test_a_cursor_cut_short_or_made_longer(self, client: Client) -> None:
        cursor = _cursor(client)

        for length in range(len(cursor)):
            self._check(client, cursor[:length])
            self._check(client, cursor[length + 1 :])
        for more in ("A", "=", "==", "AA", "AAAA", cursor):
            self._check(client, cursor + more)

    @pytest.mark.parametrize(
        "garbled",
        [
            "",
            "x",
            ".",
            "a.b",
            "%",
            "+/",
            "=" * 9,
            "\x00",
            "ä",
            "\uff21",
            "🙂",
            "null",
            "1",
            "A" * 20_000,
            "' OR 1=1 --",
        ],
        ids=range(15),
    )
    def test_garble(self, client: Client, garbled: str) -> None:
        self._check(client, garbled)

    @pytest.mark.parametrize("forged", [b"[[],[1],0]", b"[]", b"null", b"[" * 5000, b"\xff", b'[[],[{"x":"y"}],0]'])
    def test_an_unsigned_cursor(self, client: Client, forged: bytes) -> None:
        for signature in (b"", b"\x00" * 16, b"\x00" * 32):
            self._check(client, base64.urlsafe_b64encode(signature + forged).rstrip(b"=").decode())

    def test_a_cursor_of_another_endpoint(self, client: Client) -> None:
        self._check(client, _cursor(client), "/notes")

    @pytest.mark.parametrize("ordering", ["-title", "rank", "title,rank"])
    def test_a_cursor_of_another_order(self, client: Client, ordering: str) -> None:
        self._check(client, _cursor(client, ordering="title"), ordering=ordering)
        self._check(client, _cursor(client), ordering=ordering)

    @pytest.mark.parametrize("variable", ["LIGHTAPI_CURSOR_SECRET", "LIGHTAPI_JWT_SECRET"])
    def test_a_cursor_signed_with_another_secret(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        unsigned = _cursor(client)
        monkeypatch.setenv(variable, "a" * 32)
        signed = _cursor(client)

        self._check(client, unsigned)
        assert client.get("/posts", params={"cursor": signed}).status_code == 200
        monkeypatch.setenv(variable, "b" * 32)
        self._check(client, signed)

    def test_the_secret_of_tokens_matters_only_where_cursors_have_none(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LIGHTAPI_CURSOR_SECRET", "c" * 32)
        monkeypatch.setenv("LIGHTAPI_JWT_SECRET", "a" * 32)
        cursor = _cursor(client)

        monkeypatch.setenv("LIGHTAPI_JWT_SECRET", "b" * 32)

        assert _cursor(client) == cursor
        assert client.get("/posts", params={"cursor": cursor}).status_code == 200

    def test_strictness_lets_the_parameters_of_pages_pass(self, api: Api) -> None:
        class Strict(RestEndpoint):
            title: str

            class Meta:
                filtering = Filtering(strict=True)
                pagination = CURSOR

        client = api({"/posts": Strict})

        assert client.get("/posts?page_size=1").status_code == 200
        self._check(client, "x")
        assert client.get("/posts?page=1").status_code == 422
