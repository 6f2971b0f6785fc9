"""Answers from Redis: what is kept, byte for byte, and what every write makes void."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from lightapi import Authentication, BasePermission, Cache, Pagination, RestEndpoint
from lightapi.core import Middleware
from tests.support.hosts import Api
from tests.support.kept import both, empty_redis, near, plain, state, warmed

__all__ = ["empty_redis"]


class Note(RestEndpoint):
    """Kept, list and items."""

    title: str

    class Meta:
        cache = Cache(ttl=60)


class Paged(RestEndpoint):
    """Kept with a ``Link`` header."""

    title: str

    class Meta:
        cache = Cache(ttl=60)
        pagination = Pagination(style="cursor", page_size=1)


class Overridden(Note):
    """Every verb that writes is the user's own."""

    def post(self, request: Request) -> Any:
        return self.create({"title": "own"})

    async def put(self, request: Request) -> Any:
        return await self._update_async(json.loads(await request.body()), request.path_params["id"], partial=False)

    async def patch(self, request: Request) -> Any:
        return await self._update_async(json.loads(await request.body()), request.path_params["id"], partial=True)

    def delete(self, request: Request) -> Any:
        return self.destroy(request, request.path_params["id"])


class Failing(Note):
    """Writes and then fails: the row may be there."""

    def post(self, request: Request) -> Any:
        self.create({"title": "there"})
        raise RuntimeError("after the write")


def without_state(response: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Return all of an answer but ``X-Cache``."""
    pairs = [(name, value) for name, value in response.headers.multi_items() if name != "x-cache"]
    return response.status_code, response.content, sorted(pairs)


@pytest.mark.parametrize("path", ["/notes", "/notes/1", "/notes?page=1&x=%C3%A4"])
def test_the_second_answer_is_the_first_one_kept(api: Api, path: str) -> None:
    client = api({"/notes": Note})
    assert client.post("/notes", json={"title": "größer"}).status_code == 201

    first, second = client.get(path), client.get(path)

    assert (state(first), state(second)) == ("miss", "hit")
    assert without_state(first) == without_state(second)


WRITES = {
    "POST": ("/notes", {"title": "b"}),
    "PUT": ("/notes/1", {"title": "b", "version": 1}),
    "PATCH": ("/notes/1", {"title": "b", "version": 1}),
    "DELETE": ("/notes/1", None),
}


@pytest.mark.parametrize("verb", WRITES)
def test_every_write_makes_lists_and_items_void(api: Api, verb: str) -> None:
    client = api({"/notes": Note})
    for title in ("a", "other"):
        client.post("/notes", json={"title": title})
    warmed(client, "/notes", "/notes/1", "/notes/2")
    path, body = WRITES[verb]

    assert client.request(verb, path, json=body).is_success

    assert [state(client.get(path)) for path in ("/notes", "/notes/2")] == ["miss", "miss"]
    titles = [row["title"] for row in client.get("/notes").json()["results"]]
    assert titles == {"POST": ["a", "other", "b"], "DELETE": ["other"]}.get(verb, ["b", "other"])
    assert client.get("/notes/1").status_code == (404 if verb == "DELETE" else 200)


@near
@both
@pytest.mark.parametrize("verb", WRITES)
def test_overridden_writes_make_them_void_too(api: Api, verb: str) -> None:
    client = api({"/notes": Overridden})
    client.post("/notes", json={"title": "a"})
    warmed(client, "/notes", "/notes/1")
    path, body = WRITES[verb]

    assert client.request(verb, path, json=body).is_success

    assert state(client.get("/notes")) == "miss"


@near
@both
def test_a_write_that_fails_after_its_row_was_written_makes_them_void(api: Api) -> None:
    client = api({"/notes": Failing})
    warmed(client, "/notes")

    assert client.post("/notes", json={"title": "a"}).status_code == 500

    assert state(client.get("/notes")) == "miss"


@near
@plain
@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        ("POST", "/notes", {}, 422),
        ("PUT", "/notes/1", {"title": "b", "version": 7}, 409),
        ("PATCH", "/notes/1", {"title": "b"}, 422),
        ("PATCH", "/notes/9", {"title": "b", "version": 1}, 404),
        ("DELETE", "/notes/9", None, 404),
        ("DELETE", "/notes", None, 405),
    ],
)
def test_refused_writes_leave_what_is_kept(api: Api, verb: str, path: str, body: Any, status: int) -> None:
    client = api({"/notes": Note})
    client.post("/notes", json={"title": "a"})
    warmed(client, "/notes", "/notes/1")

    assert client.request(verb, path, json=body).status_code == status

    assert [state(client.get(path)) for path in ("/notes", "/notes/1")] == ["hit", "hit"]


@near
@plain
@pytest.mark.parametrize("status", [201, 202, 203, 206, 299, 404, 410, 422, 500, 503])
def test_only_200_is_kept(api: Api, status: int) -> None:
    def get(self: RestEndpoint, request: Request) -> Response:
        return JSONResponse({}, status_code=status)

    client = api({"/notes": type("Odd", (Note,), {"get": get})})

    assert [client.get("/notes").status_code for _ in range(2)] == [status, status]
    assert state(client.get("/notes")) == "miss"


@near
@both
def test_a_row_that_was_missing_is_found_once_it_is_there(api: Api) -> None:
    client = api({"/notes": Note})
    assert [client.get("/notes/1").status_code for _ in range(2)] == [404, 404]

    assert client.post("/notes", json={"title": "a"}).status_code == 201

    assert client.get("/notes/1").status_code == 200


def test_head_and_get_share_what_is_kept(api: Api) -> None:
    client = api({"/notes": Note})
    head = client.head("/notes")
    get = client.get("/notes")
    again = client.head("/notes")

    assert [state(answer) for answer in (head, get, again)] == ["miss", "hit", "hit"]
    assert head.content == again.content == b""
    assert get.json() == {"results": []}
    assert head.headers["content-length"] == again.headers["content-length"] == str(len(get.content))


@near
@both
def test_the_link_header_is_kept(api: Api) -> None:
    client = api({"/notes": Paged})
    for title in ("a", "b"):
        client.post("/notes", json={"title": title})

    first, second = client.get("/notes?x=1"), client.get("/notes?x=1")

    assert 'rel="next"' in second.headers["link"]
    assert state(second) == "hit"
    assert without_state(first) == without_state(second)


def _replying(make: Any) -> type[Note]:
    def get(self: RestEndpoint, request: Request) -> Response:
        response: Response = make(request)
        return response

    return type("Replying", (Note,), {"get": get})


@near
@both
def test_headers_and_media_type_of_an_override_are_kept(api: Api) -> None:
    headers = {"X-Own": "own", "ETag": '"1"', "Cache-Control": "max-age=5", "Content-Language": "de"}
    client = api({"/notes": _replying(lambda _: Response("a,b\n", media_type="text/csv", headers=headers))})

    first, second = client.get("/notes"), client.get("/notes")

    assert (state(second), second.headers["content-type"]) == ("hit", "text/csv; charset=utf-8")
    assert second.headers["etag"] == '"1"'
    assert without_state(first) == without_state(second)


async def _pieces() -> Any:
    yield b"{}"


def _with_cookie() -> Response:
    response = JSONResponse({})
    response.set_cookie("session", "secret")
    return response


UNKEPT = {
    "cookie": _with_cookie,
    "no-store": lambda: JSONResponse({}, headers={"Cache-Control": "no-store"}),
    "no-store-among-others": lambda: JSONResponse({}, headers={"Cache-Control": "max-age=0, No-Store"}),
    "private": lambda: JSONResponse({}, headers={"Cache-Control": "private"}),
    "background": lambda: JSONResponse({}, background=BackgroundTask(lambda: None)),
    "streaming": lambda: StreamingResponse(iter((b"{", b"}")), media_type="application/json"),
    "too-long": lambda: Response(b"x" * (1024 * 1024 + 1), media_type="text/plain"),
}


@near
@plain
@pytest.mark.parametrize("kind", UNKEPT)
def test_answers_that_must_not_be_shared_or_are_too_long_are_not_kept(api: Api, kind: str) -> None:
    reply: Callable[[], Any] = UNKEPT[kind]
    client = api({"/notes": _replying(lambda _: reply())})

    assert [state(client.get("/notes")) for _ in range(2)] == ["miss", "miss"]


@near
@plain
def test_an_answer_of_nearly_a_mebibyte_is_kept(api: Api) -> None:
    client = api({"/notes": _replying(lambda _: Response(b"x" * (1024 * 1024 - 1000), media_type="text/plain"))})
    client.get("/notes")

    again = client.get("/notes")

    assert (state(again), len(again.content)) == ("hit", 1024 * 1024 - 1000)


@near
@plain
def test_an_answer_that_has_a_background_task_of_the_endpoint_is_not_kept(api: Api) -> None:
    ran: list[int] = []

    def list_(self: RestEndpoint, request: Request) -> Any:
        self.background(ran.append, 1)
        return {"results": []}

    client = api({"/notes": type("Tasked", (Note,), {"list": list_})})

    assert [state(client.get("/notes")) for _ in range(2)] == ["miss", "miss"]
    assert ran == [1, 1]


@pytest.mark.hosts("asgi")
@plain
def test_an_answer_is_kept_no_longer_than_ttl(api: Api) -> None:
    client = api({"/notes": type("Short", (Note,), {"Meta": type("Meta", (), {"cache": Cache(ttl=0.5)})})})
    client.get("/notes")

    time.sleep(0.6)

    assert state(client.get("/notes")) == "miss"


class NeverHeld(BasePermission):
    """Allows who says so."""

    def has_permission(self, request: Request) -> bool:
        return "x-allowed" in request.headers


class Guarded(Note):
    """Kept behind a permission."""

    class Meta(Note.Meta):
        authentication = Authentication(permission=NeverHeld)


class Doorkeeper(Middleware):
    """Stops before, and adds a header after."""

    def process(self, request: Request, response: Response | None) -> Response | None:
        if response is None:
            return JSONResponse({}, status_code=429) if "x-stop" in request.headers else None
        response.headers["X-Seen"] = request.headers.get("x-name", "")
        return response


def test_permission_and_middleware_come_before_the_lookup_and_middleware_after_it(api: Api) -> None:
    client = api({"/notes": Guarded}, middlewares=[Doorkeeper])
    client.headers["X-Allowed"] = "1"
    warmed(client, "/notes")

    assert client.get("/notes", headers={"X-Stop": "1"}).status_code == 429
    answers = [client.get("/notes", headers={"X-Name": name}) for name in ("a", "b")]
    assert [(state(answer), answer.headers.get_list("x-seen")) for answer in answers] == [
        ("hit", ["a"]),
        ("hit", ["b"]),
    ]
    del client.headers["X-Allowed"]
    assert client.get("/notes").status_code == 403
