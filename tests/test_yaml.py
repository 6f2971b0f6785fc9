"""YAML files as apps: what they can say, and that it means what the same class in Python means."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jwt
import pytest
import yaml
from starlette.testclient import TestClient

from lightapi import (
    AllowAny,
    Authentication,
    BasicAuthentication,
    ConfigurationError,
    HttpMethod,
    IsAuthenticated,
    JWTAuthentication,
    LightApi,
    Pagination,
    RestEndpoint,
)
from tests.support.hosts import Client, Database

SECRET = "x" * 40
SNIPPET = """
database:
  url: "${DATABASE_URL}" # ${VAR} env-var substitution
cors_origins:
  - "https://myapp.com"
# Global defaults applied to every endpoint unless overridden
defaults:
  authentication:
    backend: JWTAuthentication
    permission: IsAuthenticated
  pagination:
    style: page_number
    page_size: 20
middleware:
  - CORSMiddleware
endpoints:
  - route: /products
    fields:
      name: { type: str, max_length: 200 }
      price: { type: float }
      in_stock: { type: bool, default: true }
    meta:
      methods: [GET, POST, PUT, DELETE]
      filtering:
        fields: [in_stock]
        ordering: [price]
  - route: /orders
    fields:
      reference: { type: str }
      total: { type: float }
    meta:
      methods: [GET, POST]
      # Override the global default for this endpoint only
      authentication:
        permission: AllowAny
"""

Loaded = Callable[..., LightApi]
Serve = Callable[[LightApi, Any], Client]


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", SECRET)


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loaded]:
    """Return what loads a text on a SQLite database in memory; modules beside the file can be imported."""
    known, paths = {*sys.modules}, [*sys.path]
    monkeypatch.delenv("LIGHTAPI_DATABASE_URL", raising=False)

    def load(text: str, **overrides: Any) -> LightApi:
        file = tmp_path / "lightapi.yaml"
        file.write_text(text)
        return LightApi.from_config(file, **{"database_url": "sqlite://", **overrides})

    yield load
    sys.path[:] = paths
    for name in {*sys.modules} - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def bearer(**claims: Any) -> dict[str, str]:
    token = jwt.encode({"sub": "1", "exp": 2**31, **claims}, SECRET)
    return {"Authorization": f"Bearer {token}"}


def only(app: LightApi) -> Any:
    """Return the class of the only endpoint."""
    (plan,) = app._plans.values()
    return plan.endpoint


def test_the_documented_file(loaded: Loaded, serve: Serve, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database.url.render_as_string(hide_password=False))
    client = serve(loaded(SNIPPET, engine=database.make_engine()), None)

    assert client.get("/products").status_code == 401
    made = client.post("/products", json={"name": "spoon", "price": 2}, headers=bearer())
    assert (made.status_code, made.json()["in_stock"]) == (201, True)
    client.post("/products", json={"name": "fork", "price": 1, "in_stock": False}, headers=bearer())
    rows = client.get("/products?in_stock=true&ordering=-price", headers=bearer()).json()
    assert (rows["count"], rows["results"][0]["name"]) == (1, "spoon")
    assert client.patch("/products/1", json={"version": 1}, headers=bearer()).status_code == 405
    assert client.post("/products", json={"name": "x" * 201, "price": 1}, headers=bearer()).status_code == 422
    assert client.post("/orders", json={"reference": "r", "total": 1}).status_code == 201
    assert client.get("/orders").json()["count"] == 1
    assert client.delete("/orders/1").status_code == 405
    answer = client.get("/orders", headers={"origin": "https://myapp.com"})
    assert answer.headers["access-control-allow-origin"] == "https://myapp.com"


def test_class_and_table_come_from_the_whole_route(loaded: Loaded) -> None:
    app = loaded("endpoints: [{ route: /v1/items, fields: { name: { type: STR } } }]")

    assert only(app).__name__ == "V1ItemsEndpoint"
    assert only(app).__table__.name == "v1itemsendpoints"


TYPES = {
    "str": str,
    "Int": int,
    "FLOAT": float,
    "bool": bool,
    "datetime": datetime,
    "decimal": Decimal,
    "list[int]": list[int],
    "dict[str, float]": dict[str, float],
}


@pytest.mark.parametrize("written", TYPES)
def test_types_are_the_names_of_annotations_in_any_case(loaded: Loaded, written: str) -> None:
    app = loaded(f"endpoints: [{{ route: /items, fields: {{ it: {{ type: '{written}' }} }} }}]")

    assert only(app)._fields["it"].annotation == TYPES[written]


def test_every_option_of_a_field_is_the_one_of_python(loaded: Loaded) -> None:
    app = loaded("""
endpoints:
  - route: /items
    fields:
      code: { type: str, min_length: 2, max_length: 5, pattern: "^a", unique: true, index: true, description: A code, examples: [ab] }
      price: { type: Decimal, decimal_places: 2, max_digits: 6, ge: "0.5", lt: 100 }
      owner_id: { type: int, optional: true, foreign_key: itemsendpoints.id }
      big: { type: int, sa_type: BigInteger, server_default: "7" }
      size: { enum: [s, l], default: s }
      noted_at: { type: datetime, optional: true }
      hidden: { type: str, exclude: true }
    meta: { table: itemsendpoints }
""")  # noqa: E501
    client = TestClient(app.build_app())

    made = client.post("/items", json={"code": "ab", "price": "1.5"})
    assert made.status_code == 201, made.text
    row = made.json()
    assert {key: row[key] for key in ("code", "price", "owner_id", "big", "size", "noted_at")} == {
        "code": "ab",
        "price": "1.50",
        "owner_id": None,
        "big": 7,
        "size": "s",
        "noted_at": None,
    }
    refused = client.post("/items", json={"code": "b", "price": "0.25", "size": "m", "owner_id": "x"}).json()["detail"]
    assert {entry["loc"][0] for entry in refused} == {"code", "price", "size", "owner_id"}
    assert client.post("/items", json={"code": "ab", "price": 1}).status_code == 409
    schema = app.openapi()["components"]["schemas"]["ItemsEndpointCreate"]["properties"]["code"]
    assert (schema["description"], schema["examples"]) == ("A code", ["ab"])


def test_meta_says_what_python_says(loaded: Loaded) -> None:
    app = loaded("""
endpoints:
  - route: /items
    description: What there is.
    fields: { name: { type: str }, rank: { type: int, default: 0 } }
    meta:
      table: things
      extra: forbid
      queryset_scope: all
      serializer: { read: [id, name] }
      pagination: { style: cursor, page_size: 3, backwards: true }
      filtering: { fields: { name: [exact, icontains] }, search: [name], ordering: [name], strict: true }
      cache: { ttl: 5, vary_on: [], vary_headers: [Accept-Language] }
      methods: [GET]
""")
    options = only(app)._options

    assert only(app).__doc__ == "What there is."
    assert (options.table, options.extra, options.queryset_scope) == ("things", "forbid", "all")
    assert options.serializer.shown_by_read == ("id", "name")
    assert options.pagination == Pagination(style="cursor", page_size=3, backwards=True)
    assert options.filtering.fields == {"name": ["exact", "icontains"]}
    assert (options.filtering.strict, options.cache.ttl, options.cache.vary_headers) == (True, 5, ["Accept-Language"])
    assert only(app)._allowed_methods == {"GET"}


PER_VERB = """
defaults:
  authentication: { backend: JWTAuthentication, permission: IsAuthenticated }
auth: { login_validator: "people:login", auth_path: /v1/auth }
endpoints:
  - route: /notes
    fields: { text: { type: str } }
    meta:
      methods:
        GET: { authentication: { permission: AllowAny } }
        POST:
        PUT: { authentication: { backend: BasicAuthentication } }
        DELETE: { authentication: { permission: "IsAuthenticated & IsAdminUser" } }
"""


def test_authentication_merges_key_by_key_down_to_the_verb(loaded: Loaded, tmp_path: Path) -> None:
    (tmp_path / "people.py").write_text("def login(username, password):\n    return {'sub': username}\n")
    client = TestClient(loaded(PER_VERB).build_app())
    note = {"text": "a", "version": 1}

    assert client.get("/notes").status_code == 200
    assert client.post("/notes", json=note).status_code == 401
    assert client.post("/notes", json=note, headers=bearer()).status_code == 201
    assert client.put("/notes/1", json=note, headers=bearer()).status_code == 401
    assert client.put("/notes/1", json=note, auth=("ann", "x")).status_code == 200
    assert client.delete("/notes/1", headers=bearer()).status_code == 403
    assert client.delete("/notes/1", headers=bearer(is_admin=True)).status_code == 204
    assert client.patch("/notes/1", json=note).status_code == 405
    assert client.post("/v1/auth/login", json={"username": "ann", "password": "x"}).json()["user"] == {"sub": "ann"}


def test_python_can_say_methods_too() -> None:
    class Note(RestEndpoint):
        text: str

        class Meta:
            authentication = Authentication(backend=JWTAuthentication)
            methods = MappingProxyType({"GET": Authentication(permission=AllowAny), "POST": None})

    app = LightApi(database_url="sqlite://")
    app.register({"/notes": Note})

    assert [(row.verb, row.is_public) for row in app.describe() if row.path == "/notes"] == [
        ("GET", True),
        ("POST", False),
    ]


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (["GET", "PSOT"], "did you mean 'POST'?"),
        ({"GET": IsAuthenticated}, "allowed: Authentication(...) or None"),
        ({"GET": Authentication(jwt_expiration=5)}, "jwt_expiration is of the whole endpoint"),
        ({"GET": Authentication(permission={"GET": AllowAny})}, "the permission of GET"),
        (["POST"], "say it once"),
    ],
    ids=["verb", "value", "token", "permissions", "mix-in"],
)
def test_wrong_methods_are_refused(methods: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match="methods") as caught:
        type("Note", (RestEndpoint, HttpMethod.GET), {"Meta": type("Meta", (), {"methods": methods})})

    assert message in str(caught.value)


def test_classes_stand_beside_fields_and_take_the_defaults(loaded: Loaded, tmp_path: Path) -> None:
    (tmp_path / "shelf.py").write_text(
        "from lightapi import AllowAny, Authentication, RestEndpoint\n"
        "class Book(RestEndpoint):\n    title: str\n"
        "class Open(RestEndpoint):\n    title: str\n"
        "    class Meta:\n        authentication = Authentication(permission=AllowAny)\n"
    )
    app = loaded("""
defaults: { authentication: { backend: JWTAuthentication }, pagination: { page_size: 7 } }
endpoints:
  - { route: /books, class: "shelf:Book" }
  - { route: /open, class: shelf.Open }
  - { route: /notes, fields: { text: { type: str } } }
""")
    client = TestClient(app.build_app())

    assert [client.get(path).status_code for path in ("/books", "/open", "/notes")] == [401, 200, 401]
    assert client.get("/open").json()["count"] == 0
    assert {plan.pagination.page_size for plan in app._plans.values() if plan.pagination} == {7}


def test_reflected_endpoints_take_the_defaults(loaded: Loaded, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "old.db") as connection:
        connection.execute("CREATE TABLE old (id INTEGER PRIMARY KEY, name TEXT)")
        connection.execute("CREATE TABLE older (id INTEGER PRIMARY KEY, name TEXT)")
    text = """
database: { url: "sqlite:///old.db" }
defaults: { authentication: { backend: JWTAuthentication } }
endpoints:
  - { route: /old, reflect: true, table: old }
  - { route: /more, reflect: partial, meta: { table: older }, fields: { extra: { type: str, default: x } } }
"""
    with pytest.raises(ConfigurationError, match="table 'nothing' does not exist"):
        loaded(text.replace("reflect: true, table: old", "reflect: true, table: nothing"), database_url=None)

    app = loaded(text, database_url=None)
    client = TestClient(app.build_app())

    assert client.get("/old").status_code == 401
    assert client.post("/old", json={"name": "a"}, headers=bearer()).json()["name"] == "a"


def test_variables_fill_in_anywhere(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIZE", "4")
    monkeypatch.setenv("EMPTY", "")
    app = loaded("""
title: "The ${NAME:-great} $${API} of ${EMPTY:-us}"
defaults: { pagination: { page_size: "${SIZE}", max_page_size: "${MOST:-50}" } }
create_tables: "${CREATE:-false}"
endpoints: [{ route: /items, fields: { "n": { type: int, default: 3 } } }]
""")

    assert app.openapi()["info"]["title"] == "The great ${API} of us"
    (plan,) = app._plans.values()
    assert plan.pagination == Pagination(page_size=4, max_page_size=50)
    assert app._options.create_tables is False


def test_arguments_win_over_the_file(loaded: Loaded) -> None:
    app = loaded("title: From the file\ndatabase: { url: 'sqlite:///${UNSET}.db' }\n", title="Mine")

    assert app.openapi()["info"]["title"] == "Mine"


def test_the_file_is_found_by_the_environment(loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded("title: Found\ndatabase: { url: 'sqlite://' }\n")
    monkeypatch.setenv("LIGHTAPI_CONFIG", str(tmp_path / "lightapi.yaml"))
    by_variable = LightApi.from_config()
    monkeypatch.delenv("LIGHTAPI_CONFIG")
    monkeypatch.chdir(tmp_path)

    titles = [app.openapi()["info"]["title"] for app in (by_variable, LightApi.from_config())]
    assert titles == ["Found", "Found"]


def test_every_argument_of_the_constructor_can_be_given(loaded: Loaded, tmp_path: Path) -> None:
    (tmp_path / "pieces.py").write_text(
        "from starlette.responses import PlainTextResponse\nfrom starlette.routing import Route\n"
        "from contextlib import asynccontextmanager\nfrom lightapi import Middleware\n"
        "pages = [Route('/hello', lambda request: PlainTextResponse('hello'))]\nmore = []\n"
        "@asynccontextmanager\nasync def life(app):\n    yield {}\n"
        "class Stamp(Middleware):\n    def process(self, request, response):\n"
        "        if response is not None:\n            response.headers['x-stamp'] = 'yes'\n"
    )
    app = loaded("""
title: Shop
version: 3.1.0
description: All of it
docs_url: null
openapi_url: /schema
base_url: https://api.example.com
max_body_size: 100
database_timeout: 2.5
create_tables: true
sqlite_foreign_keys: false
mode: sync
cors_origins: ["*"]
cors_allow_credentials: false
rate_limiter: { requests_per_minute: 3 }
routes: pieces:pages
asgi_middleware: pieces:more
lifespan: pieces:life
middleware: [pieces.Stamp]
auth: { auth_path: /login }
endpoints: [{ route: /items, fields: { name: { type: str } } }]
""")
    client = TestClient(app.build_app())

    assert client.get("/hello").text == "hello"
    assert client.get("/docs").status_code == 404
    document = client.get("/schema").json()
    assert document["info"] == {"title": "Shop", "version": "3.1.0", "description": "All of it"}
    assert client.get("/items").headers["x-stamp"] == "yes"
    assert client.post("/items", json={"name": "x" * 200}).status_code == 413
    assert client.post("/items", json={"name": "x"}).headers["location"] == "https://api.example.com/items/1"


def test_arguments_may_have_the_names_that_they_have_in_python(loaded: Loaded, tmp_path: Path) -> None:
    (tmp_path / "people.py").write_text(
        "from lightapi import Middleware\n"
        "def known(username, password):\n    return {'sub': username} if password == 'right' else None\n"
        "class Stamp(Middleware):\n    def process(self, request, response):\n"
        "        if response is not None:\n            response.headers['x-stamp'] = 'yes'\n"
    )
    app = loaded("""
auth_path: /session
login_validator: people:known
middlewares: [people.Stamp]
default_authentication: { backend: BasicAuthentication }
default_pagination: { style: cursor, page_size: 1 }
endpoints: [{ route: /items, fields: { name: { type: str } }, meta: { pagination: { page_size: 2 } } }]
""")
    client = TestClient(app.build_app())

    assert client.get("/items").status_code == 401
    assert client.post("/session/login", json={"username": "ada", "password": "right"}).status_code == 200
    answer = client.get("/items", auth=("ada", "right"))
    assert answer.headers["x-stamp"] == "yes"
    assert answer.json() == {"next": None, "previous": None, "results": []}


def test_the_database_may_stand_at_the_top(tmp_path: Path) -> None:
    file = tmp_path / "lightapi.yaml"
    file.write_text("database_url: sqlite:///here.db\nendpoints: []\n")

    assert LightApi.from_config(file).engine.url.database == str(tmp_path / "here.db")
    assert LightApi.from_config(file, database_url="sqlite://").engine.url.database is None


def test_origins_that_nobody_names_are_not_allowed(loaded: Loaded) -> None:
    app = loaded("middleware: [CORSMiddleware]\nendpoints: [{ route: /items, fields: {} }]")

    answer = TestClient(app.build_app()).get("/items", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_merge_keys_and_words_that_yaml_once_took_for_booleans(loaded: Loaded) -> None:
    app = loaded("""
x-text: &text { type: str, max_length: 9 }
endpoints:
  - route: /items
    fields:
      name: { <<: *text, default: no }
      other: { <<: *text, max_length: 5, default: "yes" }
""")

    made = TestClient(app.build_app()).post("/items", json={}).json()
    assert (made["name"], made["other"]) == ("no", "yes")


def test_the_example_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    app = LightApi.from_config(Path(__file__).parent.parent / "examples" / "lightapi.yaml", database_url="sqlite://")
    client = TestClient(app.build_app())

    assert client.post("/products", json={"name": "spoon", "price": "2.5"}).json()["size"] == "small"
    review = {"product_id": 1, "text": "fine", "stars": 5}
    assert client.post("/v1/reviews", json=review).status_code == 201
    assert client.post("/v1/reviews", json={**review, "stars": 6}).status_code == 422


def test_the_readmes_file_is_served(loaded: Loaded) -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    client = TestClient(loaded(text).build_app())

    assert yaml.safe_load(text)["endpoints"]
    assert client.post("/products", json={"name": "spoon", "price": 2}).status_code == 201
    assert client.get("/products?price__gte=3").json()["count"] == 0


def test_basic_alone_needs_no_secret(loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIGHTAPI_JWT_SECRET")
    (tmp_path / "door.py").write_text("def login(username, password):\n    return {'sub': '1'}\n")
    app = loaded("""
auth: { login_validator: door.login }
endpoints: [{ route: /items, fields: {}, meta: { authentication: { backend: [BasicAuthentication] } } }]
""")

    assert TestClient(app.build_app()).get("/items", auth=("a", "b")).status_code == 200
    assert only(app)._options.authentication.backend == [BasicAuthentication]


def test_what_a_class_leaves_unsaid_is_as_in_the_defaults(loaded: Loaded, tmp_path: Path) -> None:
    (tmp_path / "guarded.py").write_text(
        "from lightapi import *\n"
        "class Short(RestEndpoint):\n    class Meta:\n        authentication = Authentication(jwt_expiration=60)\n"
        "class Ours(RestEndpoint):\n    class Meta:\n        authentication = Authentication(permission=IsAdminUser)\n"
        "class Free(RestEndpoint):\n    class Meta:\n"
        "        authentication = Authentication(backend=None, permission=AllowAny, jwt_expiration=3600)\n"
    )
    app = loaded("""
defaults: { authentication: { backend: JWTAuthentication, permission: IsAuthenticated, jwt_expiration: 90 } }
endpoints:
  - { route: /short, class: guarded.Short }
  - { route: /ours, class: guarded.Ours }
  - { route: /free, class: guarded.Free }
  - { route: /notes, fields: {}, meta: { authentication: { jwt_expiration: 3600 } } }
""")
    seconds = {plan.path: plan.authentication["GET"].jwt_expiration for plan in app._plans.values()}

    rows = [row for row in app.describe() if row.verb == "GET" and row.endpoint and "{" not in row.path]
    assert [(row.path, row.authentication, row.permission) for row in rows] == [
        ("/short", "JWTAuthentication", "IsAuthenticated"),
        ("/ours", "JWTAuthentication", "IsAdminUser"),
        ("/free", "", "AllowAny"),
        ("/notes", "JWTAuthentication", "IsAuthenticated"),
    ]
    assert seconds == {"/short": 60, "/ours": 90, "/free": 3600, "/notes": 3600}
