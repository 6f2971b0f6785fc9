"""How many statements a request sends, counted by the database: BEGIN, COMMIT and everything else included."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import httpx
import pytest
from sqlalchemy import create_engine, event, make_url, select
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import aliased
from starlette.requests import Request

from lightapi import (
    Authentication,
    BaseAuthentication,
    Field,
    HttpMethod,
    IsAdminUser,
    LightApi,
    RestEndpoint,
)
from tests.support.hosts import Client, LoopThread
from tests.support.transports import AsgiTransport, WsgiTransport

SYNC = ["sqlite", "psycopg", "psycopg2"]
ASYNC = ["aiosqlite", "asyncpg"]
OWNERS = ["ours", "users"]
LANES = [(driver, owner, host) for driver in SYNC for owner in OWNERS for host in ("asgi", "wsgi-direct")]
LANES += [(driver, owner, "asgi") for driver in ASYNC for owner in OWNERS]


class Book(RestEndpoint):
    """Nothing of its own."""

    title: str = Field(min_length=1, unique=True)
    pages: int = 0


class Overridden(RestEndpoint):
    """Every action overridden, each doing what its base does."""

    title: str = Field(min_length=1)

    def list(self, request: Request) -> Any:
        return super().list(request)

    def retrieve(self, request: Request, pk: Any) -> Any:
        return super().retrieve(request, pk)

    def create(self, data: Any) -> Any:
        return super().create(data)


class AsyncOverridden(RestEndpoint):
    """The same, waiting."""

    title: str = Field(min_length=1)

    async def list(self, request: Request) -> Any:
        return await super().list(request)

    async def retrieve(self, request: Request, pk: Any) -> Any:
        return await super().retrieve(request, pk)

    async def create(self, data: Any) -> Any:
        return await super().create(data)


class Scoped(RestEndpoint):
    """A queryset of plain columns that limits everything."""

    title: str = Field(min_length=1)

    def queryset(self, request: Request) -> Any:
        return select(Scoped).where(Scoped._model_class.title != "hidden")

    class Meta:
        queryset_scope = "all"


class Aliased(RestEndpoint):
    """A queryset that takes the way through a Session."""

    title: str = Field(min_length=1)

    def queryset(self, request: Request) -> Any:
        return select(aliased(Aliased))


class ReadOnly(RestEndpoint, HttpMethod.GET):
    """One verb."""

    title: str = "t"


class Refusing(BaseAuthentication):
    def authenticate(self, request: Request) -> bool:
        return False


class Closed(RestEndpoint):
    """Nobody is anybody here."""

    title: str = "t"

    class Meta:
        authentication = Authentication(backend=Refusing)


class Forbidden(RestEndpoint):
    """Nobody is an administrator here."""

    title: str = "t"

    class Meta:
        authentication = Authentication(permission=IsAdminUser)


MAPPING: dict[str, type[RestEndpoint]] = {
    "/books": Book,
    "/overridden": Overridden,
    "/async": AsyncOverridden,
    "/scoped": Scoped,
    "/aliased": Aliased,
    "/readonly": ReadOnly,
    "/closed": Closed,
    "/forbidden": Forbidden,
}


class Case(NamedTuple):
    """A request about a row just made, if its path names one, and what it costs."""

    statements: int
    status: int
    method: str
    path: str
    body: dict[str, Any] | None = None
    headers: dict[str, str] | None = None


class Lane:
    """An application that has served before, on one host and one engine, and the ear at its database."""

    def __init__(self, client: Client, listen: Callable[[], AbstractContextManager[list[str]]]) -> None:
        self.client = client
        self.listen = listen
        self._titles = itertools.count()
        self.taken: str = self.made("/books")["title"]

    def title(self) -> str:
        """Return a title that no row has."""
        return f"title {next(self._titles)}"

    def made(self, path: str) -> dict[str, Any]:
        """Make a row."""
        response = self.client.post(path, json={"title": self.title()})
        assert response.status_code == 201, response.text
        row: dict[str, Any] = response.json()
        return row

    def filled(self, case: Case) -> dict[str, Any]:
        """Return the case's request, with the row and the titles that it speaks of."""
        collection = case.path.removesuffix("/{id}")
        row = self.made(collection) if "{id}" in case.path else {}
        body = case.body
        if body is not None and "title" in body:
            body = {**body, "title": body["title"].format(new=self.title(), taken=self.taken)}
        return {"method": case.method, "url": case.path.format(**row), "json": body, "headers": case.headers}

    def counted(self, **request: Any) -> tuple[httpx.Response, list[str]]:
        """Send one request and return the answer and the statements it took."""
        with self.listen() as seen:
            response = self.client.request(**request)
        return response, seen


@pytest.fixture(scope="module", params=LANES, ids="-".join)
def lane(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, loop_thread: LoopThread
) -> Iterator[Lane]:
    driver, owner, host = request.param
    if driver in ("sqlite", "aiosqlite"):
        prefix = "sqlite" if driver == "sqlite" else "sqlite+aiosqlite"
        url = f"{prefix}:///{tmp_path_factory.mktemp('statements') / 'test.db'}"
    else:
        url = f"postgresql+{driver}" + request.getfixturevalue("postgres_url").removeprefix("postgresql")
    app = LightApi(database_url=url) if owner == "ours" else LightApi(engine=_engine(url))
    app.register(MAPPING)
    transport: httpx.BaseTransport
    listen = _tracer(app) if "sqlite" in driver else request.getfixturevalue("postgres_log").statements
    if host == "asgi":
        transport = AsgiTransport(app.build_app(), loop_thread.run)
    else:
        transport = WsgiTransport(app.build_wsgi_app())
    with Client(app, transport, app.engine) as client:
        for path in MAPPING:
            client.get(path)
        yield Lane(client, listen)
    if driver in ASYNC:
        loop_thread.run(app.engine.dispose())
    else:
        app.engine.dispose()
    if "sqlite" not in driver:
        _drop(app, url)


def _engine(url: str) -> Any:
    """Make an engine as a user does."""
    return create_async_engine(url) if make_url(url).get_dialect().is_async else create_engine(url)


def _tracer(app: LightApi) -> Callable[[], AbstractContextManager[list[str]]]:
    """Have SQLite report every statement of every connection.

    Left out is what SQLAlchemy says to give a user's connection its isolation level back: a flag inside the process.
    """
    everything: list[str] = []

    def trace(connection: Any, _record: object) -> None:
        if hasattr(connection, "run_async"):
            connection.run_async(lambda driver: driver.set_trace_callback(everything.append))
        else:
            connection.set_trace_callback(everything.append)

    event.listen(getattr(app.engine, "sync_engine", app.engine), "connect", trace)

    @contextlib.contextmanager
    def listen() -> Iterator[list[str]]:
        begun = len(everything)
        seen: list[str] = []
        yield seen
        seen.extend(said for said in everything[begun:] if not said.startswith("PRAGMA read_uncommitted"))

    return listen


def _drop(app: LightApi, url: str) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    app.metadata.drop_all(engine)
    engine.dispose()


CASES = {
    "list": Case(1, 200, "GET", "/books"),
    "retrieve": Case(1, 200, "GET", "/books/{id}"),
    "head": Case(1, 200, "HEAD", "/books/{id}"),
    "create": Case(1, 201, "POST", "/books", {"title": "{new}"}),
    "put": Case(1, 200, "PUT", "/books/{id}", {"title": "{new}", "version": 1}),
    "patch": Case(1, 200, "PATCH", "/books/{id}", {"title": "{new}", "version": 1}),
    "patch nothing": Case(1, 200, "PATCH", "/books/{id}", {"version": 1}),
    "delete": Case(1, 204, "DELETE", "/books/{id}"),
    "stale put": Case(2, 409, "PUT", "/books/{id}", {"title": "{new}", "version": 7}),
    "stale patch": Case(2, 409, "PATCH", "/books/{id}", {"version": 7}),
    "patch of no row": Case(2, 404, "PATCH", "/books/999999", {"version": 1}),
    "no row": Case(1, 404, "GET", "/books/999999"),
    "delete of no row": Case(1, 404, "DELETE", "/books/999999"),
    "taken": Case(1, 409, "POST", "/books", {"title": "{taken}"}),
    "no id": Case(0, 404, "GET", "/books/x"),
    "no route": Case(0, 404, "GET", "/nothing"),
    "options": Case(0, 204, "OPTIONS", "/books"),
    "health": Case(0, 200, "GET", "/healthz"),
    "invalid post": Case(0, 422, "POST", "/books", {"title": ""}),
    "invalid put": Case(0, 422, "PUT", "/books/{id}", {"title": "{new}"}),
    "invalid patch": Case(0, 422, "PATCH", "/books/{id}", {"title": "", "version": 1}),
    "invalid body of an override": Case(0, 422, "POST", "/overridden", {"title": ""}),
    "no verb": Case(0, 405, "POST", "/readonly", {}),
    "unauthenticated": Case(0, 401, "GET", "/closed"),
    "forbidden": Case(0, 403, "GET", "/forbidden"),
    "media type": Case(0, 415, "POST", "/books", {"title": "{new}"}, {"Content-Type": "text/plain"}),
    "override of list": Case(1, 200, "GET", "/overridden"),
    "override of retrieve": Case(1, 200, "GET", "/overridden/{id}"),
    "async override of list": Case(1, 200, "GET", "/async"),
    "async override of retrieve": Case(1, 200, "GET", "/async/{id}"),
    "queryset": Case(1, 200, "GET", "/scoped"),
    "retrieve in a queryset": Case(1, 200, "GET", "/scoped/{id}"),
    "queryset of an alias": Case(1, 200, "GET", "/aliased"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_request_costs_so_many_statements(lane: Lane, case: Case) -> None:
    options = lane.filled(case)

    response, statements = lane.counted(**options)

    assert response.status_code == case.status, response.text
    assert len(statements) == case.statements, statements


@pytest.mark.parametrize("path", ["/overridden", "/async"])
def test_an_override_that_creates_one_row_is_one_transaction(lane: Lane, path: str) -> None:
    response, statements = lane.counted(method="POST", url=path, json={"title": lane.title()})

    assert response.status_code == 201
    assert [statement.split()[0].rstrip(";") for statement in statements] == ["BEGIN", "INSERT", "COMMIT"]
