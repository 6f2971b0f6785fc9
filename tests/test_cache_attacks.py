"""Ways to a wrong answer that were tried: poisoned, somebody else's, another database's, or stale."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.testclient import TestClient

from lightapi import Cache, ConfigurationError, Filtering, LightApi, RestEndpoint
from lightapi.core import Middleware
from lightapi.db.identity import database_name
from tests.support.hosts import Api, Database, LoopThread, close_redis
from tests.support.kept import empty_redis

__all__ = ["empty_redis"]

pytestmark = [pytest.mark.hosts("asgi", "wsgi-direct"), pytest.mark.engines("sqlite-sync")]


class Note(RestEndpoint):
    """Kept."""

    title: str = ""

    class Meta:
        cache = Cache(ttl=600)


def _made_by(list_: Any, **meta: Any) -> type[RestEndpoint]:
    own = type("Meta", (), {"cache": Cache(ttl=600), **meta})
    return type("Note", (Note,), {"list": list_, "Meta": own})


def test_an_override_that_answers_head_without_a_body_does_not_empty_the_list(api: Api) -> None:
    def list_(self: RestEndpoint, request: Request) -> Any:
        return JSONResponse([] if request.method == "HEAD" else {"results": ["there"]})

    client = api({"/notes": _made_by(list_)})

    assert client.head("/notes").status_code == 200
    assert client.get("/notes").json() == {"results": ["there"]}


class ReadsTheUrl(Middleware):
    """Looks at the URL before everybody else."""

    def process(self, request: Request, response: Response | None) -> None:
        _ = request.url, request.query_params


def test_parameters_that_do_not_count_are_not_in_the_url_either(api: Api) -> None:
    def list_(self: RestEndpoint, request: Request) -> Any:
        return {"asked": request.url.query, "given": sorted(request.query_params)}

    counted = Cache(ttl=600, vary_on=["page"])
    client = api({"/notes": _made_by(list_, cache=counted)}, middlewares=[ReadsTheUrl])

    assert client.get("/notes?token=SECRET&page=2").json() == {"asked": "page=2", "given": ["page"]}


def test_an_answer_that_varies_by_a_header_nobody_counts_is_not_kept(api: Api) -> None:
    def list_(self: RestEndpoint, request: Request) -> Any:
        return JSONResponse({"in": request.headers["accept-language"]}, headers={"Vary": "Accept-Language"})

    client = api({"/notes": _made_by(list_)})

    answers = [client.get("/notes", headers={"Accept-Language": language}).json() for language in ("de", "fr")]

    assert answers == [{"in": "de"}, {"in": "fr"}]


def test_answers_that_are_not_kept_are_not_made_one_after_the_other(api: Api) -> None:
    def list_(self: RestEndpoint, request: Request) -> Any:
        time.sleep(0.5)
        return JSONResponse({}, headers={"Cache-Control": "no-store"})

    client = api({"/notes": _made_by(list_)})
    client.get("/notes")
    begun = time.monotonic()

    client.together([lambda: client.get("/notes")] * 10)

    assert time.monotonic() - begun < 3


@pytest.mark.hosts("asgi")
def test_a_burst_does_not_take_the_cache_away(api: Api, loop_thread: LoopThread) -> None:
    client = api({"/notes": Note})
    client.get("/notes")
    starlette = client.app.asgi

    async def burst() -> list[str]:
        transport = httpx.ASGITransport(app=starlette)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as many:
            answers = await asyncio.gather(*(many.get("/notes") for _ in range(300)))
        return [answer.headers["x-cache"] for answer in answers]

    states = loop_thread.run(burst())

    assert states.count("hit") > 0.9 * len(states)  # had the breaker opened, hardly any would be one


@pytest.mark.hosts("asgi")
def test_a_write_whose_client_has_left_leaves_nothing_stale(api: Api, loop_thread: LoopThread) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def post(self: Any, request: Request) -> Any:
        begun.set()
        assert go_on.wait(30)
        return self.create({"title": "there"})

    client = api({"/notes": type("Note", (Note,), {"post": post})})
    client.get("/notes")
    starlette = client.app.asgi

    async def leave() -> None:
        transport = httpx.ASGITransport(app=starlette)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as leaver:
            task = asyncio.ensure_future(leaver.post("/notes", json={}))
            await asyncio.to_thread(begun.wait, 30)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    loop_thread.run(leave())
    go_on.set()
    deadline = time.monotonic() + 30
    while not client.get("/notes").json()["results"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.hosts("asgi")
def test_tenants_of_one_engine_do_not_share(database: Database) -> None:
    base: Any = database.make_engine()
    names = [
        database_name(base.execution_options(schema_translate_map={None: schema})) for schema in ("one", "two", None)
    ]

    assert len({*names, database_name(base)}) == 4


def test_databases_in_memory_are_an_engines_own() -> None:
    engines = [create_engine("sqlite://", poolclass=StaticPool) for _ in range(2)]

    assert database_name(engines[0]) == database_name(engines[0])
    assert database_name(engines[0]) != database_name(engines[1])


SPELLINGS = {
    "postgresql": [
        "postgresql+psycopg://a:b@db/shop",
        "postgresql+asyncpg://c@DB:5432/shop?ssl=require",
        "postgresql+psycopg2:///shop?host=db&sslmode=require",
    ],
    "sqlite": ["sqlite:////srv/x.db", "sqlite:///file:/srv/x.db?uri=true", "sqlite:////srv/../srv/x.db"],
}


@pytest.mark.parametrize("dialect", SPELLINGS)
def test_a_database_has_one_name_however_its_url_is_spelt(dialect: str) -> None:
    names = set()
    for url in SPELLINGS[dialect]:
        make: Any = create_async_engine if "asyncpg" in url else create_engine
        engine = make(url)
        names.add(database_name(getattr(engine, "sync_engine", engine)))

    assert len(names) == 1


def test_an_engine_whose_url_names_no_database_is_refused() -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: None)
    app = LightApi(engine=engine, create_tables=False)
    app.register({"/notes": Note})

    with pytest.raises(ConfigurationError, match="names no database"):
        app.build_app()


def test_it_is_served_where_nothing_is_kept() -> None:
    engine = create_engine("postgresql+psycopg://", creator=_no_connection)
    app = LightApi(engine=engine, create_tables=False)
    app.register({"/plain": type("Plain", (RestEndpoint,), {})})

    with pytest.warns(RuntimeWarning, match="cannot be reached"):
        assert app.build_app() is not None


def _no_connection() -> Any:
    raise OSError("nobody listens")


def test_other_filters_are_other_answers(database: Database, loop_thread: LoopThread) -> None:
    filtered = type("Meta", (), {"cache": Cache(ttl=600), "filtering": Filtering(fields=["title"]), "table": "notes"})
    kinds = [
        type("Note", (Note,), {"Meta": type("Meta", (), {"table": "notes"})}),
        type("Note", (Note,), {"Meta": filtered}),
    ]
    counts: list[int] = []
    for kind in kinds:
        app = LightApi(engine=database.make_engine())
        app.register({"/notes": kind})
        with TestClient(app.build_app()) as client:
            if not counts:
                client.post("/notes", json={"title": "ann's"})
            counts.append(len(client.get("/notes?title=bob").json()["results"]))
        close_redis(app, loop_thread)

    assert counts == [1, 0]
