"""Middleware as coroutines, alone and beside plain ones."""

from __future__ import annotations

import asyncio
import logging

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lightapi.core import Middleware
from tests.support.endpoints import CLEAN_CODE, Book
from tests.support.hosts import Api, Client


def _note(request: Request, response: Response | None, name: str) -> None:
    if response is None:
        request.state.trace = [*getattr(request.state, "trace", []), name]
    else:
        seen = response.headers.get("x-trace", ",".join(getattr(request.state, "trace", [])))
        response.headers["X-Trace"] = f"{seen},{name}"


class AsyncAudit(Middleware):
    """Waits, before and after."""

    async def process(self, request: Request, response: Response | None) -> None:
        await asyncio.sleep(0.001)
        _note(request, response, "audit")


class SyncHeader(Middleware):
    """Does not wait."""

    def process(self, request: Request, response: Response | None) -> None:
        _note(request, response, "header")


class AsyncStop(Middleware):
    """Answers early when asked to, after waiting."""

    async def process(self, request: Request, response: Response | None) -> Response | None:
        await asyncio.sleep(0)
        if response is None and "x-stop" in request.headers:
            return JSONResponse({"detail": "stopped"}, status_code=429)
        return response


class AsyncReplace(Middleware):
    """Replaces the answer, after waiting."""

    async def process(self, request: Request, response: Response | None) -> Response | None:
        await asyncio.sleep(0)
        return None if response is None else JSONResponse({"replaced": response.status_code})


class AsyncRaise(Middleware):
    """Fails after waiting."""

    async def process(self, request: Request, response: Response | None) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("broken middleware")


class WaitsInTheLoop(Middleware):
    """Uses what needs a running event loop."""

    async def process(self, request: Request, response: Response | None) -> None:
        if response is None:
            await asyncio.wait_for(asyncio.sleep(0.001), 1)
            await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))


def _client(api: Api, *middlewares: type[Middleware]) -> Client:
    return api({"/books": Book}, middlewares=list(middlewares))


@pytest.mark.parametrize(
    ("middlewares", "trace"),
    [
        ([AsyncAudit, SyncHeader], "audit,header,header,audit"),
        ([SyncHeader, AsyncAudit], "header,audit,audit,header"),
        ([AsyncAudit, AsyncAudit], "audit,audit,audit,audit"),
    ],
    ids=["async first", "sync first", "async twice"],
)
def test_coroutines_and_functions_share_one_order(api: Api, middlewares: list[type[Middleware]], trace: str) -> None:
    response = _client(api, *middlewares).get("/books")

    assert (response.status_code, response.headers["x-trace"]) == (200, trace)


def test_a_coroutine_may_answer_early(api: Api) -> None:
    client = _client(api, AsyncAudit, AsyncStop)

    response = client.post("/books", json=CLEAN_CODE, headers={"X-Stop": "1"})

    assert (response.status_code, response.json()) == (429, {"detail": "stopped"})
    assert response.headers["x-trace"] == "audit,audit"
    assert client.get("/books").json() == {"results": []}


def test_a_coroutine_may_replace_the_answer(api: Api) -> None:
    assert _client(api, AsyncReplace).get("/books/1").json() == {"replaced": 404}


def test_a_failing_coroutine_is_500(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    response = _client(api, AsyncRaise).get("/books")

    assert (response.status_code, response.json()) == (500, {"detail": "internal server error"})
    assert "broken middleware" in caplog.text


def test_a_coroutine_may_use_the_event_loop(api: Api) -> None:
    assert _client(api, WaitsInTheLoop).get("/books").status_code == 200


def test_writes_work_behind_asynchronous_middleware(api: Api) -> None:
    client = _client(api, AsyncAudit, SyncHeader)

    made = client.post("/books", json=CLEAN_CODE)
    changed = client.patch("/books/1", json={"title": "T", "version": 1})

    assert (made.status_code, changed.status_code) == (201, 200)
    assert client.delete("/books/1").status_code == 204


@pytest.mark.parametrize(("verb", "path", "status"), [("GET", "/books/7", 404), ("DELETE", "/books", 405)])
def test_the_post_phase_sees_refusals(
    api: Api, verb: str, path: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    response = _client(api, AsyncAudit, SyncHeader).request(verb, path)

    assert response.status_code == status
    assert response.headers["x-trace"] == "audit,header,header,audit"
