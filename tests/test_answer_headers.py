"""Headers that keep answers where they belong: no guessing of types, no shared caches for protected answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import IntEnum
from http import HTTPStatus
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from lightapi import AllowAny, Authentication, BaseAuthentication, IsAuthenticated, RestEndpoint
from tests.support.endpoints import CLEAN_CODE, Book
from tests.support.hosts import Api

pytestmark = pytest.mark.engines("sqlite-sync", "sqlite-async")


class ByName(BaseAuthentication):
    """Believes a header."""

    def authenticate(self, request: Request) -> bool:
        name = request.headers.get("x-name")
        request.state.user = {"sub": name}
        return name is not None


class Mine(RestEndpoint):
    """For named users."""

    name: str = "x"

    class Meta:
        authentication = Authentication(backend=ByName)


class Open(RestEndpoint):
    """For everybody, and names whom it can."""

    name: str = "x"

    class Meta:
        authentication = Authentication(backend=ByName, permission=AllowAny)


SHARED = JSONResponse({"shared": True}, headers={"Cache-Control": "private, max-age=60"})


class Said(RestEndpoint):
    """Says itself what caches may do, with one response for all."""

    name: str = "x"

    class Meta:
        authentication = Authentication(backend=ByName)

    def list(self, request: Request) -> Any:
        return SHARED


class Members(RestEndpoint):
    """Wants a user, and has nobody who could name one."""

    name: str = "x"

    class Meta:
        authentication = Authentication(permission=IsAuthenticated)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("GET", "/books", 200), ("GET", "/books/7", 404), ("PUT", "/books", 405), ("GET", "/nothing", 404)),
        *(("POST", "/books", 422), ("DELETE", "/books/1", 204), ("GET", "/healthz", 200), ("OPTIONS", "/books", 204)),
        ("GET", "/said", 401),
    ],
)
def test_no_answers_type_may_be_guessed(api: Api, method: str, path: str, status: int) -> None:
    client = api({"/books": Book, "/said": Said})
    client.post("/books", json=CLEAN_CODE)

    response = client.request(method, path)

    assert response.status_code == status
    assert response.headers.get_list("x-content-type-options") == ["nosniff"]


def test_answers_of_protected_verbs_are_not_stored(api: Api) -> None:
    client = api({"/mine": Mine, "/members": Members})
    ann = {"X-Name": "ann"}

    for response in (
        client.post("/mine", json={}, headers=ann),
        client.get("/mine", headers=ann),
        client.get("/mine/1", headers=ann),
        client.get("/mine/7", headers=ann),
        client.get("/mine"),
        client.get("/members"),
    ):
        assert response.headers.get_list("cache-control") == ["no-store"], response
        assert "authorization" in response.headers["vary"].lower()


def test_a_public_answer_may_be_stored_unless_it_is_somebodys(api: Api) -> None:
    client = api({"/open": Open, "/books": Book})

    assert "cache-control" not in client.get("/books").headers
    assert "cache-control" not in client.get("/open").headers
    assert "authorization" in client.get("/open").headers["vary"].lower()
    assert client.get("/open", headers={"X-Name": "ann"}).headers["cache-control"] == "no-store"


def test_what_the_endpoint_says_stands_and_its_response_is_not_touched(api: Api) -> None:
    client = api({"/said": Said})

    answers = [client.get("/said", headers={"X-Name": "ann"}) for _ in range(2)]

    assert [answer.headers.get_list("cache-control") for answer in answers] == [["private, max-age=60"]] * 2
    assert [answer.headers.get_list("vary") for answer in answers] == [["Authorization, Cookie"]] * 2
    assert "vary" not in SHARED.headers


def _raising(request: Request) -> Response:
    raise HTTPException("404")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


IMPOSSIBLE: dict[str, Callable[[Request], Response]] = {
    "line break": lambda _: Response("x", headers={"X-A": "b\r\nX-B: c"}),
    "control character": lambda _: Response("x", headers={"X-A": "b\x00c"}),
    "tab": lambda _: Response("x", headers={"X-A": "b\tc"}),
    "name with a space": lambda _: Response("x", headers={"X A": "b"}),
    "name beyond ASCII": lambda _: Response("x", headers={"X-\xc9": "b"}),
    "status 0": lambda _: Response("x", 0),
    "interim status": lambda _: Response("x", 101),
    "status 1000": lambda _: Response("x", 1000),
    "text as status": _raising,
}


@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_what_no_server_could_send_is_a_500_in_json(api: Api, what: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    make = IMPOSSIBLE[what]
    endpoint = type("OddEndpoint", (RestEndpoint,), {"list": lambda self, request: make(request)})

    response = api({"/odd": endpoint}).get("/odd")
    assert (response.status_code, response.json()) == (500, {"detail": "internal server error"})
    assert "x-a" not in response.headers


class Own(IntEnum):
    """Statuses by names of one's own."""

    TAKEN = 202


@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("status", [202, HTTPStatus.ACCEPTED, Own.TAKEN])
def test_the_usual_characters_of_headers_are_sent(api: Api, status: int) -> None:
    def list_(self: RestEndpoint, request: Request) -> Response:
        return PlainTextResponse("x", status, {"X-A": "caf~ (e), 'b' ;c=\"d\""})

    response = api({"/odd": type("OddEndpoint", (RestEndpoint,), {"list": list_})}).get("/odd")
    assert (response.status_code, response.headers["x-a"]) == (202, "caf~ (e), 'b' ;c=\"d\"")
