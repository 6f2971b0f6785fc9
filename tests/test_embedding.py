"""LightAPI inside other programs, other programs inside LightAPI, and the test clients people use."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, NullPool
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from lightapi import Field, LightApi, RestEndpoint
from tests.support.endpoints import CLEAN_CODE, Book
from tests.support.hosts import Client, LoopThread
from tests.support.mounts import in_bare_wsgi, in_django, in_fastapi, in_flask, in_starlette, walk
from tests.support.transports import AsgiTransport, WsgiTransport

with warnings.catch_warnings():
    # WebOb imports a module that Python has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import webtest

pytestmark = [
    pytest.mark.engines("sqlite-sync", "sqlite-async", "postgres-async"),
    pytest.mark.filterwarnings("ignore:(?s)an async engine under WSGI:RuntimeWarning"),
]
Serve = Callable[[LightApi, Any], Client]


class Greets(RestEndpoint):
    """Answers with what the lifespan left in the state."""

    name: str = Field(min_length=1)

    def list(self, request: Request) -> Any:
        return {"greeting": getattr(request.state, "greeting", None)}


@pytest.fixture
def make_app(make_engine: Callable[..., Engine | AsyncEngine], engine_kind: str) -> Callable[..., LightApi]:
    """Give a maker of applications with two endpoints."""

    def make(*, brief: bool = False, **options: Any) -> LightApi:
        """Make one; ``brief`` keeps no connection for a loop that may be gone by the next request."""
        asynchronous = engine_kind.endswith("-async")
        engine = make_engine(poolclass=NullPool) if brief and asynchronous else make_engine()
        app = LightApi(engine=engine, **options)
        app.register({"/books": Book, "/greets": Greets})
        return app

    return make


@pytest.fixture
def app(make_app: Callable[..., LightApi]) -> LightApi:
    return make_app()


@pytest.mark.parametrize("outer", [in_starlette, in_fastapi], ids=["starlette", "fastapi"])
def test_mounted_in_an_asgi_program(app: LightApi, outer: Any, loop_thread: LoopThread) -> None:
    transport = AsgiTransport(outer(app), loop_thread.run)
    with httpx.Client(transport=transport, base_url="http://testserver") as client:
        walk(client, "/api")

        assert client.get("/hello").text == "site"


@pytest.mark.parametrize("outer", [in_flask, in_django, in_bare_wsgi], ids=["flask", "django", "bare"])
def test_mounted_in_a_wsgi_program(app: LightApi, outer: Any) -> None:
    with httpx.Client(transport=WsgiTransport(outer(app)), base_url="http://testserver") as client:
        walk(client, "/api")

        # another module may have configured the one Django of this process
        assert client.get("/hello").text in ("site", "django")


class Stamps:
    """An ASGI middleware that leaves a header on everything."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def stamped(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-stamp", b"yes")]}
            await send(message)

        if scope["type"] == "http" and scope["path"].endswith("/closed"):
            await PlainTextResponse("closed", 503)(scope, receive, send)
            return
        await self._app(scope, receive, stamped)


async def page(request: Request) -> Response:
    return PlainTextResponse(f"{request.method} {request.url.path} {(await request.body()).decode()}")


def blocking_page(request: Request) -> Response:
    return PlainTextResponse(str(request.url_for("page")))


async def refuses(_request: Request) -> Response:
    raise HTTPException(418, "a teapot")


async def breaks(_request: Request) -> Response:
    raise RuntimeError("bug")


async def rest_of_mount(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope)
    await JSONResponse({"root": scope["root_path"], "path": request.url.path})(scope, receive, send)


ROUTES = [
    Route("/page", page, methods=["GET", "POST"], name="page"),
    Route("/blocking", blocking_page),
    Route("/books/special", page),
    Route("/refuses", refuses),
    Route("/breaks", breaks),
    Mount("/static", app=rest_of_mount),
]


class TestUsersOwn:
    """The user's routes and ASGI middleware stand before LightAPI's paths, on every host."""

    @pytest.fixture(params=[False, True], ids=["routes", "routes and middleware"])
    def client(self, make_app: Callable[..., LightApi], serve: Serve, request: pytest.FixtureRequest) -> Client:
        middleware = [Middleware(Stamps)] if request.param else []
        return serve(make_app(routes=ROUTES, asgi_middleware=middleware), None)

    def test_routes_of_both_kinds_answer(self, client: Client) -> None:
        assert client.get("/page").text == "GET /page "
        assert client.post("/page", content=b"text").text == "POST /page text"
        assert client.get("/blocking").text == "http://testserver/page"
        assert client.get("/static/a/b").json() == {"root": "/static", "path": "/static/a/b"}

    def test_they_come_first(self, client: Client) -> None:
        assert client.get("/books/special").text == "GET /books/special "

    def test_the_endpoints_answer_beside_them(self, client: Client) -> None:
        walk(client)

    def test_their_errors_are_json(self, client: Client) -> None:
        teapot = client.get("/refuses")
        broken = client.get("/breaks")

        assert (teapot.status_code, teapot.json()) == (418, {"detail": "a teapot"})
        assert (broken.status_code, broken.json()) == (500, {"detail": "internal server error"})

    def test_middleware_sees_every_answer(self, make_app: Callable[..., LightApi], serve: Serve) -> None:
        client = serve(make_app(routes=ROUTES, asgi_middleware=[Middleware(Stamps)]), None)
        answers = [client.get(path) for path in ("/page", "/books", "/books/9", "/nowhere", "/healthz", "/refuses")]

        assert [answer.headers.get("x-stamp") for answer in answers] == ["yes"] * 6
        assert (client.get("/closed").status_code, client.get("/closed").text) == (503, "closed")


def test_users_routes_know_the_prefix(make_app: Callable[..., LightApi]) -> None:
    mounted = make_app(routes=ROUTES)
    with httpx.Client(transport=WsgiTransport(in_bare_wsgi(mounted)), base_url="http://testserver") as client:
        assert client.get("/api/page").text == "GET /api/page "
        assert client.get("/api/blocking").text == "http://testserver/api/page"
        assert client.get("/api/static/a").json() == {"root": "/api/static", "path": "/api/static/a"}
        walk(client, "/api")


@pytest.mark.parametrize("served", [lambda app: app, lambda app: app.wsgi], ids=["object", "wsgi"])
def test_webtest_with_lint(app: LightApi, served: Callable[[LightApi], Any]) -> None:
    client = webtest.TestApp(served(app), lint=True)
    made = client.post_json("/books", CLEAN_CODE, status=201)

    assert made.headers["location"] == "/books/1"
    assert client.get("/books/1").json == made.json
    assert client.patch_json("/books/1", {"pages": 3, "version": 1}).json["version"] == 2
    assert client.head("/books/1").body == b""
    assert client.options("/books", status=204).headers["allow"] == "GET, POST, HEAD, OPTIONS"
    client.delete("/books/1", status=204)
    client.get("/nowhere", status=404)
    client.post("/books", "{", content_type="application/json", status=422)


@pytest.mark.parametrize("served", [lambda app: app, lambda app: app.build_app()], ids=["object", "starlette"])
class TestTestClient:
    """Starlette's TestClient, which runs a lifespan only inside ``with``."""

    @pytest.fixture
    def app(self, make_app: Callable[..., LightApi]) -> LightApi:
        return make_app(brief=True)

    def test_with_a_lifespan(self, app: LightApi, served: Callable[[LightApi], Any]) -> None:
        with TestClient(served(app)) as client:
            walk(client)

    def test_without_a_lifespan(self, app: LightApi, served: Callable[[LightApi], Any]) -> None:
        walk(TestClient(served(app)))

    def test_one_after_the_other(self, app: LightApi, served: Callable[[LightApi], Any]) -> None:
        for number in (1, 2):
            with TestClient(served(app)) as client:
                assert client.post("/books", json=CLEAN_CODE).json()["id"] == number


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_thirty_first_requests_at_once(app: LightApi, loop_thread: LoopThread, method: str) -> None:
    async def together() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app.asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            body = CLEAN_CODE if method == "POST" else None
            return await asyncio.gather(*(client.request(method, "/books", json=body) for _ in range(30)))

    answers = loop_thread.run(together())

    assert {answer.status_code for answer in answers} == {201 if method == "POST" else 200}
    if method == "POST":
        assert sorted(answer.json()["id"] for answer in answers) == list(range(1, 31))


class TestLifespan:
    """The user's lifespan runs inside LightAPI's: the tables are there before it and the database after it."""

    @pytest.fixture
    def happened(self) -> list[Any]:
        return []

    @pytest.fixture
    def lively(self, make_app: Callable[..., LightApi], happened: list[Any]) -> LightApi:
        async def books() -> int:
            transport = httpx.ASGITransport(made.asgi)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
                return (await client.get("/books")).status_code

        @asynccontextmanager
        async def lifespan(_app: Any) -> AsyncIterator[dict[str, Any]]:
            happened.append(("startup", await books()))
            yield {"greeting": "hello"}
            happened.append(("shutdown", await books()))

        async def state(request: Request) -> Response:
            return JSONResponse({"greeting": request.state.greeting})

        made = make_app(brief=True, lifespan=lifespan, routes=[Route("/state", state)])
        return made

    def test_state_reaches_endpoints_and_routes(self, lively: LightApi, happened: list[Any]) -> None:
        with TestClient(lively) as client:
            assert client.get("/state").json() == {"greeting": "hello"}
            assert client.get("/greets").json() == {"greeting": "hello"}
            assert happened == [("startup", 200)]

    @pytest.mark.hosts("wsgi-direct", "wsgi-a2wsgi")
    def test_it_does_under_wsgi(self, lively: LightApi, serve: Serve, happened: list[Any]) -> None:
        client = serve(lively, None)

        assert client.get("/state").json() == {"greeting": "hello"}
        assert client.get("/greets").json() == {"greeting": "hello"}
        assert happened == [("startup", 200)]

    def test_it_ends_while_the_database_is_still_there(
        self, lively: LightApi, loop_thread: LoopThread, happened: list[Any]
    ) -> None:
        transport = AsgiTransport(lively.build_app(), loop_thread.run)
        with httpx.Client(transport=transport, base_url="http://testserver") as client:
            assert client.get("/books").status_code == 200

        assert happened == [("startup", 200), ("shutdown", 200)]

    def test_a_mounted_app_has_it_where_the_outer_app_runs_it(self, lively: LightApi, happened: list[Any]) -> None:
        outer = Starlette(routes=[Mount("/api", lively.asgi)], lifespan=lively.asgi.router.lifespan_context)
        with TestClient(outer) as client:
            assert client.get("/api/greets").json() == {"greeting": "hello"}
        assert happened == [("startup", 200), ("shutdown", 200)]

    def test_a_mounted_app_is_ready_without_it(
        self, lively: LightApi, loop_thread: LoopThread, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING, "lightapi")
        transport = AsgiTransport(in_starlette(lively), loop_thread.run)
        with httpx.Client(transport=transport, base_url="http://testserver") as client:
            assert client.get("/api/greets").json() == {"greeting": None}
            walk(client, "/api")
        assert caplog.text.count("lifespan= has not begun") == 1
