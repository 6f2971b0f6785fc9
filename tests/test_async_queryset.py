"""``async def queryset``: awaited on every engine and host, and scoping what its plain twin does."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest
from sqlalchemy import select
from starlette.requests import Request

from lightapi import Authentication, BaseAuthentication, Field, RestEndpoint
from tests.support.hosts import Api, Client


class ByHeader(BaseAuthentication):
    """Believes the caller's own word."""

    def authenticate(self, request: Request) -> bool:
        name = request.headers.get("x-user")
        request.state.user = {"sub": name} if name else None
        return name is not None


class Order(RestEndpoint):
    """Each caller lists their own orders."""

    amount: float = Field(ge=0)
    status: str = Field(default="pending")
    owner_id: str = Field(min_length=1)

    class Meta:
        authentication = Authentication(backend=ByHeader)

    async def queryset(self, request: Request) -> Any:
        await asyncio.sleep(0.001)
        user_id = request.state.user["sub"]
        return select(type(self)._model_class).where(type(self)._model_class.owner_id == user_id)


class Guarded(RestEndpoint):
    """Each caller sees and changes their own rows only."""

    owner_id: str = Field(min_length=1)

    class Meta:
        authentication = Authentication(backend=ByHeader)
        queryset_scope = "all"

    async def queryset(self, request: Request) -> Any:
        await asyncio.sleep(0)
        model = type(self)._model_class
        return select(model).where(model.owner_id == request.state.user["sub"])


def hidden_coroutine(function: Any) -> Any:
    """Wrap a coroutine function so that it looks like a plain one."""

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        return function(*args)

    return call


class Wrapped(RestEndpoint):
    """An asynchronous queryset behind a plain decorator."""

    title: str = Field(min_length=1)

    @hidden_coroutine
    async def queryset(self, request: Request) -> Any:
        return select(type(self)._model_class).where(type(self)._model_class.title == "shown")


class Failing(RestEndpoint):
    """A queryset with a bug."""

    title: str = Field(min_length=1)

    async def queryset(self, request: Request) -> Any:
        await asyncio.sleep(0)
        raise KeyError("bug")


ANN, BOB = {"X-User": "ann"}, {"X-User": "bob"}


@pytest.fixture
def orders(api: Api) -> Client:
    client = api({"/orders": Order})
    for owner in ("ann", "bob", "ann"):
        client.post("/orders", json={"amount": 1, "owner_id": owner}, headers=ANN)
    return client


def test_an_async_queryset_scopes_the_list(orders: Client) -> None:
    mine = orders.get("/orders", headers=ANN).json()["results"]
    theirs = orders.get("/orders", headers=BOB).json()["results"]

    assert [row["id"] for row in mine] == [1, 3]
    assert [row["id"] for row in theirs] == [2]


def test_an_async_queryset_leaves_retrieval_by_id_alone(orders: Client) -> None:
    assert orders.get("/orders/2", headers=ANN).status_code == 200


def test_concurrent_callers_keep_their_own_scope(orders: Client) -> None:
    calls = [functools.partial(orders.get, "/orders", headers=who) for who in (ANN, BOB) * 8]

    counts = [len(answer.json()["results"]) for answer in orders.together(calls)]

    assert counts == [2, 1] * 8


@pytest.mark.parametrize("verb", ["GET", "PUT", "PATCH", "DELETE"])
def test_with_scope_all_other_rows_do_not_exist(api: Api, verb: str) -> None:
    client = api({"/guarded": Guarded})
    client.post("/guarded", json={"owner_id": "bob"}, headers=BOB)
    body = {"owner_id": "bob", "version": 1}

    foreign = client.request(verb, "/guarded/1", json=body, headers=ANN)
    own = client.request(verb, "/guarded/1", json=body, headers=BOB)

    assert (foreign.status_code, foreign.json()) == (404, {"detail": "not found"})
    assert own.status_code == (204 if verb == "DELETE" else 200)


def test_a_coroutine_that_looks_plain_is_awaited_all_the_same(api: Api) -> None:
    client = api({"/wrapped": Wrapped})
    client.post("/wrapped", json={"title": "hidden"})
    client.post("/wrapped", json={"title": "shown"})

    rows = client.get("/wrapped").json()["results"]

    assert [row["title"] for row in rows] == ["shown"]


def test_a_failing_async_queryset_is_500(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    response = api({"/failing": Failing}).get("/failing")

    assert (response.status_code, response.json()) == (500, {"detail": "internal server error"})
    assert "bug" in caplog.text
