"""``self.background``: after the response, after the commit, from every kind of override."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from lightapi import Field, LightApi, RestEndpoint
from lightapi.core import Middleware
from tests.support.hosts import Api, Database, LoopThread

Ran: list[Any] = []


@pytest.fixture(autouse=True)
def ran() -> list[Any]:
    """Give what the tasks of this test left, empty to begin with."""
    Ran.clear()
    return Ran


def _wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 5
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return value


def note(*args: Any, **kwargs: Any) -> None:
    Ran.append((args, kwargs))


async def note_async(*args: Any, **kwargs: Any) -> None:
    await asyncio.sleep(0.001)
    Ran.append((args, kwargs))


class Plain(RestEndpoint):
    """Plain overrides."""

    title: str = Field(min_length=1)

    def post(self, request: Request) -> Any:
        made = super().post(request)
        self.background(note, 1, key="v")
        return made

    def retrieve(self, request: Request, pk: Any) -> Any:
        self.background(note_async, 1, key="v")
        return super().retrieve(request, pk)

    def list(self, request: Request) -> Any:
        self.background(note, 1, key="v")
        return {"own": True}


class Async(RestEndpoint):
    """Asynchronous overrides."""

    title: str = Field(min_length=1)

    async def post(self, request: Request) -> Any:
        response = await self._create_async(json.loads(await request.body()))
        self.background(note, 1, key="v")
        return response

    async def retrieve(self, request: Request, pk: Any) -> Any:
        self.background(note_async, 1, key="v")
        return await super().retrieve(request, pk)

    async def list(self, request: Request) -> Any:
        self.background(note, 1, key="v")
        return {"own": True}


@pytest.mark.parametrize("endpoint", [Plain, Async], ids=["def", "async def"])
class TestEveryOverride:
    """Functions and coroutines are scheduled from every kind of override."""

    def test_a_function_runs_with_its_arguments(self, api: Api, endpoint: type[RestEndpoint], ran: list[Any]) -> None:
        response = api({"/items": endpoint}).post("/items", json={"title": "t"})

        assert response.status_code == 201
        assert _wait_for(lambda: ran) == [((1,), {"key": "v"})]

    def test_a_coroutine_runs_with_its_arguments(self, api: Api, endpoint: type[RestEndpoint], ran: list[Any]) -> None:
        client = api({"/items": endpoint})
        client.post("/items", json={"title": "t"})
        _wait_for(lambda: ran)
        ran.clear()

        assert client.get("/items/1").status_code == 200
        assert _wait_for(lambda: ran) == [((1,), {"key": "v"})]

    def test_a_task_runs_beside_a_plain_dict(self, api: Api, endpoint: type[RestEndpoint], ran: list[Any]) -> None:
        assert api({"/items": endpoint}).get("/items").json() == {"own": True}
        assert _wait_for(lambda: ran) == [((1,), {"key": "v"})]

    def test_what_commits_nothing_has_no_tasks(self, api: Api, endpoint: type[RestEndpoint], ran: list[Any]) -> None:
        client = api({"/items": endpoint})

        assert client.post("/items", json={"title": ""}).status_code == 422
        assert client.get("/items/7").status_code == 404
        assert client.post("/items", json={"title": "t"}).status_code == 201
        # Tasks run in the order of their requests: one of the refused ones would have come first.
        assert _wait_for(lambda: ran) == [((1,), {"key": "v"})]
        assert len(ran) == 1


class Named(RestEndpoint):
    """Hands over arguments of any name."""

    def get(self, request: Request) -> Any:
        self.background(note, function="f", self="s")
        return {}


@pytest.mark.engines("sqlite-sync", "sqlite-async")
def test_arguments_may_have_any_name(api: Api, ran: list[Any]) -> None:
    assert api({"/items": Named}).get("/items").status_code == 200
    assert _wait_for(lambda: ran) == [((), {"function": "f", "self": "s"})]


class Several(RestEndpoint):
    """Schedules three tasks, the second of which fails."""

    title: str = Field(min_length=1)

    def get(self, request: Request) -> Any:
        self.background(note, "first")
        self.background(fail)
        self.background(note_async, "last")
        return {}


def fail() -> None:
    raise RuntimeError("task failed")


def test_tasks_run_in_order_and_a_failing_one_is_logged(
    api: Api, ran: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    response = api({"/items": Several}).get("/items")

    assert response.status_code == 200
    _wait_for(lambda: len(ran) == 2)
    assert [args[0] for args, _ in ran] == ["first", "last"]
    assert _wait_for(lambda: "task failed" in caplog.text)


class SeesRows(RestEndpoint):
    """Its task looks into the database from outside the request."""

    title: str = Field(min_length=1)

    def post(self, request: Request) -> Any:
        made = super().post(request)
        self.background(Looks.count)
        return made


class Looks:
    """What a task of ``SeesRows`` uses; set by the test."""

    count: Any = None


def test_a_task_sees_what_its_request_committed(api: Api, database: Database, ran: list[Any]) -> None:
    client = api({"/items": SeesRows})
    client.get("/items")
    admin = database.admin_engine()

    def count() -> None:
        with admin.connect() as connection:
            Ran.append(connection.scalar(text("SELECT count(*) FROM seesrowss")))

    Looks.count = staticmethod(count)
    client.post("/items", json={"title": "t"})

    assert _wait_for(lambda: ran) == [1]


class Remembers(Middleware):
    """Notes that the post phase ran."""

    def process(self, request: Request, response: Response | None) -> None:
        if response is not None:
            note("post phase")


@pytest.mark.engines("sqlite-sync", "sqlite-async")
def test_tasks_run_after_the_post_phase(api: Api, ran: list[Any]) -> None:
    api({"/items": Plain}, middlewares=[Remembers]).get("/items")

    _wait_for(lambda: len(ran) == 2)
    assert [args for args, _ in ran] == [("post phase",), (1,)]


@pytest.mark.parametrize("endpoint", [Plain, Async], ids=["def", "async def"])
def test_outside_a_request_background_is_an_error(endpoint: type[RestEndpoint]) -> None:
    instance = endpoint.__new__(endpoint)

    with pytest.raises(RuntimeError, match=r"background\(\) called outside request handler"):
        instance.background(note)


class Slow(RestEndpoint):
    """Its task waits until the test lets it go."""

    title: str = Field(min_length=1)

    def get(self, request: Request) -> Any:
        self.background(wait_for_go)
        return {"answered": True}


Go = threading.Event()


def wait_for_go() -> None:
    Ran.append(Go.wait(5))


@pytest.mark.engines("sqlite-sync", "sqlite-async")
@pytest.mark.hosts("asgi")
def test_the_last_body_message_is_sent_before_a_task_runs(
    database: Database, loop_thread: LoopThread, ran: list[Any]
) -> None:
    Go.clear()
    app = LightApi(engine=database.make_engine())
    app.register({"/items": Slow})
    served = app.build_app()
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        messages.append(dict(message))
        if message["type"] == "http.response.body" and not message.get("more_body"):
            assert ran == []
            Go.set()

    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/items", "headers": []}
    scope |= {"query_string": b"", "root_path": "", "http_version": "1.1", "scheme": "http"}
    scope |= {"server": ("testserver", 80), "client": ("127.0.0.1", 1), "asgi": {"version": "3.0"}}
    loop_thread.run(served(scope, receive, send))

    assert b"".join(each.get("body", b"") for each in messages) == b'{"answered":true}'
    assert _wait_for(lambda: ran) == [True]


@pytest.mark.engines("sqlite-sync", "sqlite-async")
@pytest.mark.hosts("wsgi-direct", "wsgi-a2wsgi")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_under_wsgi_the_body_is_complete_before_a_task_runs(database: Database, host: str, ran: list[Any]) -> None:
    Go.clear()
    app = LightApi(engine=database.make_engine())
    app.register({"/items": Slow})
    served: Any = app.build_wsgi_app(direct=host == "wsgi-direct")
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ["PATH_INFO"] = "/items"
    answer = served(environ, lambda *_: None)

    assert b"".join(answer) == b'{"answered":true}'
    assert ran == []
    Go.set()
    if hasattr(answer, "close"):
        answer.close()
    assert _wait_for(lambda: ran) == [True]
