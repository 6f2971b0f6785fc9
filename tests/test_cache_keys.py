"""What tells kept answers apart: query, headers, tables, databases; and what a wrong declaration is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text
from starlette.requests import Request

from lightapi import (
    Cache,
    Filtering,
    LightApi,
    Pagination,
    RestEndpoint,
)
from tests.support.hosts import Api, Client, Database
from tests.support.kept import both, empty_redis, near, plain, state, states
from tests.support.transports import WsgiTransport

__all__ = ["empty_redis"]

Serve = Callable[..., Client]


class Note(RestEndpoint):
    """Kept, filtered and in pages."""

    title: str
    author: str = "nobody"

    class Meta:
        cache = Cache(ttl=60)
        filtering = Filtering(fields=["title", "author"])
        pagination = Pagination(style="page_number", page_size=1)


class Another(RestEndpoint):
    """Kept, in a table named by the test."""

    title: str

    class Meta:
        cache = Cache(ttl=60)


def declared(base: type[RestEndpoint] = Another, **meta: Any) -> type[RestEndpoint]:
    """Return an endpoint of the base with these in its Meta."""
    return type("Declared", (base,), {"Meta": type("Meta", (), meta)})


@near
@plain
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("title=a&author=b", "author=b&title=a"),
        ("title=%61", "title=a"),
        ("title=a+b", "title=a%20b"),
        ("title=%c3%a4", "title=%C3%A4"),
        ("title=a&&author=b", "title=a&author=b"),
        ("", "&"),
    ],
)
def test_one_query_written_two_ways_is_one_answer(api: Api, first: str, second: str) -> None:
    client = api({"/notes": Note})

    assert states(client, f"/notes?{first}", f"/notes?{second}") == ["miss", "hit"]


@near
@plain
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("title=a", "title=b"),
        ("title=a", "author=a"),
        ("title=a", "title="),
        ("title=", ""),
        ("title=a&title=b", "title=b&title=a"),
        ("title=a&title=b", "title=a"),
        ("title=a&author=b", "title=a%26author%3Db"),
        ("title=a", "title=a%00"),
        ("title=a,b", "title=a&title=b"),
    ],
)
def test_two_queries_are_two_answers(api: Api, first: str, second: str) -> None:
    client = api({"/notes": declared(filtering=Filtering(fields=["title"]))})

    assert states(client, f"/notes?{first}")[0] in ("miss", None)
    assert state(client.get(f"/notes?{second}")) != "hit"


@near
@plain
def test_kept_pages_and_filters_are_those_asked_for(api: Api) -> None:
    client = api({"/notes": Note})
    for title in ("a", "b", "c"):
        client.post("/notes", json={"title": title})
    queries = ["page=1", "page=2", "page=3", "title=b", "title=c&page=1"]

    for _ in range(2):
        titles = [client.get(f"/notes?{query}").json()["results"][0]["title"] for query in queries]
        assert titles == ["a", "b", "c", "b", "c"]
    assert states(client, *(f"/notes?{query}" for query in queries)) == ["hit"] * 5


VARIED = {"cache": Cache(ttl=60, vary_on=["title", "page"])}


@near
@plain
def test_parameters_outside_vary_on_have_no_effect_and_are_in_no_link(api: Api) -> None:
    client = api({"/notes": declared(Note, **VARIED)})
    for title in ("a", "a"):
        client.post("/notes", json={"title": title})

    first = client.get("/notes?utm=1&author=nobody&title=a")
    second = client.get("/notes?title=a&utm=2&author=somebody")

    assert (state(first), state(second)) == ("miss", "hit")
    assert first.json()["next"] == second.json()["next"] == "/notes?title=a&page=2"
    assert second.json()["count"] == 2


@near
@plain
def test_an_empty_vary_on_makes_one_answer_of_all_queries(api: Api) -> None:
    client = api({"/notes": declared(Note, cache=Cache(ttl=60, vary_on=[]))})

    assert states(client, "/notes?title=a", "/notes?page=1", "/notes") == ["miss", "hit", "hit"]


@near
@plain
def test_strict_filtering_still_refuses_what_nothing_declares(api: Api) -> None:
    client = api({"/notes": declared(Note, **VARIED, filtering=Filtering(fields=["title", "author"], strict=True))})

    assert [client.get("/notes?title=a&utm=1").status_code for _ in range(2)] == [422, 422]
    assert states(client, "/notes?title=a&author=b", "/notes?title=a") == ["miss", "hit"]
    assert client.get("/notes?title=a&utm=1").status_code == 422


@near
@plain
def test_vary_headers_keep_answers_apart_and_are_named_in_vary(api: Api) -> None:
    def list_(self: RestEndpoint, request: Request) -> Any:
        return {"language": request.headers.get("accept-language")}

    base = type("Spoken", (Another,), {"list": list_})
    client = api({"/notes": declared(base, cache=Cache(ttl=60, vary_headers=["Accept-Language"]))})

    for expected in ("miss", "hit"):
        for language in ("de", "fr"):
            answer = client.get("/notes", headers={"Accept-Language": language})
            assert (answer.json(), state(answer)) == ({"language": language}, expected)
            assert answer.headers.get_list("vary").count("Accept-Language") == 1
    assert "Accept-Language" in client.get("/notes/9").headers.get("vary", "Accept-Language")


@near
@both
def test_a_write_of_a_table_reaches_every_endpoint_of_it(api: Api, database: Database) -> None:
    with database.admin_engine().begin() as connection:
        connection.execute(text("CREATE TABLE shared (id INTEGER PRIMARY KEY, title VARCHAR)"))

    class Left(RestEndpoint):
        class Meta:
            reflect = True
            table = "shared"
            cache = Cache(ttl=60)

    class Right(RestEndpoint):
        class Meta:
            reflect = True
            table = "shared"

    client = api({"/left": Left, "/right": Right})
    assert states(client, "/left", "/left") == ["miss", "hit"]

    assert client.post("/right", json={"title": "a"}).status_code == 201

    assert [row["title"] for row in client.get("/left").json()["results"]] == ["a"]


@near
@plain
def test_a_cascade_reaches_the_lists_of_its_table(api: Api, database: Database) -> None:
    with database.admin_engine().begin() as connection:
        connection.execute(text("CREATE TABLE parents (id INTEGER PRIMARY KEY, title VARCHAR)"))
        for child, of in (("children", "parents"), ("grandchildren", "children")):
            connection.execute(
                text(
                    f"CREATE TABLE {child} (id INTEGER PRIMARY KEY, "
                    f"of_id INTEGER REFERENCES {of} (id) ON DELETE CASCADE)"
                )
            )
    classes = {
        f"/{name}": type(name, (RestEndpoint,), {"Meta": type("Meta", (), {"reflect": True, "table": name, **kept})})
        for name, kept in {"parents": {}, "children": {}, "grandchildren": {"cache": Cache(ttl=60)}}.items()
    }
    client = api(classes)
    assert client.post("/parents", json={"title": "a"}).status_code == 201
    for child in ("children", "grandchildren"):
        assert client.post(f"/{child}", json={"of_id": 1}).status_code == 201
    assert states(client, "/grandchildren", "/grandchildren") == ["miss", "hit"]

    assert client.delete("/parents/1").status_code == 204

    assert client.get("/grandchildren").json()["results"] == []


def _served(path: Path, endpoint: type[RestEndpoint]) -> httpx.Client:
    app = LightApi(engine=create_engine(f"sqlite:///{path}"))
    app.register({"/notes": endpoint})
    return httpx.Client(transport=WsgiTransport(app.build_wsgi_app()), base_url="http://test")


def test_apps_of_other_databases_do_not_share(tmp_path: Path) -> None:
    with _served(tmp_path / "a.db", declared()) as one, _served(tmp_path / "b.db", declared()) as two:
        one.post("/notes", json={"title": "a"})
        assert states(one, "/notes", "/notes") == ["miss", "hit"]

        assert two.get("/notes").json() == {"results": []}
        two.post("/notes", json={"title": "b"})
        assert states(one, "/notes") == ["hit"]


def test_apps_of_other_tables_do_not_share(tmp_path: Path) -> None:
    with (
        _served(tmp_path / "a.db", declared(table="ones", cache=Cache(ttl=60))) as one,
        _served(tmp_path / "a.db", declared(table="twos", cache=Cache(ttl=60))) as two,
    ):
        one.post("/notes", json={"title": "a"})
        assert states(one, "/notes", "/notes") == ["miss", "hit"]

        assert two.get("/notes").json() == {"results": []}


def test_apps_of_one_database_share_answers_and_writes(tmp_path: Path) -> None:
    endpoint = declared
    with _served(tmp_path / "a.db", endpoint()) as one, _served(tmp_path / "a.db", endpoint()) as two:
        assert [states(one, "/notes"), states(two, "/notes")] == [["miss"], ["hit"]]

        two.post("/notes", json={"title": "a"})

        assert len(one.get("/notes").json()["results"]) == 1


@pytest.mark.parametrize("pair", [":memory:", "file:x?mode=memory&uri=true"], ids=["memory", "named"])
def test_databases_in_memory_of_other_engines_do_not_share(pair: str, tmp_path: Path) -> None:
    from sqlalchemy.pool import StaticPool

    def serve() -> httpx.Client:
        options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
        app = LightApi(engine=create_engine("sqlite://", **options))
        app.register({"/notes": declared()})
        return httpx.Client(transport=WsgiTransport(app.build_wsgi_app()), base_url="http://test")

    with serve() as one, serve() as two:
        one.post("/notes", json={"title": "a"})
        assert states(one, "/notes", "/notes") == ["miss", "hit"]

        assert two.get("/notes").json() == {"results": []}
