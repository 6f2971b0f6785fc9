"""The documentation's own code, run as it is written; what it presupposes stands beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from starlette.requests import Request
from starlette.testclient import TestClient

from lightapi import Authentication, BaseAuthentication, LightApi
from tests.support.endpoints import CLEAN_CODE, Book
from tests.support.hosts import Api
from tests.support.snippets import Run, run

__all__ = ["run"]

ROOT = Path(__file__).parents[1]
both_engines = pytest.mark.engines("sqlite-sync", "sqlite-async")


def _wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 5
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return value


QUICK_START = """\
from sqlalchemy import create_engine
from lightapi import LightApi, RestEndpoint, Field

class BookEndpoint(RestEndpoint):
    title: str = Field(min_length=1)
    author: str = Field(min_length=1)

engine = create_engine("sqlite:///books.db")
app = LightApi(engine=engine)
app.register({"/books": BookEndpoint})

if __name__ == "__main__":
    app.run()
"""


def test_quick_start_and_its_curl_lines(run: Run) -> None:
    client = TestClient(run(QUICK_START).app.build_app())
    headers = {"Content-Type": "application/json"}

    def curl(verb: str, path: str, data: str) -> Any:
        return client.request(verb, path, headers=headers, content=data.encode())

    created = curl("POST", "/books", '{"title": "Clean Code", "author": "Robert Martin"}')
    updated = curl(
        "PUT",
        "/books/1",
        '{"title": "Clean Code (2nd Ed)", "author": "Robert Martin", "version": 1}',
    )
    stale = curl("PUT", "/books/1", '{"title": "Clash", "author": "X", "version": 1}')

    assert created.status_code == 201
    expected = {"id": 1, "title": "Clean Code", "author": "Robert Martin", "version": 1}
    assert created.json() | expected == created.json()
    assert updated.status_code == 200
    assert updated.json() | {"id": 1, "version": 2} == updated.json()
    assert (stale.status_code, stale.json()) == (409, {"detail": "version conflict"})
    assert client.get("/books").json() == {"results": [updated.json()]}
    assert client.delete("/books/1").status_code == 204


PRODUCT = """\
from lightapi import RestEndpoint, Field
from typing import Optional
from decimal import Decimal

class ProductEndpoint(RestEndpoint):
    name: str = Field(min_length=1, max_length=200)
    price: Decimal = Field(ge=0, decimal_places=2)
    category: str = Field(min_length=1)
    description: Optional[str] = None        # nullable column, no constraint
    in_stock: bool = Field(default=True)
"""


@pytest.mark.hosts("asgi")
def test_fields_from_annotations(run: Run, api: Api) -> None:
    client = api({"/products": run(PRODUCT).ProductEndpoint})

    made = client.post("/products", json={"name": "n", "price": "1.5", "category": "c"})
    wrong = client.post("/products", json={"name": "n" * 201, "price": -1, "category": ""})

    assert made.status_code == 201
    assert made.json() | {"price": "1.50", "description": None, "in_stock": True} == made.json()
    assert [each["loc"] for each in wrong.json()["detail"]] == [["name"], ["price"], ["category"]]


@pytest.mark.hosts("asgi")
@both_engines
def test_optimistic_locking_curl_lines(run: Run, api: Api) -> None:
    client = api({"/products": run(PRODUCT).ProductEndpoint})
    client.post("/products", json={"name": "Widget", "price": 1, "category": "c"})
    for version in (1, 2):
        client.patch("/products/1", json={"version": version})

    fetched = client.get("/products/1").json()
    updated = client.patch("/products/1", json={"name": "Super Widget", "version": 3})
    stale = client.patch("/products/1", json={"name": "Other Widget", "version": 3})

    assert (fetched["name"], fetched["version"]) == ("Widget", 3)
    assert (updated.status_code, updated.json()["version"]) == (200, 4)
    assert (stale.status_code, stale.json()) == (409, {"detail": "version conflict"})


METHODS = '''\
from lightapi import RestEndpoint, HttpMethod, Field

class ReadOnlyEndpoint(RestEndpoint, HttpMethod.GET):
    """Only GET /items and GET /items/{id} are registered."""
    name: str = Field(min_length=1)

class CreateOnlyEndpoint(RestEndpoint, HttpMethod.POST):
    """Only POST /items is registered."""
    name: str = Field(min_length=1)

class StandardEndpoint(RestEndpoint, HttpMethod.GET, HttpMethod.POST,
                       HttpMethod.PUT, HttpMethod.PATCH, HttpMethod.DELETE):
    """Explicit full CRUD — same as the default with no mixins."""
    name: str = Field(min_length=1)
'''


@both_engines
def test_http_methods(run: Run, api: Api) -> None:
    module = run(METHODS)
    client = api(
        {
            "/read": module.ReadOnlyEndpoint,
            "/create": module.CreateOnlyEndpoint,
            "/standard": module.StandardEndpoint,
        }
    )

    assert client.get("/read").status_code == 200
    assert client.post("/read", json={"name": "n"}).headers["allow"] == "GET, HEAD, OPTIONS"
    assert client.post("/create", json={"name": "n"}).status_code == 201
    assert client.get("/create").status_code == 405
    assert client.get("/create/1").status_code == 404
    assert client.post("/standard", json={"name": "n"}).status_code == 201
    assert client.delete("/standard/1").status_code == 204


PUBLISHED = """\
from sqlalchemy import select
from starlette.requests import Request
from lightapi import RestEndpoint, Field

class PublishedArticleEndpoint(RestEndpoint):
    title: str = Field(min_length=1)
    published: bool = Field()

    def queryset(self, request: Request):
        cls = type(self)
        return select(cls._model_class).where(cls._model_class.published == True)
"""


@both_engines
def test_custom_queryset(run: Run, api: Api) -> None:
    client = api({"/publishedarticles": run(PUBLISHED).PublishedArticleEndpoint})
    for published in (False, True):
        client.post("/publishedarticles", json={"title": "t", "published": published})

    assert [row["id"] for row in client.get("/publishedarticles").json()["results"]] == [2]
    assert client.get("/publishedarticles/1").json()["published"] is False


RATE_LIMIT = """\
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from lightapi import LightApi, RestEndpoint, Field
from lightapi.core import Middleware

class RateLimitMiddleware(Middleware):
    def process(self, request: Request, response: Response | None) -> Response | None:
        if response is None:  # pre-processing
            if request.headers.get("X-Rate-Limit-Exceeded"):
                return JSONResponse({"detail": "rate limit exceeded"}, status_code=429)
        return response  # post-processing: passthrough

class MyEndpoint(RestEndpoint):
    name: str = Field(min_length=1)

app = LightApi(engine=engine, middlewares=[RateLimitMiddleware])
app.register({"/items": MyEndpoint})
"""


@both_engines
def test_middleware(run: Run, make_engine: Callable[[], Any], serve: Any) -> None:
    client = serve(run(RATE_LIMIT, engine=make_engine()).app)

    refused = client.get("/items", headers={"X-Rate-Limit-Exceeded": "1"})
    assert (refused.status_code, refused.json()) == (429, {"detail": "rate limit exceeded"})
    assert client.get("/items").json() == {"results": []}


ENGINES = """\
# sync — existing code, no changes required
from sqlalchemy import create_engine
engine = create_engine("postgresql://user:pass@localhost/db")
sync_engine = engine

# async — one-line swap
from sqlalchemy.ext.asyncio import create_async_engine
engine = create_async_engine("postgresql+asyncpg://user:pass@localhost/db")
"""


def test_the_one_line_swap(run: Run) -> None:
    module = run(ENGINES)

    assert isinstance(module.sync_engine, Engine)
    assert isinstance(module.engine, AsyncEngine)
    LightApi(engine=module.sync_engine, mode="sync")
    LightApi(engine=module.engine, mode="async")


ORDER_QUERYSET = """\
from sqlalchemy import select
from starlette.requests import Request
from lightapi import RestEndpoint, Field

class OrderEndpoint(RestEndpoint):
    amount: float = Field(ge=0)
    status: str = Field(default="pending")

    async def queryset(self, request: Request):
        # e.g. scope to authenticated user
        user_id = request.state.user["sub"]
        return (
            select(type(self)._model_class)
            .where(type(self)._model_class.owner_id == user_id)
        )
"""


class Header(BaseAuthentication):
    """Sets the user that the snippet presupposes."""

    def authenticate(self, request: Request) -> bool:
        request.state.user = {"sub": request.headers["x-user"]}
        return True


def test_async_queryset(run: Run, api: Api) -> None:
    base = run(ORDER_QUERYSET).OrderEndpoint
    meta = type("Meta", (), {"authentication": Authentication(backend=Header)})
    body = {"__annotations__": {"owner_id": str}, "Meta": meta}
    client = api({"/orders": type("OwnedOrder", (base,), body)})
    for owner in ("ann", "bob"):
        client.post("/orders", json={"amount": 1, "owner_id": owner}, headers={"X-User": owner})

    rows = client.get("/orders", headers={"X-User": "bob"}).json()["results"]

    assert [(row["owner_id"], row["status"]) for row in rows] == [("bob", "pending")]


METHOD_OVERRIDES = """\
from starlette.requests import Request
from lightapi import RestEndpoint, Field

class ProductEndpoint(RestEndpoint):
    name: str = Field(min_length=1)
    price: float = Field(ge=0)

    async def post(self, request: Request):
        import json
        data = json.loads(await request.body())
        # custom pre-processing ...
        return await self._create_async(data)

    async def get(self, request: Request):
        # custom query, external call, etc.
        return await self._list_async(request)
"""


def test_async_method_overrides(run: Run, api: Api) -> None:
    client = api({"/products": run(METHOD_OVERRIDES).ProductEndpoint})

    made = client.post("/products", json={"name": "n", "price": 2})

    assert (made.status_code, made.json()["price"]) == (201, 2.0)
    assert client.get("/products").json() == {"results": [made.json()]}
    assert client.post("/products", json={"name": "n", "price": -2}).status_code == 422


BACKGROUND = """\
from starlette.requests import Request
from lightapi import RestEndpoint, Field

async def notify(order_id: int) -> None:
    # send email, write audit log, push notification …
    ...

class OrderEndpoint(RestEndpoint):
    amount: float = Field(ge=0)

    async def post(self, request: Request):
        import json
        resp = await self._create_async(json.loads(await request.body()))
        if resp.status_code == 201:
            import json as _json
            self.background(notify, _json.loads(resp.body)["id"])
        return resp
"""


def test_background_tasks(run: Run, api: Api) -> None:
    module = run(BACKGROUND)
    notified: list[int] = []

    async def notify(order_id: int) -> None:
        notified.append(order_id)

    client = api({"/orders": module.OrderEndpoint})
    assert client.post("/orders", json={"amount": 1}).status_code == 201
    vars(module)["notify"] = notify
    made = client.post("/orders", json={"amount": 2})
    refused = client.post("/orders", json={"amount": -1})

    assert (made.status_code, refused.status_code) == (201, 422)
    assert _wait_for(lambda: notified) == [2]


ASYNC_MIDDLEWARE = """\
from lightapi import LightApi
from lightapi.core import Middleware
from starlette.requests import Request
from starlette.responses import Response

class AsyncAuditMiddleware(Middleware):
    async def process(self, request: Request, response: Response | None) -> None:
        if response is None:
            await write_audit_log(request)  # async I/O
        return None

class SyncHeaderMiddleware(Middleware):
    def process(self, request: Request, response: Response | None) -> None:
        if response is not None:
            response.headers["X-Served-By"] = "lightapi"
        return None

app = LightApi(engine=engine, middlewares=[AsyncAuditMiddleware, SyncHeaderMiddleware])
"""


@both_engines
def test_async_middleware(run: Run, make_engine: Callable[[], Any], serve: Any) -> None:
    audited: list[str] = []

    async def write_audit_log(request: Request) -> None:
        audited.append(request.url.path)

    app = run(ASYNC_MIDDLEWARE, engine=make_engine(), write_audit_log=write_audit_log).app
    app.register({"/books": Book})
    response = serve(app).get("/books")

    assert (response.status_code, response.headers["x-served-by"]) == (200, "lightapi")
    assert audited == ["/books"]


TAG = """\
from sqlalchemy import select
from starlette.requests import Request
from lightapi import RestEndpoint, Field

class TagEndpoint(RestEndpoint):
    label: str = Field(min_length=1)

    def queryset(self, request: Request):  # sync — still works
        return select(type(self)._model_class)
"""


def test_sync_endpoints_on_any_engine(run: Run, api: Api) -> None:
    client = api({"/tags": run(TAG).TagEndpoint})

    made = client.post("/tags", json={"label": "l"})

    assert client.get("/tags").json() == {"results": [made.json()]}


SESSIONS = """\
from sqlalchemy import select
from lightapi import get_sync_session, get_async_session

# Sync
with get_sync_session(engine) as session:
    rows = session.execute(select(MyModel)).scalars().all()
sync_rows = rows

# Async
async with get_async_session(async_engine) as session:
    rows = (await session.execute(select(MyModel))).scalars().all()
"""


async def test_session_helpers(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    engine, async_engine = (
        create_engine(f"sqlite:///{path}"),
        create_async_engine(f"sqlite+aiosqlite:///{path}"),
    )
    app = LightApi(engine=engine)
    app.register({"/books": Book})
    TestClient(app.build_app()).post("/books", json=CLEAN_CODE)

    module = await run.awaiting(SESSIONS, engine=engine, async_engine=async_engine, MyModel=Book)

    assert [row.title for row in module.sync_rows] == ["Clean Code"]
    assert [row.title for row in module.rows] == ["Clean Code"]
    await async_engine.dispose()


ASYNC_TESTING = """\
import pytest
import pytest_asyncio
from httpx import ASGITransport, AsyncClient
from sqlalchemy.ext.asyncio import create_async_engine
from lightapi import LightApi, RestEndpoint
from lightapi.auth import AllowAny
from lightapi.config import Authentication
from pydantic import Field

@pytest_asyncio.fixture
async def client():
    engine = create_async_engine("sqlite+aiosqlite:///:memory:")

    class Widget(RestEndpoint):
        name: str = Field(min_length=1)
        class Meta:
            authentication = Authentication(permission=AllowAny)

    app = LightApi(engine=engine)
    app.register({"/widgets": Widget})
    async with AsyncClient(
        transport=ASGITransport(app=app.build_app()), base_url="http://test"
    ) as c:
        yield c

async def test_create_widget(client):
    r = await client.post("/widgets", json={"name": "bolt"})
    assert r.status_code == 201
    assert r.json()["name"] == "bolt"
"""


def test_testing_an_async_app(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    (tmp_path / "test_widgets.py").write_text(ASYNC_TESTING)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_widgets.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


SYNC_TESTING = """\
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool
from starlette.testclient import TestClient
from lightapi import LightApi, RestEndpoint, Field

class ItemEndpoint(RestEndpoint):
    name: str = Field(min_length=1)

engine = create_engine(
    "sqlite:///:memory:",
    connect_args={"check_same_thread": False},
    poolclass=StaticPool,
)
app_instance = LightApi(engine=engine)
app_instance.register({"/items": ItemEndpoint})
client = TestClient(app_instance.build_app())
"""


def test_testing_a_sync_app(run: Run) -> None:
    client = run(SYNC_TESTING).client

    made = client.post("/items", json={"name": "bolt"})

    assert (made.status_code, made.json()["name"]) == (201, "bolt")
    assert client.get("/items").json() == {"results": [made.json()]}
