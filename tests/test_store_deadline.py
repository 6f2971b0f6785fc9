"""Database work ends in time: slow statements, hung servers, empty pools, locked files; the next call works again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import OperationalError

from lightapi.db.store import open_store
from lightapi.exceptions import ServiceUnavailable
from tests.support import servers
from tests.support.stores import LANES, POSTGRES, Case, every_lane, opened, user_engine, using

SLOW = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
    "postgresql": "SELECT pg_sleep(30)",
}
HUNG = [lane for lane in LANES if lane[0] in POSTGRES and lane[1] != "drive"]


def slow(case: Case, connection: Connection) -> None:
    connection.execute(text(SLOW[case.store.dialect.name])).all()


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


@every_lane
@pytest.mark.parametrize("transaction", [False, True])
@pytest.mark.parametrize("whose", ["made", "given"])
def test_a_slow_statement_is_ended(
    kind: str, way: str, transaction: bool, whose: str, request: pytest.FixtureRequest
) -> None:
    options = {"engine": user_engine(kind, request)} if whose == "given" else {}
    with opened(kind, way, request, timeout=1.0, **options) as case:
        case.put("one")

        with within(5.0), pytest.raises(ServiceUnavailable):
            case.do(lambda connection: slow(case, connection), write=transaction, transaction=transaction)

        assert case.names() == ["one"]


@pytest.mark.parametrize(("kind", "way"), [lane for lane in LANES if lane[0] in POSTGRES])
def test_the_server_is_told_to_stop_and_the_connection_is_dropped(
    kind: str, way: str, request: pytest.FixtureRequest, postgres_url: str
) -> None:
    with opened(kind, way, request, timeout=0.4) as case:
        with case.unhurried():
            before = case.do(lambda c: c.execute(text("SELECT pg_backend_pid()")).scalar_one())
        with pytest.raises(ServiceUnavailable):
            case.do(lambda connection: slow(case, connection))

        with psycopg.connect(postgres_url, autocommit=True) as admin, within(10):
            while admin.execute("SELECT FROM pg_stat_activity WHERE pid = %s", (before,)).fetchone():
                time.sleep(0.05)


@every_lane
def test_a_late_call_of_a_unit_loses_its_transaction(kind: str, way: str, request: pytest.FixtureRequest) -> None:
    with opened(kind, way, request, timeout=1.0) as case:
        unit = case.store.unit()

        async def override() -> None:
            await unit.arun(case.add("one"))
            with pytest.raises(ServiceUnavailable):
                await unit.arun(lambda connection: slow(case, connection))
            with pytest.raises(ServiceUnavailable):
                await unit.arun(case.add("two"))
            with pytest.raises(ServiceUnavailable):
                await unit.aclose(commit=True)

        if way == "thread":
            unit.run(case.add("one"))
            with pytest.raises(ServiceUnavailable):
                unit.run(lambda connection: slow(case, connection))
            with pytest.raises(ServiceUnavailable):
                unit.close(commit=True)
        else:
            case.wait(override)

        assert case.names() == []


@pytest.fixture(scope="module")
def stoppable() -> Iterator[servers.Server]:
    """Give a server that tests may stop."""
    with servers.private("postgres") as server:
        yield server


@contextlib.contextmanager
def stopped(*processes: int) -> Iterator[None]:
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


@pytest.mark.parametrize(("kind", "way"), HUNG)
@pytest.mark.parametrize("whose", ["made", "given"])
def test_a_hung_server_holds_nobody_up(kind: str, way: str, whose: str, stoppable: servers.Server) -> None:
    url = make_url(stoppable.url).set(drivername=f"postgresql+{kind}").render_as_string(hide_password=False)
    engine = _engine(kind, url) if whose == "given" else None
    store = open_store(engine=engine, database_url=None if engine else url, timeout=1.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with using(store, way) as case:
        with case.unhurried():
            backend = case.do(lambda c: c.execute(text("SELECT pg_backend_pid()")).scalar_one())
        assert stoppable.pid
        with stopped(stoppable.pid, backend):
            for work in (case.count, case.add("one")):
                with within(5.0), pytest.raises(ServiceUnavailable):
                    case.do(work, write=True, transaction=True)
        time.sleep(0.2)

        case.put("two")


def _engine(kind: str, url: str) -> object:
    from sqlalchemy import create_engine
    from sqlalchemy.ext.asyncio import create_async_engine

    return create_async_engine(url) if kind == "asyncpg" else create_engine(url)


@pytest.mark.parametrize(("kind", "way"), [lane for lane in LANES if "memory" not in lane[0]])
def test_an_exhausted_pool_does_not_outlast_the_deadline(kind: str, way: str, request: pytest.FixtureRequest) -> None:
    engine = user_engine(kind, request, pool_size=1, max_overflow=0)
    with opened(kind, way, request, engine=engine, timeout=0.4) as case:
        with _taken(case, engine), within(5.0), pytest.raises(ServiceUnavailable):
            case.do(case.count)

        assert case.names() == []


@contextlib.contextmanager
def _taken(case: Case, engine: object) -> Iterator[None]:
    """Hold the only connection of the pool, as a user's session would."""
    if isinstance(engine, Engine):
        with engine.connect():
            yield
        return
    connection = case.loop.run_until_complete(engine.connect())  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    yield
    case.loop.run_until_complete(connection.close())


@pytest.mark.parametrize(("kind", "way"), [lane for lane in LANES if "file" in lane[0]])
def test_a_file_locked_by_another_process_is_unavailable(
    kind: str, way: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with opened(kind, way, request, timeout=0.4) as case:
        other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        assert case.names() == []
        with within(4.0), pytest.raises(OperationalError) as caught:
            case.do(case.add("one"), write=True)
        assert isinstance(case.store.translate(caught.value), ServiceUnavailable)
        other.execute("ROLLBACK")
        other.close()
        case.put("one")

        assert case.names() == ["one"]


def test_waiting_for_a_slot_counts_against_the_deadline(request: pytest.FixtureRequest) -> None:
    def hold() -> None:
        time.sleep(1.0)

    async def crowd() -> list[object]:
        holders = [case.store.enter(hold, nested=True) for _ in range(case.store.nested_capacity)]
        late = [case.store.enter(hold, nested=True) for _ in range(3)]
        return await asyncio.gather(*holders, *late, return_exceptions=True)

    with opened("sqlite-file", "loop", request, timeout=0.3) as case:
        outcomes = case.loop.run_until_complete(crowd())

        assert [type(outcome) for outcome in outcomes[-3:]] == [ServiceUnavailable] * 3
        assert outcomes[:-3] == [None] * case.store.nested_capacity


def test_one_watchdog_thread_serves_the_process(request: pytest.FixtureRequest) -> None:
    with opened("sqlite-file", "thread", request) as case:
        for _ in range(50):
            case.do(case.count)

        assert [thread.name for thread in threading.enumerate()].count("lightapi-deadline") == 1


def test_a_cancellation_from_outside_stays_one(request: pytest.FixtureRequest) -> None:
    async def cancelled() -> None:
        task = asyncio.ensure_future(case.store.aonce(lambda connection: slow(case, connection)))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with opened("asyncpg", "loop", request) as case:
        case.loop.run_until_complete(cancelled())

        assert case.names() == []


def test_a_cancelled_request_does_not_close_a_shared_in_memory_database(request: pytest.FixtureRequest) -> None:
    async def cancelled() -> None:
        task = asyncio.ensure_future(case.store.aonce(lambda connection: slow(case, connection)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with opened("aiosqlite-memory", "loop", request, timeout=0.5) as case:
        case.put("one")
        case.loop.run_until_complete(cancelled())

        case.loop.run_until_complete(asyncio.sleep(1))
        assert case.names() == ["one"]
