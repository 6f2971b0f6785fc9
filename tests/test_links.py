"""``Location`` is a path-absolute reference that respects the prefix an app is mounted under."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import django
import flask
import httpx
import pytest
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import re_path
from fastapi import FastAPI
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from lightapi import Field, LightApi, RestEndpoint
from tests.support.endpoints import CLEAN_CODE, Book
from tests.support.hosts import Api, LoopThread, close_bridge
from tests.support.transports import AsgiTransport, WsgiTransport

pytestmark = [
    pytest.mark.engines("sqlite-sync", "sqlite-async"),
    pytest.mark.filterwarnings("ignore:(?s).*sync:RuntimeWarning"),
]


class ShowsUrl(RestEndpoint):
    """Answers how it was reached."""

    title: str = Field(min_length=1)

    def get(self, request: Request) -> Any:
        return {"path": request.url.path, "id": request.path_params.get("id")}


@pytest.fixture
def mounted(make_engine: Callable[..., Engine | AsyncEngine]) -> Iterator[LightApi]:
    app = LightApi(engine=make_engine())
    app.register({"/books": Book, "/shows": ShowsUrl})
    yield app
    close_bridge(app)


def _check(client: httpx.Client, prefix: str) -> None:
    made = client.post(f"{prefix}/books", json=CLEAN_CODE)
    assert (made.status_code, made.headers["location"]) == (201, f"{prefix}/books/1")
    assert client.get(made.headers["location"]).content == made.content
    assert client.get(f"{prefix}/books/").json() == {"results": [made.json()]}
    assert client.get(f"{prefix}/shows/7").json() == {"path": f"{prefix}/shows/7", "id": "7"}
    unknown = client.get(f"{prefix}/nowhere")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "not found"})


def _asgi(app: Any, loop_thread: LoopThread) -> httpx.Client:
    return httpx.Client(transport=AsgiTransport(app, loop_thread.run), base_url="http://testserver")


def _wsgi(app: Any) -> httpx.Client:
    return httpx.Client(transport=WsgiTransport(app), base_url="http://testserver")


@pytest.mark.parametrize("outer", [Starlette, FastAPI], ids=["starlette", "fastapi"])
@pytest.mark.parametrize("prefix", ["/api", "/a/b"])
def test_mounted_in_an_asgi_framework(mounted: LightApi, loop_thread: LoopThread, outer: Any, prefix: str) -> None:
    framework = outer(routes=[Mount(prefix, app=mounted.build_app())])

    with _asgi(framework, loop_thread) as client:
        _check(client, prefix)


def test_the_object_itself_may_be_mounted(mounted: LightApi, loop_thread: LoopThread) -> None:
    with _asgi(Starlette(routes=[Mount("/api", app=mounted)]), loop_thread) as client:
        _check(client, "/api")


def test_mounted_twice_over(mounted: LightApi, loop_thread: LoopThread) -> None:
    inner = Starlette(routes=[Mount("/inner", app=mounted.build_app())])

    with _asgi(Starlette(routes=[Mount("/outer", app=inner)]), loop_thread) as client:
        _check(client, "/outer/inner")


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "a2wsgi"])
class TestWsgi:
    """Mounted in WSGI frameworks."""

    def test_mounted_in_flask(self, mounted: LightApi, direct: bool) -> None:
        outer = flask.Flask("outer")
        served: Any = mounted.build_wsgi_app(direct=direct)
        outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/api": served})  # type: ignore[method-assign]

        with _wsgi(outer) as client:
            _check(client, "/api")

    def test_mounted_by_a_bare_dispatcher(self, mounted: LightApi, direct: bool) -> None:
        served: Any = mounted.build_wsgi_app(direct=direct)

        def dispatch(environ: dict[str, Any], start_response: Any) -> Any:
            assert environ["PATH_INFO"].startswith("/a/b")
            environ["SCRIPT_NAME"] += "/a/b"
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/a/b")
            return served(environ, start_response)

        with _wsgi(dispatch) as client:
            _check(client, "/a/b")

    def test_mounted_beside_django(self, mounted: LightApi, direct: bool) -> None:
        served: Any = mounted.build_wsgi_app(direct=direct)

        with _wsgi(DispatcherMiddleware(_django(), {"/api": served})) as client:
            assert client.get("/hello").text == "django"
            _check(client, "/api")


def _django() -> Any:
    if not settings.configured:
        settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="tests", MIDDLEWARE=[], DATABASES={})
        django.setup()
    return get_wsgi_application()


def _hello(_request: Any) -> HttpResponse:
    return HttpResponse(b"django")


urlpatterns = [re_path("^hello$", _hello)]


def test_mounted_beside_django_on_asgi(mounted: LightApi, loop_thread: LoopThread) -> None:
    _django()
    outer = Starlette(routes=[Mount("/api", app=mounted.build_app()), Mount("/", app=ASGIHandler())])

    with _asgi(outer, loop_thread) as client:
        assert client.get("/hello").text == "django"
        _check(client, "/api")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
        {"X-Forwarded-Prefix": "/evil"},
        {"Forwarded": "host=evil.example"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_no_header_of_the_client_enters_a_link(api: Api, headers: dict[str, str]) -> None:
    response = api({"/books": Book}).post("/books", json=CLEAN_CODE, headers=headers)

    assert response.headers["location"] == "/books/1"
    assert "evil" not in response.text + str(response.headers)


@pytest.mark.parametrize("base_url", ["https://api.example.com", "https://api.example.com/"])
def test_base_url_makes_links_absolute(api: Api, base_url: str) -> None:
    response = api({"/books": Book}, base_url=base_url).post("/books", json=CLEAN_CODE)

    assert response.headers["location"] == "https://api.example.com/books/1"


def test_a_trailing_slash_does_not_double_in_a_link(api: Api) -> None:
    response = api({"/books/": Book}).post("/books/", json=CLEAN_CODE)

    assert response.headers["location"] == "/books/1"
