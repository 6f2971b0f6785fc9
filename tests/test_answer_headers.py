"""Headers that keep answers where they belong: no guessing of types, no shared caches for protected answers."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse

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
