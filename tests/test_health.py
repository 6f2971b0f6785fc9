"""The two pages that tell an operator whether the process and its database are well."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lightapi import Middleware
from tests.support.endpoints import Book
from tests.support.hosts import Api


class Refuses(Middleware):
    """Answers everything itself."""

    def process(self, request: Request, response: Response | None) -> Response | None:
        return JSONResponse({"detail": "no"}, status_code=429)


def test_healthz_says_that_the_process_lives(api: Api) -> None:
    response = api({"/books": Book}).get("/healthz")

    assert (response.status_code, response.content) == (200, b'{"status":"ok"}')
    assert response.headers["content-type"] == "application/json"


def test_readyz_is_200_with_a_database(api: Api) -> None:
    client = api({"/books": Book})

    assert [client.get("/readyz").status_code for _ in range(2)] == [200, 200]


@pytest.mark.engines("postgres-sync", "postgres-async")
@pytest.mark.filterwarnings("ignore")
def test_without_its_database_an_app_lives_and_is_not_ready(api: Api, engine_kind: str) -> None:
    if engine_kind == "postgres-sync":
        engine: Any = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    else:
        engine = create_async_engine("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    client = api({"/books": Book}, engine=engine)

    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
class TestPages:
    """What the two pages share."""

    def test_no_middleware_stands_before_them(self, api: Api, path: str) -> None:
        assert api({"/books": Book}, middlewares=[Refuses]).get(path).status_code == 200

    def test_head_and_trailing_slash_work(self, api: Api, path: str) -> None:
        client = api({"/books": Book})

        assert (client.head(path).status_code, client.head(path).content) == (200, b"")
        assert client.get(f"{path}/").status_code == 200

    def test_other_verbs_are_405(self, api: Api, path: str) -> None:
        assert api({"/books": Book}).post(path).status_code == 405
