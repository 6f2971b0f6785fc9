"""The OpenAPI document as it is served: made once, with an ETag, on every host and under every prefix."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from lightapi import LightApi, RestEndpoint
from tests.support.hosts import Api


class Note(RestEndpoint):
    """Something to remember."""

    text: str


@pytest.mark.engines("sqlite-sync", "sqlite-async")
def test_the_document_is_served_with_an_etag(api: Api) -> None:
    client = api({"/notes": Note}, title="Notes")

    first = client.get("/openapi.json")
    again = client.get("/openapi.json", headers={"if-none-match": f'"other", W/{first.headers["etag"]}'})

    assert first.json()["info"]["title"] == "Notes"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["x-content-type-options"] == "nosniff"
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert client.get("/openapi.json", headers={"if-none-match": '"other"'}).status_code == 200
    assert client.head("/openapi.json").headers["content-length"] == str(len(first.content))
    assert client.post("/openapi.json").status_code == 405


def _app(**options: Any) -> LightApi:
    app = LightApi(database_url="sqlite://", **options)
    app.register({"/notes": Note})
    return app


def test_every_line_of_if_none_match_counts() -> None:
    client = TestClient(_app())
    etag = client.get("/openapi.json").headers["etag"]

    answer = client.get("/openapi.json", headers=[("if-none-match", '"other"'), ("if-none-match", etag)])

    assert answer.status_code == 304


def test_a_prefix_never_names_another_host() -> None:
    client = TestClient(_app(), root_path="//evil.example")

    assert client.get("/openapi.json").json()["servers"] == [{"url": "/evil.example"}]


def test_it_may_be_moved_or_turned_off() -> None:
    moved, off = TestClient(_app(openapi_url="/schema")), TestClient(_app(openapi_url=None))

    assert moved.get("/schema").status_code == 200
    assert moved.get("/openapi.json").status_code == 404
    assert off.get("/openapi.json").status_code == 404
    assert off.get("/docs").status_code == 404


def test_without_a_page_there_is_still_a_document() -> None:
    client = TestClient(_app(docs_url=None))

    assert client.get("/docs").status_code == 404
    assert client.get("/openapi.json").status_code == 200


def test_an_endpoint_at_its_path_goes_first() -> None:
    app = LightApi(database_url="sqlite://")
    app.register({"/openapi.json": Note})

    assert TestClient(app).get("/openapi.json").json() == {"results": []}


def test_under_a_prefix_the_servers_say_so() -> None:
    app = _app()
    mounted = TestClient(Starlette(routes=[Mount("/api/v1", app=app)]))

    inside = mounted.get("/api/v1/openapi.json")
    outside = TestClient(app).get("/openapi.json")

    assert inside.json()["servers"] == [{"url": "/api/v1"}]
    assert "servers" not in outside.json()
    assert inside.headers["etag"] != outside.headers["etag"]
    assert app.openapi() == outside.json()


def test_a_base_url_stands_before_the_prefix() -> None:
    app = _app(base_url="https://api.example.com/")
    mounted = TestClient(Starlette(routes=[Mount("/ä", app=app)]))

    assert mounted.get("/ä/openapi.json").json()["servers"] == [{"url": "https://api.example.com/%C3%A4"}]
    assert TestClient(app).get("/openapi.json").json()["servers"] == [{"url": "https://api.example.com"}]


def test_many_prefixes_are_answered_and_few_are_kept() -> None:
    mounted = TestClient(Starlette(routes=[Mount("/{tenant}", app=_app())]))

    servers = [mounted.get(f"/t{number}/openapi.json").json()["servers"] for number in range(40)]

    assert servers == [[{"url": f"/t{number}"}] for number in range(40)]
