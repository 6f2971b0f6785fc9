"""Making an application: what it needs, what may be registered, and what it then is."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from sqlalchemy import create_engine
from sqlalchemy import inspect as inspect_database
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool
from starlette.applications import Starlette
from starlette.middleware import Middleware as StarletteMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import lightapi
from lightapi import ConfigurationError, Field, LightApi, RestEndpoint
from tests.support.endpoints import CLEAN_CODE, Book
from tests.support.hosts import Api, Database

with warnings.catch_warnings():
    # WebOb imports a module that Python 3.11 deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    from webtest import TestApp


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture
def app(url: str) -> LightApi:
    app = LightApi(database_url=url)
    app.register({"/books": Book})
    return app


# where the database comes from


def test_without_a_database_all_three_ways_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIGHTAPI_DATABASE_URL", raising=False)

    with pytest.raises(ConfigurationError, match="No database configured: ") as caught:
        LightApi()

    for way in ("engine", "database_url", "LIGHTAPI_DATABASE_URL"):
        assert way in str(caught.value)


def test_the_environment_names_the_database(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("LIGHTAPI_DATABASE_URL", url)
    app = LightApi()
    app.register({"/books": Book})

    TestClient(app.build_app()).post("/books", json=CLEAN_CODE)

    assert "books" in inspect_database(create_engine(url)).get_table_names()


def test_an_engine_wins_over_a_url_and_a_url_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    urls = [f"sqlite:///{tmp_path / name}.db" for name in ("engine", "url", "environment")]
    monkeypatch.setenv("LIGHTAPI_DATABASE_URL", urls[2])
    engine = create_engine(urls[0])

    for app in (LightApi(engine=engine, database_url=urls[1]), LightApi(database_url=urls[1])):
        app.register({"/books": Book})
        app.build_app()

    made = [inspect_database(create_engine(url)).get_table_names() for url in urls]
    assert made == [["books"], ["books"], []]


@pytest.mark.parametrize(
    "given",
    [("/books", Book), (Book,), ([Book],), ({"/books": Book}, Book)],
    ids=["arguments", "class", "list", "both"],
)
def test_what_is_no_mapping_is_a_configuration_error(given: tuple[Any, ...]) -> None:
    app = LightApi(database_url="sqlite://")

    with pytest.raises(ConfigurationError, match=r'allowed: {"/path": EndpointClass, ...}') as raised:
        app.register(*given)

    assert str(raised.value).startswith(f"register({', '.join(map(repr, given))}): ")
    assert not [verb for verb in app.describe() if verb.endpoint]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_memory_database_url_is_one_database(url: str) -> None:
    app = LightApi(database_url=url)
    app.register({"/books": Book})

    client = TestClient(app.build_app())
    client.post("/books", json=CLEAN_CODE)

    assert len(client.get("/books").json()["results"]) == 1


def test_a_database_url_may_be_asynchronous(tmp_path: Path) -> None:
    app = LightApi(database_url=f"sqlite+aiosqlite:///{tmp_path / 'a.db'}")
    app.register({"/books": Book})

    with TestClient(app.build_app()) as client:
        assert client.post("/books", json=CLEAN_CODE).status_code == 201


@pytest.mark.parametrize(
    ("url", "named"), [("nonsense", "database"), ("oracle+nothing://x", "nothing"), ("", "engine")]
)
def test_a_url_that_cannot_be_used_is_an_error(url: str, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIGHTAPI_DATABASE_URL", raising=False)

    with pytest.raises(ConfigurationError, match=named):
        LightApi(database_url=url)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_mode_asserts_the_kind_of_engine(kind: str) -> None:
    made: dict[str, Any] = {
        "sync": create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}),
        "async": create_async_engine("sqlite+aiosqlite://"),
    }
    other = "async" if kind == "sync" else "sync"

    LightApi(engine=made[kind], mode=kind)
    with pytest.raises(ConfigurationError, match=other):
        LightApi(engine=made[kind], mode=other)


def test_an_unknown_mode_is_an_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match="mode"):
        LightApi(database_url=url, mode="threads")


def test_a_thing_that_is_no_engine_is_an_error() -> None:
    wrong: Any = "sqlite://"

    with pytest.raises(ConfigurationError, match="engine"):
        LightApi(engine=wrong)


# tables


def test_build_app_creates_the_tables_of_a_sync_engine_at_once(app: LightApi, url: str) -> None:
    app.build_app()

    assert inspect_database(create_engine(url)).get_table_names() == ["books"]


def test_build_wsgi_app_creates_the_tables_of_a_sync_engine_at_once(app: LightApi, url: str) -> None:
    app.build_wsgi_app()

    assert inspect_database(create_engine(url)).get_table_names() == ["books"]


def test_create_tables_false_creates_nothing(url: str) -> None:
    app = LightApi(database_url=url, create_tables=False)
    app.register({"/books": Book})

    app.build_app()

    assert inspect_database(create_engine(url)).get_table_names() == []


def test_the_environment_may_turn_table_creation_off(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_CREATE_TABLES", "false")
    app = LightApi(database_url=url)
    app.register({"/books": Book})

    app.build_app()

    assert inspect_database(create_engine(url)).get_table_names() == []


def test_existing_tables_and_rows_are_kept(url: str) -> None:
    for expected in (1, 2):
        app = LightApi(database_url=url)
        app.register({"/books": Book})
        client = TestClient(app.build_app())
        client.post("/books", json=CLEAN_CODE)
        assert len(client.get("/books").json()["results"]) == expected


@pytest.mark.hosts("asgi")
def test_tables_appear_without_lifespan(database: Database, loop_thread: Any) -> None:
    app = LightApi(engine=database.make_engine())
    app.register({"/books": Book})
    served: Any = httpx.ASGITransport(app.build_app())

    async def get() -> int:
        async with httpx.AsyncClient(transport=served, base_url="http://t") as client:
            answers = await asyncio.gather(*(client.get("/books") for _ in range(10)))
        return max(answer.status_code for answer in answers)

    assert loop_thread.run(get()) == 200


@pytest.mark.filterwarnings("ignore")
def test_an_unreachable_database_warns_and_is_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    app = LightApi(engine=create_engine(f"sqlite:///{folder / 'test.db'}"))
    app.register({"/books": Book})

    with pytest.warns(RuntimeWarning):
        client = TestClient(app.build_app(), raise_server_exceptions=False)
    before = client.get("/books").status_code
    folder.mkdir()

    assert (before, client.get("/books").status_code) == (503, 200)


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync", "sqlite-async")
@pytest.mark.parametrize("enforced", [True, False])
def test_sqlite_enforces_foreign_keys_unless_told_otherwise(api: Api, enforced: bool) -> None:
    class Parent(RestEndpoint):
        name: str

    class Child(RestEndpoint):
        parent_id: int = Field(foreign_key="parents.id")

    client = api({"/p": Parent, "/c": Child}, sqlite_foreign_keys=enforced)

    assert client.post("/c", json={"parent_id": 9}).status_code == (409 if enforced else 201)


# register


def test_register_may_be_called_several_times(url: str) -> None:
    class Other(RestEndpoint):
        name: str

    app = LightApi(database_url=url)
    app.register({"/books": Book})
    app.register({"/others": Other})
    client = TestClient(app.build_app())

    assert [client.get(path).status_code for path in ("/books", "/others")] == [200, 200]


@pytest.mark.parametrize("build", ["build_app", "build_wsgi_app"])
def test_registering_after_build_is_an_error(app: LightApi, build: str) -> None:
    getattr(app, build)()

    with pytest.raises(ConfigurationError):
        app.register({"/more": Book})


@pytest.mark.parametrize("path", ["books", "", "/a b", "/a?b", "/{id}", "//a", "/a//b", 5])
def test_a_route_is_a_plain_path(url: str, path: Any) -> None:
    with pytest.raises(ConfigurationError, match="route"):
        LightApi(database_url=url).register({path: Book})


@pytest.mark.parametrize("again", ["/books", "/books/"])
def test_a_route_registered_twice_is_an_error(app: LightApi, again: str) -> None:
    class Other(RestEndpoint):
        name: str

    with pytest.raises(ConfigurationError, match="/books"):
        app.register({again: Other})


@pytest.mark.parametrize("wrong", [object, str, "Book", None, RestEndpoint])
def test_only_endpoint_classes_are_registered(url: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="/wrong"):
        LightApi(database_url=url).register({"/wrong": wrong})


def test_two_classes_with_one_table_are_an_error(app: LightApi) -> None:
    class Other(RestEndpoint):
        name: str

        class Meta:
            table = "books"

    with pytest.raises(ConfigurationError, match="books"):
        app.register({"/others": Other})


def test_nested_and_root_paths_are_routes(url: str) -> None:
    class Root(RestEndpoint):
        name: str

    app = LightApi(database_url=url)
    app.register({"/v1/library/books": Book, "/": Root})
    client = TestClient(app.build_app())

    assert client.post("/v1/library/books", json=CLEAN_CODE).status_code == 201
    assert client.get("/v1/library/books/1").status_code == 200
    made = client.post("/", json={"name": "n"})
    assert (made.status_code, made.headers["location"]) == (201, "/1")
    assert client.get("/1").json() == made.json()


def test_the_same_class_lives_in_two_apps_with_two_databases(tmp_path: Path) -> None:
    clients = []
    for name in ("one", "two"):
        app = LightApi(database_url=f"sqlite:///{tmp_path / name}.db")
        app.register({f"/{name}": Book})
        clients.append(TestClient(app.build_app()))

    clients[0].post("/one", json=CLEAN_CODE)

    assert len(clients[0].get("/one").json()["results"]) == 1
    assert clients[1].get("/two").json() == {"results": []}


def test_one_class_name_may_be_used_in_two_apps(tmp_path: Path) -> None:
    def endpoint(annotation: type) -> type[Any]:
        return type("Same", (RestEndpoint,), {"__annotations__": {"value": annotation}})

    answers = []
    for annotation, value in ((int, 5), (str, "five")):
        app = LightApi(database_url=f"sqlite:///{tmp_path / annotation.__name__}.db")
        app.register({"/same": endpoint(annotation)})
        client = TestClient(app.build_app())
        answers.append(client.post("/same", json={"value": value}).json()["value"])

    assert answers == [5, "five"]


@pytest.mark.parametrize("option", ["engin", "middleware", "cors_origin", "max_body_sise"])
def test_a_misspelt_option_is_an_error(option: str) -> None:
    options: Any = {"database_url": "sqlite://", option: None}

    with pytest.raises((ConfigurationError, TypeError), match=option):
        LightApi(**options)


# names and attributes


def test_the_table_is_named_after_the_class(url: str) -> None:
    class BookEndpoint(RestEndpoint):
        title: str

    class Custom(RestEndpoint):
        title: str

        class Meta:
            table = "custom_table_name"

    app = LightApi(database_url=url)
    app.register({"/a": BookEndpoint, "/b": Custom})

    assert set(app.metadata.tables) == {"bookendpoints", "custom_table_name"}


def test_class_attributes_exist_before_registration() -> None:
    class Fresh(RestEndpoint):
        title: str = Field(min_length=1)
        note: str | None = None

        class Meta:
            table = "fresh_ones"

    assert isinstance(Fresh._meta, dict)
    assert Fresh._meta["table"] == "fresh_ones"
    assert Fresh._allowed_methods == {"GET", "POST", "PUT", "PATCH", "DELETE"}
    assert list(Fresh.__schema_create__.model_fields) == ["title", "note"]
    automatic = ["version", "created_at", "updated_at"]
    assert list(Fresh.__schema_read__.model_fields) == ["id", "title", "note", *automatic]


def test_the_schemas_are_pydantic_models() -> None:
    made = Book.__schema_create__.model_validate(CLEAN_CODE)

    dumped = made.model_dump(mode="json")
    assert dumped == CLEAN_CODE | {"pages": None, "language": "en"}


def test_the_model_class_is_the_class_itself(app: LightApi) -> None:
    assert Book._model_class is Book
    assert inspect_database(Book).local_table.name == "books"


PUBLIC = [
    *("LightApi", "RestEndpoint", "Field", "HttpMethod", "Authentication", "Middleware"),
    *("AllowAny", "IsAuthenticated", "BasePermission", "BaseAuthentication"),
    *("ConfigurationError", "get_sync_session", "get_async_session", "col"),
]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_import_from_the_package(name: str) -> None:
    assert name in lightapi.__all__
    assert getattr(lightapi, name).__doc__


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("core", "Middleware"),
        ("auth", "AllowAny"),
        ("auth", "IsAuthenticated"),
        ("auth", "BasePermission"),
        ("auth", "BaseAuthentication"),
        ("config", "Authentication"),
        ("fields", "Field"),
        ("exceptions", "ConfigurationError"),
        ("session", "get_sync_session"),
        ("session", "get_async_session"),
        ("rest", "RestEndpoint"),
        ("rest", "HttpMethod"),
    ],
)
def test_older_import_paths_give_the_same_objects(module: str, name: str) -> None:
    imported = __import__(f"lightapi.{module}", fromlist=[name])

    assert getattr(imported, name) is getattr(lightapi, name)


def test_the_schema_module_is_importable() -> None:
    __import__("lightapi.schema")


# what an application is


def test_build_app_is_a_starlette_application(app: LightApi) -> None:
    assert isinstance(app.build_app(), Starlette)


def test_asgi_and_wsgi_are_what_the_builders_give(app: LightApi) -> None:
    assert TestClient(app.asgi).get("/books").status_code == 200
    assert TestApp(app.wsgi).get("/books").json == {"results": []}


def test_the_object_itself_is_asgi(app: LightApi) -> None:
    assert TestClient(app).get("/books").json() == {"results": []}
    with TestClient(app) as client:
        assert client.get("/books").json() == {"results": []}


def test_the_object_itself_is_wsgi(app: LightApi) -> None:
    assert TestApp(app).get("/books").json == {"results": []}


def test_every_builder_of_one_app_serves_the_same_rows(app: LightApi) -> None:
    TestClient(app).post("/books", json=CLEAN_CODE)

    expected = TestClient(app.build_app()).get("/books").content
    for served in (app, app.build_wsgi_app(), app.build_wsgi_app(direct=False)):
        assert TestApp(served).get("/books").body == expected


def test_lifespan_of_the_user_runs_around_the_server(url: str) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[dict[str, str]]:
        events.append("up")
        yield {"greeting": "hello"}
        events.append("down")

    async def greet(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.state.greeting)

    app = LightApi(database_url=url, lifespan=lifespan, routes=[Route("/greet", greet)])
    app.register({"/books": Book})

    with TestClient(app.build_app()) as client:
        assert client.get("/greet").text == "hello"
        assert events == ["up"]
    assert events == ["up", "down"]


class AddsHeader:
    """ASGI middleware of the user."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def marked(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-asgi", b"1")]
            await send(message)

        await self._app(scope, receive, marked)


@pytest.mark.engines("sqlite-sync", "sqlite-async")
def test_routes_and_asgi_middleware_of_the_user_are_served_everywhere(api: Api) -> None:
    async def hello(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    client = api(
        {"/books": Book},
        routes=[Route("/hello", hello), Route("/books/special", hello)],
        asgi_middleware=[StarletteMiddleware(AddsHeader)],
    )

    for path, body in {"/hello": "hello", "/books/special": "hello"}.items():
        response = client.get(path)
        assert (response.text, response.headers["x-asgi"]) == (body, "1")
    assert client.get("/books").headers["x-asgi"] == "1"
    assert client.get("/books").json() == {"results": []}


@pytest.mark.parametrize("direct", [True, False, None], ids=["wsgi-direct", "wsgi-a2wsgi", "asgi"])
def test_slashes_of_the_users_routes_redirect_everywhere(url: str, direct: bool | None) -> None:
    async def hello(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    app = LightApi(database_url=url, routes=[Route("/hello", hello), Route("/dir/", hello)])
    app.register({"/books": Book})
    if direct is None:
        client: Any = TestClient(app.build_app())
    else:
        client = httpx.Client(transport=httpx.WSGITransport(app.build_wsgi_app(direct)), base_url="http://testserver")

    for path, there in {"/hello/": "/hello", "/dir": "/dir/"}.items():
        response = client.get(path, follow_redirects=False)
        assert (response.status_code, urlsplit(response.headers["location"]).path) == (307, there)
    assert client.get("/other/").status_code == 404


# run


def _run(monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    seen: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    monkeypatch.setattr(uvicorn, "run", lambda *args, **kwargs: seen.append((args, kwargs)))
    call()
    return seen[0]


def test_run_starts_uvicorn_found_at_call_time(
    app: LightApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    args, options = _run(monkeypatch, lambda: app.run(port=8123))

    assert TestClient(args[0]).get("/books").status_code == 200
    assert (options["host"], options["port"]) == ("127.0.0.1", 8123)
    assert "http://127.0.0.1:8123" in capsys.readouterr().out


def test_run_listens_on_loopback_port_8000(app: LightApi, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIGHTAPI_HOST", "LIGHTAPI_PORT"):
        monkeypatch.delenv(name, raising=False)

    _, options = _run(monkeypatch, app.run)

    assert (options["host"], options["port"]) == ("127.0.0.1", 8000)
    names = list(inspect.signature(LightApi.run).parameters)
    assert names[:5] == ["self", "host", "port", "debug", "reload"]


def test_the_environment_names_host_and_port_when_run_is_called(app: LightApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_HOST", "127.0.0.2")
    monkeypatch.setenv("LIGHTAPI_PORT", "8456")

    _, by_environment = _run(monkeypatch, app.run)
    _, by_argument = _run(monkeypatch, lambda: app.run("127.0.0.3", 8457))

    assert (by_environment["host"], by_environment["port"]) == ("127.0.0.2", 8456)
    assert (by_argument["host"], by_argument["port"]) == ("127.0.0.3", 8457)


def test_run_creates_the_tables(app: LightApi, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(monkeypatch, app.run)

    assert inspect_database(create_engine(url)).get_table_names() == ["books"]


def test_an_async_engine_under_wsgi_warns_that_sync_is_faster(tmp_path: Path) -> None:
    app = LightApi(engine=create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}"))
    app.register({"/books": Book})

    with pytest.warns(RuntimeWarning, match="sync"):
        served = app.build_wsgi_app()

    assert TestApp(served).get("/books").json == {"results": []}


def test_a_sync_engine_under_wsgi_does_not_warn(app: LightApi) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        app.build_wsgi_app()
