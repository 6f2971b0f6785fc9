"""Middleware written as plain functions: order, short circuit, and what the post phase sees."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lightapi import Authentication, BaseAuthentication, BasePermission, Field, RestEndpoint
from lightapi.core import Middleware
from tests.support.endpoints import CLEAN_CODE, Book
from tests.support.hosts import Api, Client

pytestmark = pytest.mark.engines("sqlite-sync", "sqlite-async")


def _note(request: Request, response: Response | None, name: str) -> None:
    if response is None:
        request.state.trace = [*getattr(request.state, "trace", []), name]
    else:
        seen = response.headers.get("x-trace", ",".join(getattr(request.state, "trace", [])))
        response.headers["X-Trace"] = f"{seen},{name}"


class First(Middleware):
    """Writes its name, before and after."""

    def process(self, request: Request, response: Response | None) -> Response | None:
        _note(request, response, "first")
        return response


class Second(Middleware):
    """Writes its name and answers nothing."""

    def process(self, request: Request, response: Response | None) -> None:
        _note(request, response, "second")


class Third(Middleware):
    """Answers early when asked to."""

    def process(self, request: Request, response: Response | None) -> Response | None:
        _note(request, response, "third")
        if response is None and "x-stop" in request.headers:
            return JSONResponse({"detail": "stopped"}, status_code=429)
        return response


class Nobody(BaseAuthentication):
    """Knows no caller."""

    def authenticate(self, request: Request) -> bool:
        return False


class Never(BasePermission):
    """Allows nothing."""

    def has_permission(self, request: Request) -> bool:
        return False


class Closed(RestEndpoint):
    """Answers 401."""

    title: str = Field(min_length=1)

    class Meta:
        authentication = Authentication(backend=Nobody)


class Forbidden(RestEndpoint):
    """Answers 403."""

    title: str = Field(min_length=1)

    class Meta:
        authentication = Authentication(permission=Never)


class Broken(RestEndpoint):
    """Answers 500."""

    title: str = Field(min_length=1)

    def get(self, request: Request) -> Any:
        raise RuntimeError("broken")


ENDPOINTS = {"/books": Book, "/closed": Closed, "/forbidden": Forbidden, "/broken": Broken}
THREE = [First, Second, Third]


@pytest.fixture
def client(api: Api) -> Client:
    return api(ENDPOINTS, middlewares=THREE)


def test_middleware_runs_in_order_and_back_in_reverse(client: Client) -> None:
    response = client.get("/books")

    assert response.status_code == 200
    assert response.headers["x-trace"] == "first,second,third,third,second,first"


def test_a_short_circuit_skips_the_rest_and_still_meets_the_post_phase(client: Client) -> None:
    response = client.post("/books", json=CLEAN_CODE, headers={"X-Stop": "1"})

    assert (response.status_code, response.json()) == (429, {"detail": "stopped"})
    assert response.headers["x-trace"] == "first,second,third,third,second,first"
    assert client.get("/books").json() == {"results": []}


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/closed", 401),
        ("GET", "/forbidden", 403),
        ("GET", "/books/7", 404),
        ("DELETE", "/books", 405),
        ("POST", "/books", 422),
        ("GET", "/broken", 500),
        ("OPTIONS", "/books", 204),
        ("HEAD", "/books", 200),
    ],
)
def test_the_post_phase_sees_every_answer_of_an_endpoints_path(
    client: Client, verb: str, path: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    response = client.request(verb, path)

    assert response.status_code == status
    assert response.headers["x-trace"].endswith("third,second,first")


@pytest.mark.parametrize("path", ["/nowhere", "/books/1/2"])
def test_paths_of_no_endpoint_meet_no_middleware(client: Client, path: str) -> None:
    response = client.get(path)

    assert response.status_code == 404
    assert "x-trace" not in response.headers


class Reads(Middleware):
    """Reads the body before the endpoint does."""

    def process(self, request: Request, response: Response | None) -> Response | None:
        if response is not None:
            response.headers["X-Length"] = str(request.state.length)
        return response


class ReadsAsync(Middleware):
    """Reads the body before the endpoint does, asynchronously."""

    async def process(self, request: Request, response: Response | None) -> Response | None:
        if response is None:
            request.state.length = len(await request.body())
        return response


class Rewrites(Middleware):
    """Replaces the body of every answer."""

    def process(self, request: Request, response: Response | None) -> Response | None:
        if response is not None:
            response.body = json.dumps({"wrapped": json.loads(bytes(response.body))}).encode()
        return response


class Replaces(Middleware):
    """Puts another response in the place of the endpoint's."""

    def process(self, request: Request, response: Response | None) -> Response | None:
        return None if response is None else JSONResponse({"other": True}, status_code=203)


class Raises(Middleware):
    """Fails before or after the endpoint, as the request asks."""

    def process(self, request: Request, response: Response | None) -> Response | None:
        phase = "before" if response is None else "after"
        if request.headers.get("x-raise") == phase:
            raise RuntimeError(phase)
        return response


class Streams(Middleware):
    """Reads the body piece by piece."""

    async def process(self, request: Request, response: Response | None) -> Response | None:
        if response is None:
            request.state.length = sum([len(piece) async for piece in request.stream()])
            return None
        response.headers["x-length"] = str(getattr(request.state, "length", ""))
        return response


class SetsState(Middleware):
    """Leaves something for the endpoint."""

    def process(self, request: Request, response: Response | None) -> Response | None:
        if response is None:
            request.state.tenant = "acme"
        return response


class ShowsState(RestEndpoint):
    """Answers what middleware left."""

    title: str = Field(min_length=1)

    def get(self, request: Request) -> Any:
        return {"tenant": request.state.tenant, "user": request.state.user}


def test_a_middleware_may_read_the_body(api: Api) -> None:
    client = api({"/books": Book}, middlewares=[Reads, ReadsAsync])

    response = client.post("/books", json=CLEAN_CODE)

    assert response.status_code == 201
    sent = json.dumps(CLEAN_CODE, separators=(",", ":"))
    assert response.headers["x-length"] == str(len(sent))


def test_a_middleware_may_stream_the_body(api: Api) -> None:
    client = api({"/books": Book}, middlewares=[Streams, ReadsAsync])

    response = client.post("/books", json=CLEAN_CODE)

    assert response.status_code == 201
    assert response.headers["x-length"].startswith(str(len(json.dumps(CLEAN_CODE, separators=(",", ":")))))
    assert client.post("/books", json={"title": "x" * 2**20}).status_code == 413


def test_a_replaced_body_has_its_own_length(api: Api) -> None:
    client = api({"/books": Book}, middlewares=[Rewrites])

    response = client.get("/books")

    assert response.json() == {"wrapped": {"results": []}}
    assert response.headers["content-length"] == str(len(response.content))
    head = client.head("/books")
    assert (head.headers["content-length"], head.content) == (str(len(response.content)), b"")


def test_a_middleware_may_replace_the_response(api: Api) -> None:
    response = api({"/books": Book}, middlewares=[Replaces]).get("/books")

    assert (response.status_code, response.json()) == (203, {"other": True})


def test_a_failure_before_the_endpoint_is_500(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    client = api({"/books": Book}, middlewares=[First, Raises])

    response = client.post("/books", json=CLEAN_CODE, headers={"X-Raise": "before"})

    assert (response.status_code, response.json()) == (500, {"detail": "internal server error"})
    assert response.headers["x-trace"].endswith("first")
    assert any(record.exc_info for record in caplog.records)
    assert client.get("/books").json() == {"results": []}


def test_a_failure_after_the_endpoint_is_500_whose_write_stands(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    client = api({"/books": Book}, middlewares=[First, Raises])

    response = client.post("/books", json=CLEAN_CODE, headers={"X-Raise": "after"})

    assert (response.status_code, response.json()) == (500, {"detail": "internal server error"})
    assert any(record.exc_info for record in caplog.records)
    assert len(client.get("/books").json()["results"]) == 1


def test_middleware_and_endpoint_share_the_requests_state(api: Api) -> None:
    client = api({"/shows": ShowsState}, middlewares=[SetsState])

    assert client.get("/shows").json() == {"tenant": "acme", "user": None}


def test_health_pages_meet_no_middleware(client: Client) -> None:
    assert "x-trace" not in client.get("/healthz").headers
