"""The documentation's code on authentication, login, caching and the constructor, run as it is written."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from lightapi import Authentication, BasicAuthentication, LightApi, RestEndpoint
from lightapi.core import Middleware
from tests.support.hosts import Api
from tests.support.snippets import Run, run
from tests.test_readme import blocks, curl_lines, matches

__all__ = ["run"]

ONE_HOST = pytest.mark.hosts("asgi")

PROTECTED = """\
import os
from lightapi import RestEndpoint, Authentication, Field
from lightapi import JWTAuthentication, IsAuthenticated, IsAdminUser

os.environ["LIGHTAPI_JWT_SECRET"] = "your-secret-key"

class ProtectedEndpoint(RestEndpoint):
    secret: str = Field(min_length=1)

    class Meta:
        authentication = Authentication(backend=JWTAuthentication)

class AdminOnlyEndpoint(RestEndpoint):
    data: str = Field(min_length=1)

    class Meta:
        authentication = Authentication(
            backend=JWTAuthentication,
            permission=IsAdminUser,   # requires payload["is_admin"] == True
        )
"""

LOGIN = """\
def my_validator(username: str, password: str):
    # Return user payload dict or None
    user = db.query(User).filter_by(username=username).first()
    if user and user.check_password(password):
        return {"sub": str(user.id), "is_admin": user.is_admin}
    return None

app = LightApi(engine=engine, login_validator=my_validator)
app.register({"/secrets": ProtectedEndpoint})
# POST /auth/login and POST /auth/token now accept {"username":"...","password":"..."}
# JWT mode: 200 {"token":"...","user":{...}}; Basic-only: 200 {"user":{...}}
"""


class _Users:
    """Stands for the session and the model that the documentation presupposes."""

    def query(self, model: Any) -> _Users:
        return self

    def filter_by(self, *, username: str) -> _Users:
        self.username = username
        return self

    def first(self) -> Any:
        if self.username not in ("ann", "root"):
            return None
        is_admin = self.username == "root"
        return SimpleNamespace(id=7, is_admin=is_admin, check_password=lambda password: password == "pw")


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", "restored afterwards, whatever a snippet sets")


def _bearer(client: httpx.Client, username: str) -> dict[str, str]:
    answer = client.post("/auth/login", json={"username": username, "password": "pw"}).json()
    return {"Authorization": f"Bearer {answer['token']}"}


@pytest.mark.filterwarnings("ignore:.*the secret has 15 bytes:RuntimeWarning")
def test_protected_endpoints(run: Run, api: Api) -> None:
    module = run(PROTECTED)
    client = api(
        {"/secrets": module.ProtectedEndpoint, "/admin": module.AdminOnlyEndpoint},
        login_validator=lambda name, password: {"sub": "7", "is_admin": name == "root"},
    )
    ann, root = _bearer(client, "ann"), _bearer(client, "root")

    asked = [client.get(path, headers=headers) for path in ("/secrets", "/admin") for headers in ({}, ann, root)]

    assert [answer.status_code for answer in asked] == [401, 200, 200, 401, 403, 200]
    assert asked[0].json() == {"detail": "Authentication credentials invalid."}
    assert asked[4].json() == {"detail": "You do not have permission to perform this action."}


@ONE_HOST
@pytest.mark.engines("sqlite-sync")
@pytest.mark.filterwarnings("ignore:.*the secret has 15 bytes:RuntimeWarning")
def test_the_login_routes(run: Run, make_engine: Any) -> None:
    protected = run(PROTECTED).ProtectedEndpoint
    context = {"LightApi": LightApi, "ProtectedEndpoint": protected, "User": object, "db": _Users()}
    app = run(LOGIN, engine=make_engine(), **context).app

    with TestClient(app.build_app()) as client:
        for path in ("/auth/login", "/auth/token"):
            answer = client.post(path, json={"username": "root", "password": "pw"})
            assert answer.status_code == 200
            assert answer.json()["user"] == {"sub": "7", "is_admin": True}
            headers = {"Authorization": f"Bearer {answer.json()['token']}"}
            assert client.get("/secrets", headers=headers).status_code == 200
            assert client.post(path, json={"username": "root", "password": "no"}).status_code == 401


@ONE_HOST
@pytest.mark.engines("sqlite-sync")
def test_basic_alone_gives_no_token(api: Api) -> None:
    class Note(RestEndpoint):
        """Asks for a name and a password."""

        text: str = ""

        class Meta:
            authentication = Authentication(backend=BasicAuthentication)

    client = api({"/notes": Note}, login_validator=lambda name, password: {"sub": name})

    assert client.post("/auth/login", json={"username": "ann", "password": "pw"}).json() == {"user": {"sub": "ann"}}
    assert client.get("/notes", auth=("ann", "pw")).status_code == 200


CACHED = """\
from lightapi import RestEndpoint, Cache, Field

class ProductEndpoint(RestEndpoint):
    name: str = Field(min_length=1)
    price: float = Field(ge=0)

    class Meta:
        cache = Cache(ttl=60)   # cache GET responses for 60 seconds
"""


def test_a_cached_endpoint(run: Run, api: Api, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_REDIS_URL", redis_url)
    client = api({"/products": run(CACHED).ProductEndpoint})
    lamp = client.post("/products", json={"name": "lamp", "price": 5}).json()

    states = [client.get(path).headers["x-cache"] for path in ("/products", "/products/1") for _ in range(2)]
    client.patch("/products/1", json={"price": 6, "version": lamp["version"]})

    assert states == ["miss", "hit", "miss", "hit"]
    assert client.get("/products").json()["results"][0]["price"] == 6
    assert client.get("/products/1").json()["price"] == 6


CONSTRUCTOR = """\
LightApi(
    engine=None,          # SQLAlchemy engine (takes priority over database_url)
    database_url=None,    # Fallback: create_engine(database_url)
    cors_origins=None,    # List[str] of allowed CORS origins
    middlewares=None,     # List[type] of Middleware subclasses
)
"""


def test_the_constructor_as_documented(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_DATABASE_URL", "sqlite://")

    run(CONSTRUCTOR, LightApi=LightApi)

    in_this_order = LightApi(None, "sqlite://", ["https://app.example.com"], [Middleware])
    assert in_this_order.build_app() is not None


def test_the_readmes_login_answers_as_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    source = next(block for block in blocks("python") if "login_validator" in block)
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(source, "README.md", "exec", dont_inherit=True), names)
    lines = curl_lines(next(block for block in blocks("bash") if "/auth/login" in block))

    with TestClient(names["app"].build_app(), base_url="http://localhost:8000") as client:
        token = ""
        for asked, printed in lines:
            headers = {name: value.replace("eyJ...", token) for name, value in asked.headers.items()}
            response = client.request(asked.method, asked.path, content=asked.body, headers=headers)
            token = response.json().get("token", token)
            status, _, body = printed.partition(" ")
            assert str(response.status_code) == status
            assert matches(body, response.text), (body, response.text)
    assert len(lines) == 2
