"""Opening a store: which engine it gets, what it refuses, what it sets on connections, what a fork changes."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import StaticPool

from lightapi.db.store import AsyncStore, SyncStore, open_store
from lightapi.exceptions import ConfigurationError, ServiceUnavailable
from lightapi.session import get_async_session, get_sync_session
from tests.support.stores import ASYNC, POSTGRES, SQLITE, SYNC, every_engine, opened, sql, url_of, user_engine

FOREIGN_KEYS = text("PRAGMA foreign_keys")


def test_without_any_database_all_three_ways_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIGHTAPI_DATABASE_URL", raising=False)

    with pytest.raises(
        ConfigurationError, match=r"No database configured: .*engine=.*database_url=.*LIGHTAPI_DATABASE_URL"
    ):
        open_store(engine=None, database_url=None)


def test_engine_wins_over_url_over_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIGHTAPI_DATABASE_URL", f"sqlite:///{tmp_path}/environment.db")
    engine = create_engine(f"sqlite:///{tmp_path}/engine.db")
    url = f"sqlite:///{tmp_path}/url.db"

    names = [
        Path(open_store(**given).lanes.base.url.database or "").name  # pyright: ignore[reportArgumentType]
        for given in (
            {"engine": engine, "database_url": url},
            {"engine": None, "database_url": url},
            {"engine": None, "database_url": None},
        )
    ]

    assert names == ["engine.db", "url.db", "environment.db"]


@pytest.mark.parametrize(
    ("url", "kind", "driver"),
    [
        ("sqlite://", SyncStore, "pysqlite"),
        ("sqlite+aiosqlite://", AsyncStore, "aiosqlite"),
        ("postgresql://u:p@h/d", SyncStore, "psycopg"),
        ("postgres://u:p@h/d", SyncStore, "psycopg"),
        ("postgresql+psycopg2://u:p@h/d", SyncStore, "psycopg2"),
        ("postgresql+asyncpg://u:p@h/d", AsyncStore, "asyncpg"),
    ],
)
def test_the_url_decides_the_kind_of_store(url: str, kind: type, driver: str) -> None:
    store = open_store(engine=None, database_url=url)

    assert type(store) is kind
    assert store.dialect.driver == driver
    assert isinstance(store.engine, AsyncEngine if store.is_async else Engine)


def test_mode_only_asserts() -> None:
    assert not open_store(engine=None, database_url="sqlite://", mode="sync").is_async
    with pytest.raises(ConfigurationError, match="mode='async'"):
        open_store(engine=None, database_url="sqlite://", mode="async")


@pytest.mark.parametrize(
    "url", ["nonsense", "postgresql://u:hunter2@h:port/d", "what://u:hunter2@h/d", "sqlite://u:hunter2@h/d"]
)
def test_a_bad_url_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_store(engine=None, database_url=url)

    told = "".join(map(str, (caught.value, caught.value.__cause__ or "")))
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("hidden", "url", "told"),
    [
        (["asyncpg"], "postgresql+asyncpg://u@h/d", r"'asyncpg'.*lightapi\[async\]"),
        (["aiosqlite"], "sqlite+aiosqlite://", r"'aiosqlite'.*lightapi\[async\]"),
        (["greenlet"], "sqlite+aiosqlite://", r"'greenlet'.*lightapi\[async\]"),
        (["psycopg", "psycopg2"], "postgresql://u@h/d", r"'psycopg'.*lightapi\[postgres\]"),
        (["psycopg2"], "postgresql+psycopg2://u@h/d", r"'psycopg2'.*lightapi\[postgres\]"),
        (["MySQLdb"], "mysql://u@h/d", r"'MySQLdb'.*install mysqlclient$"),
    ],
)
def test_a_missing_driver_is_named_with_its_extra(hidden: list[str], url: str, told: str) -> None:
    script = f"""
import sys
sys.modules.update(dict.fromkeys({hidden!r}))
from lightapi.db.engine import make_engine
from lightapi.exceptions import ConfigurationError
try:
    make_engine({url!r}, timeout=10)
except ConfigurationError as error:
    print(error)
"""
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    import re

    assert re.search(told, finished.stdout), finished.stdout


def test_psycopg2_serves_where_psycopg_is_missing() -> None:
    script = """
import sys
sys.modules["psycopg"] = None
from lightapi.db.engine import make_engine
print(make_engine("postgresql://u@h/d", timeout=10)[1].dialect.driver)
"""
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert finished.stdout.strip() == "psycopg2"


def test_in_memory_databases_that_threads_cannot_share_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="StaticPool"):
        open_store(engine=create_engine("sqlite://"), database_url=None)
    with pytest.raises(ConfigurationError, match="check_same_thread"):
        open_store(engine=create_engine("sqlite://", poolclass=StaticPool), database_url=None).ready_sync(
            lambda connection: None, "key"
        )


@pytest.mark.parametrize("kind", SQLITE)
@pytest.mark.parametrize("whose", ["made", "given"])
@pytest.mark.parametrize("enforced", [True, False])
def test_foreign_keys_are_enforced_on_connections_older_than_the_store(
    kind: str, whose: str, enforced: bool, request: pytest.FixtureRequest
) -> None:
    options = {}
    if whose == "given":
        engine = user_engine(kind, request)
        if isinstance(engine, Engine):
            with engine.connect() as connection:
                assert connection.execute(FOREIGN_KEYS).scalar() == 0
        options = {"engine": engine}
    with opened(kind, "loop", request, sqlite_foreign_keys=enforced, **options) as case:
        assert case.do(lambda connection: connection.execute(FOREIGN_KEYS).scalar()) == int(enforced)

        async def by_session() -> bool:
            if isinstance(case.store.engine, Engine):
                with get_sync_session(case.store.engine) as session:
                    return bool(session.execute(FOREIGN_KEYS).scalar_one())
            async with get_async_session(case.store.engine) as session:
                return bool((await session.execute(FOREIGN_KEYS)).scalar_one())

        assert case.loop.run_until_complete(by_session()) is enforced


@pytest.mark.parametrize("whose", ["made", "given"])
def test_files_get_write_ahead_logging_only_where_we_made_the_engine(
    whose: str, request: pytest.FixtureRequest
) -> None:
    options = {"engine": user_engine("sqlite-file", request)} if whose == "given" else {}
    with opened("sqlite-file", "thread", request, **options) as case:
        mode = case.do(lambda connection: connection.execute(text("PRAGMA journal_mode")).scalar())

    assert mode == ("wal" if whose == "made" else "delete")


@pytest.mark.parametrize("kind", POSTGRES)
def test_engines_that_we_make_have_limits(kind: str, request: pytest.FixtureRequest) -> None:
    def settings(connection: Connection) -> list[object]:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        return [connection.execute(text(f"SHOW {name}")).scalar() for name in names]

    with opened(kind, "loop", request) as case:
        assert case.do(settings) == ["15s", "5s", "30s"]
        assert case.store.capacity == 10


def test_a_user_s_own_begin_listener_on_sqlite_does_no_harm(request: pytest.FixtureRequest) -> None:
    engine = user_engine("sqlite-file", request)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    with opened("sqlite-file", "thread", request, engine=engine) as case:
        case.do(case.add("one"), write=True)
        case.do(case.add("two"), write=True, transaction=True)

        assert case.names() == ["one", "two"]


@every_engine
def test_preparing_happens_once_and_is_tried_again_after_a_failure(kind: str, request: pytest.FixtureRequest) -> None:
    ran: list[int] = []

    def prepare(connection: Connection) -> None:
        ran.append(1)
        connection.execute(text("SELECT 1"))
        if len(ran) == 1:
            raise LookupError

    async def together() -> None:
        with pytest.raises(LookupError):
            await case.store.ready(prepare, "key")
        await asyncio.gather(*(case.store.ready(prepare, "key") for _ in range(10)))

    with opened(kind, "loop", request) as case:
        case.loop.run_until_complete(together())

    assert len(ran) == 2


@pytest.mark.parametrize("kind", ["psycopg", "sqlite-file"])
def test_several_processes_prepare_one_after_the_other(kind: str, request: pytest.FixtureRequest) -> None:
    url = url_of(kind, request)

    def prepare(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE IF NOT EXISTS prepared (n INTEGER)"))
        count = connection.execute(text("SELECT count(*) FROM prepared")).scalar_one()
        connection.execute(text("SELECT pg_sleep(0.05)")) if kind == "psycopg" else None
        connection.execute(text("INSERT INTO prepared VALUES (:n)"), {"n": count})

    stores = [open_store(engine=None, database_url=url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda store: store.ready_sync(prepare, "same"), stores))

    rows = stores[0].once(lambda c: sorted(c.execute(text("SELECT n FROM prepared")).scalars()))
    stores[0].once(sql("DROP TABLE prepared"), write=True)
    for store in stores:
        store.dispose_sync()
    assert rows == [0, 1, 2, 3]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_an_unreachable_database_is_unavailable_and_tried_again(driver: str) -> None:
    store = open_store(engine=None, database_url=f"postgresql+{driver}://u:hunter2@127.0.0.1:1/d")

    for _ in range(2):
        with pytest.raises(ServiceUnavailable):
            asyncio.run(store.ready(lambda connection: None, "key"))
        with pytest.raises(ServiceUnavailable):
            asyncio.run(store.aonce(lambda connection: None))
        with pytest.raises(ServiceUnavailable):
            asyncio.run(store.ping())


@pytest.mark.parametrize("kind", ASYNC)
def test_a_store_follows_from_one_loop_to_the_next(kind: str, request: pytest.FixtureRequest) -> None:
    with opened(kind, "loop", request) as case:
        case.do(case.add("one"), write=True)
        for _ in range(3):
            assert asyncio.run(case.store.aonce(case.count)) == 1
        case.do(case.add("two"), write=True)

        assert case.names() == ["one", "two"]


@pytest.mark.parametrize("kind", ASYNC)
def test_two_running_loops_are_refused(kind: str, request: pytest.FixtureRequest) -> None:
    def in_another_thread() -> None:
        with pytest.raises(ConfigurationError, match="another running event loop"):
            asyncio.run(case.store.aonce(case.count))

    async def meanwhile() -> None:
        await case.store.aonce(case.count)
        await asyncio.to_thread(in_another_thread)

    with opened(kind, "loop", request) as case:
        case.loop.run_until_complete(meanwhile())


@pytest.mark.parametrize("kind", SYNC)
def test_a_forked_child_has_connections_of_its_own(kind: str, request: pytest.FixtureRequest) -> None:
    url = url_of(kind, request)
    script = f"""
import os, sys, threading, warnings
from sqlalchemy import text
from lightapi.db.store import open_store
warnings.simplefilter("always")
store = open_store(engine=None, database_url={url!r})
store.once(lambda c: c.execute(text("CREATE TABLE forked (n INTEGER)")) and None, write=True)
store._gate.acquire(); store._ready_lock.acquire()
children = []
for number in range(3):
    pid = os.fork()
    if not pid:
        try:
            for turn in range(50):
                mine = number * 1000 + turn
                assert store.once(lambda c: c.execute(text(f"SELECT {{mine}}")).scalar()) == mine
            os._exit(0)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
    children.append(pid)
store._gate.release(); store._ready_lock.release()
for turn in range(50):
    assert store.once(lambda c: c.execute(text(f"SELECT {{turn}}")).scalar()) == turn
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
store.once(lambda c: c.execute(text("DROP TABLE forked")) and None, write=True)
"""
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert finished.stdout.strip() == "[0, 0, 0]", finished.stdout + finished.stderr
    assert ("in-memory database is per process" in finished.stderr) == ("memory" in kind)


def test_nested_units_keep_connections_back(request: pytest.FixtureRequest) -> None:
    """Overrides that hold a connection and open a second one finish, however many come at once."""
    engine = user_engine("psycopg", request, pool_size=2, max_overflow=1)

    async def request_(number: int) -> None:
        unit = case.store.unit(nested=True)

        def override() -> None:
            unit.run(case.add(f"row{number}"))
            with get_sync_session(engine) as session:  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
                session.execute(text("SELECT 1"))

        await case.store.enter(override, nested=True)
        await unit.aclose(commit=True)

    async def crowd() -> None:
        await asyncio.gather(*(request_(number) for number in range(20)))

    with opened("psycopg", "loop", request, engine=engine, timeout=5.0) as case:
        case.loop.run_until_complete(crowd())

        assert len(case.names()) == 20


def test_nested_async_overrides_on_a_sync_engine_finish_too(request: pytest.FixtureRequest) -> None:
    engine = user_engine("psycopg", request, pool_size=2, max_overflow=0)

    async def override(number: int) -> None:
        unit = case.store.unit(nested=True)
        await unit.arun(case.add(f"row{number}"))
        await case.store.aonce(case.count)
        await unit.arun(case.count, write=False)
        await unit.aclose(commit=True)

    async def crowd() -> None:
        await asyncio.gather(*(case.store.enter_async(override(number), nested=True) for number in range(20)))

    with opened("psycopg", "loop", request, engine=engine, timeout=5.0) as case:
        case.loop.run_until_complete(crowd())

        assert len(case.names()) == 20


def test_nested_units_of_threads_finish_too(request: pytest.FixtureRequest) -> None:
    engine = user_engine("psycopg", request, pool_size=2, max_overflow=1)

    def request_(number: int) -> None:
        unit = case.store.unit(nested=True)
        unit.run(case.add(f"row{number}"))
        with get_sync_session(engine) as session:  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            session.execute(text("SELECT 1"))
        unit.close(commit=True)

    with opened("psycopg", "thread", request, engine=engine, timeout=5.0) as case:
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(request_, range(24)))

        assert len(case.names()) == 24


@pytest.mark.parametrize("kind", ["sqlite-file", "psycopg", "psycopg2", "sqlite-memory"])
@pytest.mark.parametrize("whose", ["made", "given"])
def test_a_session_commits_or_rolls_back(kind: str, whose: str, request: pytest.FixtureRequest) -> None:
    options = {"engine": user_engine(kind, request)} if whose == "given" else {}
    with opened(kind, "thread", request, **options) as case:
        assert isinstance(case.store.engine, Engine)
        with get_sync_session(case.store.engine) as session:
            session.execute(text(f"INSERT INTO {case.table.name}(name) VALUES ('one')"))
        with contextlib.suppress(LookupError), get_sync_session(case.store.engine) as session:
            session.execute(text(f"INSERT INTO {case.table.name}(name) VALUES ('two')"))
            raise LookupError

        assert case.names() == ["one"]


@pytest.mark.parametrize("kind", ASYNC)
@pytest.mark.parametrize("whose", ["made", "given"])
def test_an_async_session_commits_or_rolls_back(kind: str, whose: str, request: pytest.FixtureRequest) -> None:
    async def sessions() -> None:
        assert isinstance(case.store.engine, AsyncEngine)
        async with get_async_session(case.store.engine) as session:
            await session.execute(text(f"INSERT INTO {case.table.name}(name) VALUES ('one')"))
        with contextlib.suppress(LookupError):
            async with get_async_session(case.store.engine) as session:
                await session.execute(text(f"INSERT INTO {case.table.name}(name) VALUES ('two')"))
                raise LookupError

    options = {"engine": user_engine(kind, request)} if whose == "given" else {}
    with opened(kind, "loop", request, **options) as case:
        case.loop.run_until_complete(sessions())

        assert case.names() == ["one"]


@every_engine
def test_ping_answers(kind: str, request: pytest.FixtureRequest) -> None:
    with opened(kind, "loop", request) as case:
        case.wait(case.store.ping)


def test_dispose_leaves_a_user_s_engine_alone(request: pytest.FixtureRequest) -> None:
    engine = user_engine("sqlite-file", request)
    with opened("sqlite-file", "thread", request, engine=engine) as case:
        case.do(case.count)
        pool = engine.pool
        case.store.dispose_sync()

        assert engine.pool is pool
