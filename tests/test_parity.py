"""The same requests are answered alike on every host and every engine, byte for byte."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, create_engine
from starlette.requests import Request

from lightapi import Authentication, BasicAuthentication, Field, LightApi, RestEndpoint
from tests.support.endpoints import CLEAN_CODE, Book
from tests.support.hosts import Api, LoopThread
from tests.support.transports import AsgiTransport
from tests.test_fields import ACCEPTED, Everything

CLOCK = re.compile(rb'"(created_at|updated_at)":"[^"]+Z"')
EVERY_VALUE = {name: sent for _, name, sent, _ in ACCEPTED}


class Custom(RestEndpoint):
    """Overrides of both kinds."""

    title: str = Field(min_length=1, unique=True)

    def list(self, request: Request) -> Any:
        return [{"query": dict(request.query_params), "path": request.url.path}]

    async def post(self, request: Request) -> Any:
        return await self._create_async(json.loads(await request.body()))

    def delete(self, request: Request) -> Any:
        raise RuntimeError("bug")


class Closed(RestEndpoint):
    """For nobody."""

    class Meta:
        authentication = Authentication(backend=BasicAuthentication)


ENDPOINTS: dict[str, type[RestEndpoint]] = {
    "/books": Book,
    "/things": Everything,
    "/custom": Custom,
}
JSON = {"Content-Type": "application/json"}

SCRIPT: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/books", {}),
    ("POST", "/books", {"json": CLEAN_CODE}),
    ("POST", "/books", {"json": CLEAN_CODE | {"title": "Größe 漢字 🙂", "pages": 5}}),
    ("POST", "/books", {"json": {"title": "", "pages": "x"}}),
    ("POST", "/books", {"content": b'{"title": '}),
    ("POST", "/books", {"content": b"[]"}),
    ("POST", "/books", {"content": b"\xff"}),
    ("POST", "/books", {"content": b"{}", "headers": {"Content-Type": "text/plain"}}),
    ("POST", "/books", {"content": b"{}", "headers": JSON | {"Content-Encoding": "gzip"}}),
    ("POST", "/books", {"content": b" " * (2**20 + 1), "headers": JSON}),
    ("GET", "/books", {"params": {"a": "b c&d", "page": "x"}}),
    ("GET", "/books/1", {}),
    ("GET", "/books/1/", {}),
    ("HEAD", "/books", {}),
    ("HEAD", "/books/9", {}),
    ("OPTIONS", "/books", {}),
    ("OPTIONS", "/books/1", {}),
    ("DELETE", "/books", {}),
    ("PUT", "/books/1", {"json": CLEAN_CODE | {"version": 1}}),
    ("PUT", "/books/1", {"json": CLEAN_CODE | {"version": 1}}),
    ("PATCH", "/books/1", {"json": {"pages": 7, "version": 2}}),
    ("PATCH", "/books/1", {"json": {"pages": 0, "version": 3}}),
    ("PATCH", "/books/9", {"json": {"version": 3}}),
    ("DELETE", "/books/2", {}),
    ("DELETE", "/books/2", {}),
    ("GET", "/books/%D9%A1", {}),
    ("GET", "/books/a%2Fb", {}),
    ("GET", "/nowhere", {}),
    ("LIST", "/books", {}),
    ("POST", "/things", {"json": EVERY_VALUE}),
    ("GET", "/things/1", {}),
    ("GET", "/things", {}),
    ("PATCH", "/things/1", {"json": dict.fromkeys(EVERY_VALUE) | {"version": 1}}),
    ("POST", "/custom", {"json": {"title": "t"}}),
    ("POST", "/custom", {"json": {"title": "t"}}),
    ("GET", "/custom", {"params": {"q": "ä b"}}),
    ("DELETE", "/custom/1", {}),
    ("GET", "/custom/1", {}),
    ("GET", "/healthz", {}),
    ("GET", "/readyz", {}),
]


def _answers(client: httpx.Client) -> list[tuple[Any, ...]]:
    return [_essence(verb, path, client.request(verb, path, **more)) for verb, path, more in SCRIPT]


def _essence(verb: str, path: str, response: httpx.Response) -> tuple[Any, ...]:
    headers = sorted((name, value) for name, value in response.headers.items())
    if verb == "HEAD":
        headers = [pair for pair in headers if pair[0] != "content-length"]
    body = CLOCK.sub(rb'"\1":"CLOCK"', response.content)
    if b"CLOCK" in body:
        headers = [pair for pair in headers if pair[0] != "content-length"]
    return verb, path, response.status_code, headers, body


@pytest.fixture
def reference(tmp_path: Path, loop_thread: LoopThread) -> list[tuple[Any, ...]]:
    """Give the answers of a synchronous SQLite engine behind ASGI."""
    engine: Engine = create_engine(f"sqlite:///{tmp_path / 'reference.db'}")
    app = LightApi(engine=engine)
    app.register(ENDPOINTS)
    transport = AsgiTransport(app.build_app(), loop_thread.run)
    with httpx.Client(transport=transport, base_url="http://testserver") as client:
        answers = _answers(client)
    engine.dispose()
    return answers


def test_every_host_and_engine_gives_the_same_bytes(
    api: Api, reference: list[tuple[Any, ...]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    answers = _answers(api(ENDPOINTS))

    different = [pair for pair in zip(reference, answers, strict=True) if pair[0] != pair[1]]
    assert different == []


def test_a_path_that_is_no_utf_8_is_answered_alike(api: Api) -> None:
    client = api({**ENDPOINTS, "/closed": Closed})
    asked = [("GET", "/books/%ff"), ("GET", "/%ff"), ("POST", "/books/%ff"), ("GET", "/closed/%ff"), ("GET", "/b%ff/1")]

    answers = [client.request(verb, path) for verb, path in asked]

    assert [answer.status_code for answer in answers] == [404, 404, 405, 401, 404]
    assert answers[2].headers["allow"] == "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"


def test_the_clock_is_written_alike(api: Api) -> None:
    made = api(ENDPOINTS).post("/books", json=CLEAN_CODE).json()

    for name in ("created_at", "updated_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", made[name])
