"""Requests at the same time: one makes a missing answer, and none keeps what a write has made stale."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from lightapi import Cache, RestEndpoint
from tests.support.hosts import Api
from tests.support.kept import empty_redis

__all__ = ["empty_redis"]

pytestmark = [pytest.mark.hosts("asgi", "wsgi-direct"), pytest.mark.engines("sqlite-sync", "sqlite-async")]


class Note(RestEndpoint):
    """Kept."""

    title: str

    class Meta:
        cache = Cache(ttl=60)


def test_forty_requests_for_a_missing_answer_make_it_once(api: Api) -> None:
    made: list[int] = []

    def list_(self: RestEndpoint, request: Request) -> Any:
        made.append(1)
        time.sleep(0.2)
        return {"results": []}

    client = api({"/notes": type("Slow", (Note,), {"list": list_})})
    calls: list[Callable[[], httpx.Response]] = [lambda: client.get("/notes")] * 40

    answers = client.together(calls)

    assert {answer.status_code for answer in answers} == {200}
    assert len(made) == 1


@pytest.mark.engines("sqlite-sync")
def test_a_reader_that_began_before_a_write_keeps_nothing_stale(api: Api) -> None:
    has_read, may_answer = threading.Event(), threading.Event()
    waits = [True]

    def get(self: Any, request: Request) -> Any:
        response = self.list(request)
        if waits and waits.pop():
            has_read.set()
            assert may_answer.wait(30)
        return response

    client = api({"/notes": type("Waiting", (Note,), {"get": get})})
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.get, "/notes")
        assert has_read.wait(30)

        assert client.post("/notes", json={"title": "a"}).status_code == 201
        may_answer.set()

        assert slow.result().json() == {"results": []}
    assert len(client.get("/notes").json()["results"]) == 1
    assert len(client.get("/notes").json()["results"]) == 1
