"""Run one application on every host and every engine behind one synchronous client.

A test that asks for ``api`` runs on all twelve pairs; ``@pytest.mark.hosts(...)`` and
``@pytest.mark.engines(...)`` narrow it to those its law depends on, and the environment
variables LIGHTAPI_TEST_ENGINES and LIGHTAPI_TEST_HOSTS (comma lists) narrow a whole run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx
import pytest
from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from lightapi import LightApi
from tests.support.transports import AsgiTransport, WsgiTransport

HOSTS = ("asgi", "wsgi-direct", "wsgi-a2wsgi")
ENGINES = ("sqlite-sync", "sqlite-async", "postgres-sync", "postgres-async")
NONE = "none left"
DRIVERS = {
    "sqlite-sync": "sqlite",
    "sqlite-async": "sqlite+aiosqlite",
    "postgres-sync": "postgresql+psycopg",
    "postgres-async": "postgresql+asyncpg",
}
Result = TypeVar("Result")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers that narrow the matrix."""
    config.addinivalue_line("markers", "hosts(*names): run on these hosts only")
    config.addinivalue_line("markers", "engines(*names): run on these engines only")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise ``host`` and ``engine_kind`` over what the markers and the environment leave."""
    if "host" in metafunc.fixturenames:
        metafunc.parametrize("host", _left(metafunc, "hosts", HOSTS))
    if "engine_kind" in metafunc.fixturenames:
        metafunc.parametrize("engine_kind", _left(metafunc, "engines", ENGINES))


def _left(metafunc: pytest.Metafunc, marker: str, names: Sequence[str]) -> list[str]:
    """Return the hosts or engines that the environment leaves of those that the test is marked with."""
    variable = f"LIGHTAPI_TEST_{marker.upper()}"
    wanted = os.environ.get(variable)
    kinds = tuple(kind.strip() for kind in wanted.split(",")) if wanted else names
    if unknown := set(kinds) - set(names):
        message = f"{variable} names {sorted(unknown)}; allowed: {names}"
        raise pytest.UsageError(message)
    return [kind for kind in _narrowed(metafunc, marker, names) if kind in kinds] or [NONE]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests whose hosts or engines the environment leaves out."""
    chosen: dict[bool, list[pytest.Item]] = {True: [], False: []}
    for item in items:
        callspec = getattr(item, "callspec", None)
        parameters = callspec.params if callspec is not None else {}
        chosen[NONE not in (parameters.get("host"), parameters.get("engine_kind"))].append(item)
    if chosen[False]:
        config.hook.pytest_deselected(items=chosen[False])
        items[:] = chosen[True]


def _narrowed(metafunc: pytest.Metafunc, marker: str, names: Sequence[str]) -> list[str]:
    closest = metafunc.definition.get_closest_marker(marker)
    return [name for name in names if closest is None or name in closest.args]


class LoopThread:
    """An event loop running in a thread of its own, as a server's would."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result], timeout: float = 390) -> Result:
        """Wait in this thread for work done on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def close(self) -> None:
        """Stop the loop and join its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@pytest.fixture(scope="session")
def loop_thread() -> Iterator[LoopThread]:
    """Give the loop on which every ASGI application of this process is served."""
    thread = LoopThread()
    yield thread
    thread.close()


Step = httpx.Request | float
Script = Callable[[], Generator[Step, httpx.Response | None, None]]


def _next(steps: Generator[Step, httpx.Response | None, None], answer: httpx.Response | None) -> Step | None:
    try:
        return steps.send(answer)
    except StopIteration:
        return None


class Client(httpx.Client):
    """A synchronous client of one running application."""

    def __init__(self, app: LightApi, transport: httpx.BaseTransport, engine: Any) -> None:
        super().__init__(transport=transport, base_url="http://testserver", timeout=60)
        self.app = app
        self.engine = engine

    def play(self, script: Script, times: int) -> None:
        """Play the script as many times at once: as tasks on an ASGI loop, as threads under WSGI."""
        transport = self._transport
        if isinstance(transport, AsgiTransport):
            transport.run(self._play_tasks(transport, script, times))
        else:
            self.together([partial(self._play_thread, script)] * times)

    async def _play_tasks(self, transport: AsgiTransport, script: Script, times: int) -> None:
        async def task() -> None:
            steps = script()
            step = next(steps, None)
            while step is not None:
                if isinstance(step, httpx.Request):
                    step = _next(steps, await transport.answer(step, step.read()))
                else:
                    await asyncio.sleep(step)
                    step = _next(steps, None)

        await asyncio.gather(*(task() for _ in range(times)))

    def _play_thread(self, script: Script) -> None:
        steps = script()
        step = next(steps, None)
        while step is not None:
            if isinstance(step, httpx.Request):
                step = _next(steps, self.send(step))
            else:
                time.sleep(step)
                step = _next(steps, None)

    def together(self, calls: Sequence[Callable[[], Result]]) -> list[Result]:
        """Run the calls at the same time, each in a thread of its own."""
        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(lambda call: call(), calls))


class Api(Protocol):
    """The ``api`` fixture: register the mapping, serve it, and return a client."""

    def __call__(
        self,
        mapping: Mapping[str, type[Any]],
        prepare: Callable[[LightApi], object] | None = None,
        **options: Any,
    ) -> Client: ...


class Database:
    """The empty database of one test: makes engines for it and empties it again."""

    def __init__(self, kind: str, url: str, loop_thread: LoopThread) -> None:
        self.kind = kind
        self.url = make_url(url).set(drivername=DRIVERS[kind])
        self._loop_thread = loop_thread
        self._engines: list[Engine | AsyncEngine] = []

    def make_engine(self, **options: Any) -> Engine | AsyncEngine:
        """Make a fresh engine of this kind on the test's database."""
        make: Callable[..., Engine | AsyncEngine] = (
            create_async_engine if self.kind.endswith("-async") else create_engine
        )
        engine = make(self.url, **options)
        if self.kind == "sqlite-sync":
            event.listen(engine, "connect", _trust_the_system)
        elif self.kind == "sqlite-async":
            assert isinstance(engine, AsyncEngine)
            event.listen(engine.sync_engine, "connect", _trust_the_system)
        self._engines.append(engine)
        return engine

    def admin_engine(self) -> Engine:
        """Make a synchronous engine on the same database, for a test's own statements."""
        driver = DRIVERS[self.kind.replace("-async", "-sync")]
        engine = create_engine(self.url.set(drivername=driver))
        self._engines.append(engine)
        return engine

    def close(self) -> None:
        """Drop every table and close every engine; a leaked transaction fails the drop."""
        for engine in self._engines:
            self._dispose(engine)
        if self.kind.startswith("postgres"):
            self._empty_postgres()

    def _empty_postgres(self) -> None:
        admin = create_engine(self.url.set(drivername="postgresql+psycopg"))
        with admin.begin() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '5s'"))
            tables = connection.scalars(
                text("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
            ).all()
            if tables:
                connection.execute(text(f"DROP TABLE {', '.join(tables)} CASCADE"))
        admin.dispose()

    def _dispose(self, engine: Engine | AsyncEngine) -> None:
        if isinstance(engine, Engine):
            engine.dispose()
        else:
            self._loop_thread.run(engine.dispose())


def _trust_the_system(connection: Any, _record: object) -> None:
    """Leave out the flush to disk: a test's database need not survive a power cut."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=OFF")
    cursor.close()


@pytest.fixture
def database(
    engine_kind: str, tmp_path: Path, request: pytest.FixtureRequest, loop_thread: LoopThread
) -> Iterator[Database]:
    """Give the test's database of the engine kind at hand."""
    if engine_kind.startswith("sqlite"):
        url = f"sqlite:///{tmp_path / 'test.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    made = Database(engine_kind, url, loop_thread)
    yield made
    made.close()


@pytest.fixture
def make_engine(database: Database) -> Callable[..., Engine | AsyncEngine]:
    """Give a maker of fresh engines of the kind at hand, all on the test's database."""
    return database.make_engine


@pytest.fixture
def serve(host: str, loop_thread: LoopThread) -> Iterator[Callable[[LightApi, Engine | AsyncEngine | None], Client]]:
    """Give a function that serves an application on the host at hand."""
    with contextlib.ExitStack() as stack:

        def start(app: LightApi, engine: Engine | AsyncEngine | None = None) -> Client:
            stack.callback(close_bridge, app)
            stack.callback(close_redis, app, loop_thread)
            transport = _transport_of(app, host, loop_thread)
            return stack.enter_context(Client(app, transport, engine))

        yield start


def close_redis(app: LightApi, loop_thread: LoopThread) -> None:
    """Close an application's connections to Redis, on the loops that opened them."""
    link = None if app._service is None else app._service.link
    if link is not None:
        loop_thread.run(link.close())
        if app._bridge is not None and app._bridge._thread is not None:
            app._bridge.run(link.close())


def close_bridge(app: LightApi) -> None:
    """End what an application started for WSGI: its connections on its loop, then the loop."""
    if app._bridge is not None:
        if isinstance(app.engine, AsyncEngine):
            app._bridge.run(app.engine.dispose())
        app._bridge.close()


def _transport_of(app: LightApi, host: str, loop_thread: LoopThread) -> httpx.BaseTransport:
    if host == "asgi":
        return AsgiTransport(app.build_app(), loop_thread.run)
    with warnings.catch_warnings():
        # that a synchronous engine is faster here is a test of its own
        warnings.filterwarnings("ignore", message="(?s).*sync", category=RuntimeWarning)
        return WsgiTransport(app.build_wsgi_app(direct=host == "wsgi-direct"))


@pytest.fixture
def api(database: Database, serve: Callable[[LightApi, Engine | AsyncEngine | None], Client]) -> Api:
    """Give a function that registers endpoints, serves them and returns a client.

    ``prepare`` receives the application after registration and before it is served.
    """

    def start(
        mapping: Mapping[str, type[Any]],
        prepare: Callable[[LightApi], object] | None = None,
        **options: Any,
    ) -> Client:
        engine = options.pop("engine", None) or database.make_engine()
        app = LightApi(engine=engine, **options)
        app.register(dict(mapping))
        if prepare is not None:
            prepare(app)
        return serve(app, engine)

    return start
