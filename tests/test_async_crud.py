"""An asynchronous engine: the same requests, and everything about it that a request can notice."""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request

from lightapi import Field, RestEndpoint
from tests.support.endpoints import CLEAN_CODE, Book
from tests.support.hosts import Api, Client, Database

pytestmark = pytest.mark.engines("sqlite-async", "postgres-async")


class Product(RestEndpoint):
    """Overrides as the documentation writes them."""

    name: str = Field(min_length=1)
    price: float = Field(ge=0)

    async def post(self, request: Request) -> Any:
        data = json.loads(await request.body())
        data["name"] = data["name"].strip()
        return await self._create_async(data)

    async def get(self, request: Request) -> Any:
        await asyncio.sleep(0)
        return await self._list_async(request)


class Slow(RestEndpoint):
    """Waits without holding up anybody else."""

    name: str = Field(min_length=1)

    async def get(self, request: Request) -> Any:
        await asyncio.sleep(0.5)
        return {"waited": True}


@pytest.fixture
def client(api: Api) -> Client:
    return api({"/books": Book, "/products": Product, "/slow": Slow})


def test_the_engine_is_recognised(client: Client) -> None:
    assert isinstance(client.engine, AsyncEngine)


def test_tables_exist_at_the_first_request(client: Client) -> None:
    assert client.get("/books").json() == {"results": []}


def test_a_row_lives_its_whole_life(client: Client) -> None:
    made = client.post("/books", json=CLEAN_CODE)
    put = client.put("/books/1", json=CLEAN_CODE | {"pages": 3, "version": 1})
    patched = client.patch("/books/1", json={"pages": 4, "version": 2})
    stale = client.patch("/books/1", json={"pages": 5, "version": 2})
    got = client.get("/books/1")
    gone = client.delete("/books/1")
    missing = client.get("/books/1")

    statuses = [each.status_code for each in (made, put, patched, stale, got, gone, missing)]
    assert statuses == [201, 200, 200, 409, 200, 204, 404]
    assert (got.json()["pages"], got.json()["version"]) == (4, 3)


def test_async_overrides_are_awaited(client: Client) -> None:
    made = client.post("/products", json={"name": "  bolt ", "price": 1.5})

    assert (made.status_code, made.json()["name"]) == (201, "bolt")
    assert client.get("/products").json()["results"] == [made.json()]


def test_async_overrides_validate_through_the_helpers(client: Client) -> None:
    response = client.post("/products", json={"name": "bolt", "price": -1})

    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["price"]


def test_concurrent_writes_all_arrive(client: Client) -> None:
    calls = [partial(client.post, "/books", json=CLEAN_CODE | {"title": str(number)}) for number in range(30)]

    statuses = {response.status_code for response in client.together(calls)}

    assert statuses == {201}
    titles = {row["title"] for row in client.get("/books").json()["results"]}
    assert titles == {str(number) for number in range(30)}


@pytest.mark.hosts("asgi")
def test_waiting_requests_wait_together(client: Client) -> None:
    client.get("/books")
    start = time.perf_counter()
    answers = client.together([partial(client.get, "/slow")] * 10)

    assert all(answer.json() == {"waited": True} for answer in answers)
    assert time.perf_counter() - start < 2.5


def test_rows_of_one_app_are_seen_by_another_on_the_same_database(api: Api, database: Database) -> None:
    first, second = api({"/books": Book}), api({"/books": Book})

    first.post("/books", json=CLEAN_CODE)

    assert second.get("/books").json() == first.get("/books").json()
