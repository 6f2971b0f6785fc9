"""Plain and asynchronous hooks side by side: in one app, one endpoint, one request."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar

import pytest
from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from lightapi import (
    Authentication,
    BaseAuthentication,
    BaseFilter,
    BasePermission,
    Field,
    Filtering,
    RestEndpoint,
)
from lightapi.core import Middleware
from lightapi.http.drive import has_running_loop
from tests.support.endpoints import CLEAN_CODE, Book
from tests.support.hosts import Api, Client, Database


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


def _noted(name: str) -> Any:
    """Return a plain override that notes whether it runs where an event loop does, then does the usual."""

    def override(self: Any, *args: Any) -> Any:
        type(self).on_loop[name] = has_running_loop()
        return getattr(RestEndpoint, name)(self, *args)

    return override


async def _waiting_queryset(self: Any, request: Request) -> Any:
    await asyncio.sleep(0)
    return select(type(self)._model_class)


class PlainFilter(BaseFilter):
    """Notes where it runs."""

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> Any:
        type(view).on_loop["filter"] = has_running_loop()
        return queryset


ACTIONS = ("list", "retrieve", "create", "update", "destroy")


class PlainVerbs(RestEndpoint):
    """Plain overrides, an asynchronous queryset."""

    on_loop: ClassVar[dict[str, bool]] = {}
    title: str
    queryset = _waiting_queryset
    list, retrieve, create, update, destroy = map(_noted, ACTIONS)

    class Meta:
        queryset_scope = "all"


class HandsOver(RestEndpoint):
    """Plain overrides that return what is awaited, an asynchronous queryset."""

    on_loop: ClassVar[dict[str, bool]] = {}
    title: str
    queryset = _waiting_queryset

    def get(self, request: Request) -> Any:
        type(self).on_loop["get"] = has_running_loop()
        pk = request.path_params.get("id")
        return self._list_async(request) if pk is None else self._retrieve_async(request, pk)

    class Meta:
        queryset_scope = "all"


class PlainSources(RestEndpoint):
    """A plain queryset and a plain filter, asynchronous verbs."""

    on_loop: ClassVar[dict[str, bool]] = {}
    title: str

    def queryset(self, request: Request) -> Any:
        type(self).on_loop["queryset"] = has_running_loop()
        return select(type(self)._model_class)

    async def list(self, request: Request) -> Any:
        return await self._list_async(request)

    async def retrieve(self, request: Request, pk: Any) -> Any:
        return await self._retrieve_async(request, pk)

    class Meta:
        queryset_scope = "all"
        filtering = Filtering(backends=[PlainFilter])


@pytest.mark.parametrize(
    ("endpoint", "noted"),
    [(PlainVerbs, ACTIONS), (HandsOver, ["get"]), (PlainSources, ["queryset", "filter"])],
    ids=["verbs", "handing over", "sources"],
)
def test_what_is_plain_stays_off_the_event_loop_beside_what_is_async(
    api: Api, database: Database, endpoint: Any, noted: Iterable[str]
) -> None:
    endpoint.on_loop.clear()
    client = api({"/things": endpoint})

    made = client.post("/things", json={"title": "one"})
    assert made.status_code == 201
    assert [row["title"] for row in client.get("/things").json()["results"]] == ["one"]
    assert client.get("/things/1").json() == made.json()
    assert client.get("/things/2").status_code == 404
    assert client.patch("/things/1", json={"title": "two", "version": 1}).json()["title"] == "two"
    assert client.put("/things/1", json={"title": "three", "version": 2}).json()["version"] == 3
    assert client.delete("/things/1").status_code == 204
    # An asynchronous engine's plain functions run in its greenlets.
    assert endpoint.on_loop == dict.fromkeys(noted, database.kind.endswith("-async"))


def test_super_is_a_response_in_a_plain_hook_on_every_engine(api: Api) -> None:
    client: Client = api({"/checks": Checks})

    assert client.get("/checks").json() == {"title": 200}
