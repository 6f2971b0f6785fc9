"""Reflection with an async engine: inside and outside a running loop, without touching the engine's own pool."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from httpx import ASGITransport, AsyncClient
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from lightapi import ConfigurationError, Field, LightApi, RestEndpoint

DRIVERS = ["aiosqlite-file", "aiosqlite-memory", "asyncpg"]


@pytest_asyncio.fixture(params=DRIVERS)
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """Give an async engine with a legacy table, used in this loop already."""
    kind = request.param
    if kind == "asyncpg":
        url = make_url(request.getfixturevalue("postgres_url")).set(drivername="postgresql+asyncpg")
        made = create_async_engine(url)
    else:
        made = create_async_engine("sqlite+aiosqlite://" + (f"/{tmp_path / 'a.db'}" if kind.endswith("file") else ""))
    async with made.begin() as connection:
        await connection.execute(text("DROP TABLE IF EXISTS legacy_users"))
        serial = "serial" if kind == "asyncpg" else "integer"
        await connection.execute(
            text(f"CREATE TABLE legacy_users (id {serial} PRIMARY KEY, name varchar(20) NOT NULL)")
        )
        await connection.execute(text("INSERT INTO legacy_users (name) VALUES ('ann')"))
    yield made
    async with made.begin() as connection:
        await connection.execute(text("DROP TABLE legacy_users"))
    await made.dispose()


class Meta:
    """Names the legacy table."""

    reflect = True
    table = "legacy_users"


def legacy() -> Any:
    """Return a class without columns of its own."""
    return type("LegacyUserEndpoint", (RestEndpoint,), {"Meta": Meta})


async def names(app: LightApi) -> list[str]:
    """List the names through the app."""
    async with AsyncClient(transport=ASGITransport(app=app.build_app()), base_url="http://test") as client:
        return [row["name"] for row in (await client.get("/users")).json()["results"]]


async def test_register_reflects_inside_a_running_loop(engine: AsyncEngine) -> None:
    app = LightApi(engine=engine)

    app.register({"/users": legacy()})

    assert await names(app) == ["ann"]


async def test_the_engine_goes_on_working_in_its_loop(engine: AsyncEngine) -> None:
    app = LightApi(engine=engine)
    async with engine.connect() as held:
        assert (await held.execute(text("SELECT name FROM legacy_users"))).scalar_one() == "ann"
        app.register({"/users": legacy()})
        assert (await held.execute(text("SELECT count(*) FROM legacy_users"))).scalar_one() == 1

    assert await names(app) == ["ann"]


async def test_rows_are_written_through_it(engine: AsyncEngine) -> None:
    app = LightApi(engine=engine)
    app.register({"/users": legacy()})

    async with AsyncClient(transport=ASGITransport(app=app.build_app()), base_url="http://test") as client:
        made = await client.post("/users", json={"name": "bob"})
        assert (made.status_code, made.json()) == (201, {"id": 2, "name": "bob"})
        assert (await client.patch("/users/2", json={"name": "cid"})).json() == {"id": 2, "name": "cid"}
        assert (await client.delete("/users/2")).status_code == 204


async def test_partial_adds_its_column_when_the_server_starts(engine: AsyncEngine) -> None:
    class ExtendedEndpoint(RestEndpoint):
        """Adds a column."""

        new_field: str = Field(min_length=1)

        class Meta:
            reflect = "partial"
            table = "legacy_users"

    app = LightApi(engine=engine)
    app.register({"/users": ExtendedEndpoint})

    async with AsyncClient(transport=ASGITransport(app=app.build_app()), base_url="http://test") as client:
        assert (await client.get("/users/1")).json() == {"id": 1, "name": "ann", "new_field": None}


async def test_a_missing_table_is_a_configuration_error(engine: AsyncEngine) -> None:
    app = LightApi(engine=engine)
    gone = type("Gone", (RestEndpoint,), {"Meta": type("Meta", (), {"reflect": True, "table": "gone"})})

    with pytest.raises(ConfigurationError, match="Gone: table 'gone' does not exist"):
        app.register({"/gone": gone})


def test_register_reflects_at_import_before_any_loop(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'b.db'}"

    async def prepare() -> None:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE legacy_users (id integer PRIMARY KEY, name text)"))
            await connection.execute(text("INSERT INTO legacy_users (name) VALUES ('ann')"))
        await engine.dispose()

    asyncio.run(prepare())
    app = LightApi(database_url=url)
    app.register({"/users": legacy()})

    assert asyncio.run(_once(app)) == ["ann"]


async def _once(app: LightApi) -> list[str]:
    try:
        return await names(app)
    finally:
        await app.engine.dispose()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_an_unreachable_database_is_a_configuration_error_without_its_password(driver: str) -> None:
    app = LightApi(database_url=f"postgresql+{driver}://user:hush@127.0.0.1:9/none")

    with pytest.raises(ConfigurationError, match="legacy_users' can't be reflected") as caught:
        app.register({"/users": legacy()})
    assert "hush" not in str(caught.value)
    assert sys.exc_info() == (None, None, None)
