"""Plain and asynchronous hooks side by side: in one app, one endpoint, one request."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import pytest
from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from lightapi import Authentication, BaseAuthentication, BasePermission, Field, RestEndpoint
from lightapi.core import Middleware
from tests.support.endpoints import CLEAN_CODE, Book
from tests.support.hosts import Api, Client


class Tag(RestEndpoint):
    """A plain queryset."""

    label: str = Field(min_length=1)

    def queryset(self, request: Request) -> Any:
        return select(type(self)._model_class)


class Post(RestEndpoint):
    """A plain queryset behind an asynchronous list, and the other way round for one row."""

    title: str = Field(min_length=1)

    def queryset(self, request: Request) -> Any:
        return select(type(self)._model_class).where(type(self)._model_class.title != "draft")

    async def list(self, request: Request) -> Any:
        await asyncio.sleep(0)
        return await self._list_async(request)

    def retrieve(self, request: Request, pk: Any) -> Any:
        return super().retrieve(request, pk)


class Note(RestEndpoint):
    """An asynchronous queryset under a plain verb."""

    title: str = Field(min_length=1)

    async def queryset(self, request: Request) -> Any:
        await asyncio.sleep(0)
        return select(type(self)._model_class).where(type(self)._model_class.title != "draft")

    async def post(self, request: Request) -> Any:
        return await super().post(request)

    def delete(self, request: Request) -> Any:
        return super().delete(request)


class AsyncBackend(BaseAuthentication):
    """Waits before it knows the caller."""

    async def authenticate(self, request: Request) -> bool:
        await asyncio.sleep(0)
        request.state.user = {"sub": request.headers.get("x-user")}
        return "x-user" in request.headers


class PlainBackend(BaseAuthentication):
    """Knows the caller at once."""

    def authenticate(self, request: Request) -> bool:
        request.state.user = {"sub": request.headers.get("x-user")}
        return "x-user" in request.headers


class AsyncPermission(BasePermission):
    """Waits before it decides."""

    async def has_permission(self, request: Request) -> bool:
        await asyncio.sleep(0)
        return bool(request.state.user["sub"] == "ann")


class PlainPermission(BasePermission):
    """Decides at once."""

    def has_permission(self, request: Request) -> bool:
        return bool(request.state.user["sub"] == "ann")


class BothAsync(RestEndpoint):
    """An asynchronous backend and permission."""

    title: str = Field(min_length=1)

    class Meta:
        authentication = Authentication(backend=AsyncBackend, permission=AsyncPermission)


class PlainThenAsync(RestEndpoint):
    """A plain backend, an asynchronous permission."""

    title: str = Field(min_length=1)

    class Meta:
        authentication = Authentication(backend=PlainBackend, permission=AsyncPermission)


class AsyncThenPlain(RestEndpoint):
    """An asynchronous backend, a plain permission."""

    title: str = Field(min_length=1)

    class Meta:
        authentication = Authentication(backend=AsyncBackend, permission=PlainPermission)


class AsyncStep(Middleware):
    """Waits."""

    async def process(self, request: Request, response: Response | None) -> None:
        await asyncio.sleep(0)


class PlainStep(Middleware):
    """Does not wait."""

    def process(self, request: Request, response: Response | None) -> Response | None:
        return response


def test_plain_and_async_endpoints_share_an_app(api: Api) -> None:
    client = api({"/tags": Tag, "/posts": Post, "/notes": Note, "/books": Book})

    for path, body in {
        "/tags": {"label": "a"},
        "/posts": {"title": "a"},
        "/notes": {"title": "a"},
        "/books": CLEAN_CODE,
    }.items():
        made = client.post(path, json=body)
        assert made.status_code == 201
        assert client.get(path).json() == {"results": [made.json()]}
        assert client.get(f"{path}/1").content == made.content
        assert client.delete(f"{path}/1").status_code == 204


@pytest.mark.parametrize("path", ["/posts", "/notes"])
def test_plain_and_async_hooks_share_an_endpoint(api: Api, path: str) -> None:
    client = api({"/posts": Post, "/notes": Note})
    for title in ("draft", "final"):
        client.post(path, json={"title": title})

    assert [row["title"] for row in client.get(path).json()["results"]] == ["final"]
    assert client.get(f"{path}/1").json()["title"] == "draft"


@pytest.mark.engines("sqlite-sync", "sqlite-async")
@pytest.mark.parametrize("endpoint", [BothAsync, PlainThenAsync, AsyncThenPlain], ids=lambda each: each.__name__)
def test_backends_and_permissions_may_wait(api: Api, endpoint: type[RestEndpoint]) -> None:
    client = api({"/items": endpoint})

    answers = [client.get("/items", headers=who) for who in ({}, {"X-User": "b"}, {"X-User": "ann"})]

    assert [answer.status_code for answer in answers] == [401, 403, 200]


@pytest.mark.parametrize("middlewares", [[AsyncStep, PlainStep], [PlainStep, AsyncStep], [PlainStep]], ids=str)
def test_middleware_of_either_kind_wraps_endpoints_of_either_kind(
    api: Api, middlewares: list[type[Middleware]]
) -> None:
    client = api({"/tags": Tag, "/posts": Post}, middlewares=middlewares)

    assert client.post("/tags", json={"label": "a"}).status_code == 201
    assert client.post("/posts", json={"title": "a"}).status_code == 201
    assert len(client.get("/posts").json()["results"]) == 1


class Blocks(RestEndpoint):
    """A plain override that blocks its thread until it is let go."""

    title: str = Field(min_length=1)
    begun: ClassVar[threading.Event] = threading.Event()
    free: ClassVar[threading.Event] = threading.Event()

    def get(self, request: Request) -> Any:
        self.begun.set()
        return {"was let go": self.free.wait(10)}


class Quick(RestEndpoint):
    """An asynchronous override that never blocks."""

    title: str = Field(min_length=1)

    async def get(self, request: Request) -> Any:
        return {"quick": True}


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync", "postgres-sync")
def test_a_plain_override_does_not_block_the_event_loop(api: Api) -> None:
    client = api({"/blocks": Blocks, "/quick": Quick})
    Blocks.begun.clear()
    Blocks.free.clear()

    def quick() -> Any:
        assert Blocks.begun.wait(30)
        answer = client.get("/quick")
        Blocks.free.set()
        return answer

    calls: list[Callable[[], Any]] = [partial(client.get, "/blocks"), quick]
    blocked, answered = client.together(calls)

    assert blocked.json() == {"was let go": True}
    assert answered.json() == {"quick": True}


class Checks(RestEndpoint):
    """Answers which kind of thread its plain hook runs in."""

    title: str = Field(min_length=1)

    def list(self, request: Request) -> Any:
        return {"title": super().list(request).status_code}


def test_super_is_a_response_in_a_plain_hook_on_every_engine(api: Api) -> None:
    client: Client = api({"/checks": Checks})

    assert client.get("/checks").json() == {"title": 200}
