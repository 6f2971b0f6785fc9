"""``get_sync_session`` and ``get_async_session``: commit on a clean exit, roll back on error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from starlette.requests import Request

from lightapi import Field, LightApi, RestEndpoint, get_async_session, get_sync_session
from lightapi.session import get_async_session as same_async
from lightapi.session import get_sync_session as same_sync
from tests.support.endpoints import CLEAN_CODE, Book
from tests.support.hosts import Api, Client, Database


def _row(title: str) -> dict[str, Any]:
    return CLEAN_CODE | {"title": title, "language": "en", "version": 1}


def test_both_are_importable_from_their_module() -> None:
    assert (same_sync, same_async) == (get_sync_session, get_async_session)


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync", "postgres-sync")
class TestSync:
    """The synchronous session."""

    @pytest.fixture
    def client(self, api: Api) -> Client:
        client = api({"/books": Book})
        client.get("/books")
        return client

    def test_a_clean_exit_commits(self, client: Client) -> None:
        with get_sync_session(client.engine) as session:
            assert isinstance(session, Session)
            session.execute(insert(Book).values(**_row("kept")))

        assert [row["title"] for row in client.get("/books").json()["results"]] == ["kept"]

    def test_an_exception_rolls_back_and_is_raised(self, client: Client) -> None:
        def fail() -> None:
            with get_sync_session(client.engine) as session:
                session.execute(insert(Book).values(**_row("lost")))
                raise KeyError

        with pytest.raises(KeyError):
            fail()

        assert client.get("/books").json() == {"results": []}

    def test_endpoints_are_queried_as_models(self, client: Client) -> None:
        client.post("/books", json=CLEAN_CODE)

        with get_sync_session(client.engine) as session:
            rows = session.execute(select(Book)).scalars().all()

        assert [row.title for row in rows] == ["Clean Code"]
        assert isinstance(rows[0], Book)

    def test_nothing_is_left_checked_out(self, client: Client) -> None:
        with get_sync_session(client.engine) as session:
            session.execute(select(func.count()).select_from(Book))

        assert client.engine.pool.checkedout() == 0


@pytest_asyncio.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'async.db'}")
    app = LightApi(engine=engine)
    app.register({"/books": Book})
    async with engine.begin() as connection:
        await connection.run_sync(app.metadata.create_all)
    yield engine
    await engine.dispose()


async def _titles(engine: AsyncEngine) -> list[str]:
    async with get_async_session(engine) as session:
        return [row.title for row in (await session.execute(select(Book))).scalars().all()]


class TestAsync:
    """The asynchronous session."""

    async def test_a_clean_exit_commits(self, engine: AsyncEngine) -> None:
        async with get_async_session(engine) as session:
            assert isinstance(session, AsyncSession)
            await session.execute(insert(Book).values(**_row("kept")))

        assert await _titles(engine) == ["kept"]

    async def test_an_exception_rolls_back_and_is_raised(self, engine: AsyncEngine) -> None:
        async def fail() -> None:
            async with get_async_session(engine) as session:
                await session.execute(insert(Book).values(**_row("lost")))
                raise KeyError

        with pytest.raises(KeyError):
            await fail()

        assert await _titles(engine) == []

    async def test_nothing_is_left_checked_out(self, engine: AsyncEngine) -> None:
        await _titles(engine)

        pool: Any = engine.pool
        assert pool.checkedout() == 0


class Engines:
    """The engine of the test at hand."""

    current: Any


class InOverride(RestEndpoint):
    """Opens a session of its own inside an override."""

    title: str = Field(min_length=1)

    async def get(self, request: Request) -> Any:
        async with get_async_session(Engines.current) as session:
            count = await session.scalar(select(func.count()).select_from(type(self)))
        return {"count": count}


class InSyncOverride(RestEndpoint):
    """Opens a session of its own inside a plain override."""

    title: str = Field(min_length=1)

    def get(self, request: Request) -> Any:
        with get_sync_session(Engines.current) as session:
            count = session.scalar(select(func.count()).select_from(type(self)))
        return {"count": count}


@pytest.mark.engines("sqlite-async", "postgres-async")
def test_an_async_override_may_open_a_session(api: Api, database: Database) -> None:
    client = api({"/items": InOverride})
    Engines.current = client.engine
    client.post("/items", json={"title": "t"})

    assert client.get("/items").json() == {"count": 1}


@pytest.mark.engines("sqlite-sync", "postgres-sync")
def test_a_plain_override_may_open_a_session(api: Api, database: Database) -> None:
    client = api({"/items": InSyncOverride})
    Engines.current = client.engine
    client.post("/items", json={"title": "t"})

    assert client.get("/items").json() == {"count": 1}


@pytest.mark.engines("sqlite-sync", "postgres-sync")
def test_overrides_with_sessions_do_not_starve_each_other(api: Api, database: Database) -> None:
    client = api({"/items": InSyncOverride}, engine=database.make_engine(pool_size=4))
    Engines.current = client.engine
    client.post("/items", json={"title": "t"})

    answers = client.together([lambda: client.get("/items")] * 40)

    assert {answer.status_code for answer in answers} == {200}
