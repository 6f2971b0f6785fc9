"""The login routes: what they take, what they answer, and whom they refuse."""

from __future__ import annotations

import datetime as dt
import decimal
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import Any

import httpx
import jwt
import pytest
from sqlalchemy import create_engine, text

from lightapi import Authentication, BasicAuthentication, ConfigurationError, Field, JWTAuthentication, RestEndpoint
from tests.support.endpoints import Book
from tests.support.hosts import Api, Client

SECRET = "a made-up secret of more than 32 bytes"
ANN = {"sub": 7, "name": "Ann", "is_admin": True}
RIGHT = {"username": "ann", "password": "open sesame"}
WRONG = {"detail": "Invalid credentials"}
HIDDEN = "hidden-in-the-query"


def _note(name: str, **options: Any) -> type[RestEndpoint]:
    meta = type("Meta", (), {"authentication": Authentication(**options)})
    return type(name, (RestEndpoint,), {"__annotations__": {"title": str}, "title": Field(min_length=1), "Meta": meta})


WithJWT = _note("WithJWT", backend=JWTAuthentication)
WithBasic = _note("WithBasic", backend=BasicAuthentication)


def ask(username: str, password: str) -> Any:
    return ANN if (username, password) == ("ann", "open sesame") else None


async def ask_async(username: str, password: str) -> Any:
    return ask(username, password)


class Asking:
    """A validator that is an object."""

    async def __call__(self, username: str, password: str) -> Any:
        return ask(username, password)


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", SECRET)
    monkeypatch.delenv("LIGHTAPI_REDIS_URL", raising=False)


def _claims(response: httpx.Response) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(response.json()["token"], SECRET, algorithms=["HS256"])
    return claims


@pytest.mark.parametrize(
    "validator", [ask, ask_async, partial(ask), Asking()], ids=["sync", "async", "partial", "object"]
)
def test_right_credentials_are_answered_with_a_token_that_passes(api: Api, validator: Any) -> None:
    client = api({"/notes": WithJWT}, login_validator=validator)

    for path in ("/auth/login", "/auth/token"):
        response = client.post(path, json=RIGHT)
        assert (response.status_code, list(response.json())) == (200, ["token", "user"])
        assert response.json()["user"] == ANN
        assert response.headers["cache-control"] == "no-store"
        token = response.json()["token"]
        assert client.get("/notes", headers={"Authorization": f"Bearer {token}"}).status_code == 200


@pytest.mark.parametrize("validator", [ask, ask_async], ids=["sync", "async"])
def test_wrong_credentials_are_a_401(api: Api, validator: Any) -> None:
    client = api({"/notes": WithJWT}, login_validator=validator)

    for path in ("/auth/login", "/auth/token"):
        response = client.post(path, json=RIGHT | {"password": "wrong"})
        assert (response.status_code, response.json()) == (401, WRONG)
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["cache-control"] == "no-store"


@pytest.mark.engines("sqlite-sync")
def test_basic_alone_answers_the_user_only(api: Api) -> None:
    client = api({"/notes": WithBasic}, login_validator=ask)

    assert client.post("/auth/login", json=RIGHT).json() == {"user": ANN}
    refused = client.post("/auth/token", json=RIGHT | {"username": "bob"})
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="api"')


@pytest.mark.engines("sqlite-sync")
def test_jwt_anywhere_in_the_app_means_tokens(api: Api) -> None:
    client = api({"/a": WithBasic, "/b": Book, "/c": WithJWT}, login_validator=ask)

    assert list(client.post("/auth/login", json=RIGHT).json()) == ["token", "user"]


@pytest.mark.hosts("asgi", "wsgi-direct")
@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/auth", "/auth"),
        ("/auth/", "/auth"),
        ("/", ""),
        ("/api/v1/session", "/api/v1/session"),
        ("/sesión", "/sesi%C3%B3n"),
    ],
)
def test_the_login_routes_are_below_auth_path(api: Api, given: str, path: str) -> None:
    client = api({"/notes": WithJWT}, login_validator=ask, auth_path=given)

    for name in ("login", "token", "login/"):
        assert client.post(f"{path}/{name}", json=RIGHT).status_code == 200
    if path != "/auth":
        assert client.post("/auth/login", json=RIGHT).status_code == 404


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("given", ["", "auth", "//", "/a//b", "/a b", "/a?b", None, 5])
def test_an_auth_path_that_is_none_is_a_configuration_error(api: Api, given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^auth_path="):
        api({"/notes": WithJWT}, auth_path=given)


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize(
    ("path", "auth_path"),
    [("/auth/login", "/auth"), ("/auth/token/", "/auth/"), ("/login", "/"), ("/a/b/token", "/a/b")],
)
def test_an_endpoint_on_a_login_route_is_a_configuration_error(api: Api, path: str, auth_path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^route .* is the login's: give LightApi\(auth_path="):
        api({path: WithJWT}, auth_path=auth_path)


@pytest.mark.engines("sqlite-sync")
@pytest.mark.hosts("asgi", "wsgi-direct")
def test_the_login_routes_go_before_the_items_of_an_endpoint(api: Api) -> None:
    client = api({"/auth": Book, "/notes": WithJWT}, login_validator=ask)

    assert client.post("/auth/login", json=RIGHT).status_code == 200
    assert client.get("/auth/1").status_code == 404


@pytest.mark.engines("sqlite-sync")
def test_there_are_no_login_routes_where_nothing_authenticates(api: Api) -> None:
    client = api({"/books": Book, "/auth/login": _note("Own")}, login_validator=ask)

    assert client.post("/auth/token", json=RIGHT).status_code == 404
    assert client.post("/auth/login", json={"title": "a"}).status_code == 201


@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("endpoint", [WithJWT, WithBasic])
def test_without_a_validator_every_login_is_refused(api: Api, endpoint: type[RestEndpoint]) -> None:
    response = api({"/notes": endpoint}).post("/auth/login", json=RIGHT)

    assert (response.status_code, response.json()) == (401, WRONG)
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.engines("sqlite-sync")
def test_other_verbs_are_405(api: Api) -> None:
    client = api({"/notes": WithJWT}, login_validator=ask)

    for verb in ("GET", "PUT", "PATCH", "DELETE"):
        response = client.request(verb, "/auth/login")
        assert (response.status_code, response.headers["allow"]) == (405, "POST, OPTIONS")
    assert client.options("/auth/login").status_code == 204


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("validator", ["ask", 5, {"ann": "x"}])
def test_a_validator_that_is_no_function_is_a_configuration_error(api: Api, validator: Any) -> None:
    with pytest.raises(ConfigurationError, match="login_validator"):
        api({"/notes": WithJWT}, login_validator=validator)


def _raises(username: str, password: str) -> Any:
    raise RuntimeError("the directory is gone")


async def _raises_async(username: str, password: str) -> Any:
    raise RuntimeError("the directory is gone")


def _asks_database(username: str, password: str) -> Any:
    engine = create_engine("sqlite://")
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT * FROM people WHERE secret = :secret"), {"secret": password})
    finally:
        engine.dispose()


@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("validator", [_raises, _raises_async, _asks_database])
def test_a_validator_that_raises_refuses_and_is_logged_without_the_password(
    api: Api, caplog: pytest.LogCaptureFixture, validator: Any
) -> None:
    client = api({"/notes": WithJWT, "/basic": WithBasic}, login_validator=validator)

    with caplog.at_level(logging.DEBUG):
        response = client.post("/auth/login", json=RIGHT | {"password": HIDDEN})
        refused = client.get("/basic", auth=("ann", HIDDEN))

    assert (response.status_code, response.json(), refused.status_code) == (401, WRONG, 401)
    logged = [record for record in caplog.records if record.name == "lightapi" and record.exc_info]
    assert len(logged) == 2
    assert HIDDEN not in caplog.text


@pytest.mark.hosts("asgi", "wsgi-direct")
@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("answer", [True, False, 0, 1, "ann", "", [], [ANN], ("a",), RuntimeError, b"{}"], ids=repr)
def test_what_is_neither_a_mapping_nor_none_refuses(
    api: Api, caplog: pytest.LogCaptureFixture, answer: Any, asynchronous: bool
) -> None:
    async def waits(username: str, password: str) -> Any:
        return answer

    validator: Callable[[str, str], Any] = waits if asynchronous else lambda _username, _password: answer
    response = api({"/notes": WithJWT}, login_validator=validator).post("/auth/login", json=RIGHT)

    assert (response.status_code, response.json()) == (401, WRONG)
    assert "allowed: a dict or None" in caplog.text


USERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "empty": ({}, {}),
    "mapping": (MappingProxyType({"sub": "1"}), {"sub": "1"}),
    "values of Python": (
        {"day": dt.date(2024, 2, 29), "sum": decimal.Decimal("1.50"), "roles": {"a"}},
        {"day": "2024-02-29", "sum": "1.50", "roles": ["a"]},
    ),
    "beyond ASCII": ({"name": "Zoë 猫"}, {"name": "Zoë 猫"}),
}


@pytest.mark.hosts("asgi", "wsgi-direct")
@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("name", USERS)
def test_every_mapping_is_a_user(api: Api, name: str) -> None:
    given, shown = USERS[name]
    response = api({"/notes": WithJWT}, login_validator=lambda _username, _password: given).post(
        "/auth/login", json=RIGHT
    )

    assert (response.status_code, response.json()["user"]) == (200, shown)
    assert {key: value for key, value in _claims(response).items() if key not in ("iat", "exp")} == shown


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"a": "\ud800"}, b"\xff"], ids=ascii)
def test_a_user_that_json_cannot_say_is_never_a_500(api: Api, value: Any) -> None:
    client = api({"/notes": WithJWT}, login_validator=lambda _username, _password: {"sub": "1", "odd": value})

    response = client.post("/auth/login", json=RIGHT)

    assert response.status_code in {200, 401}
    if response.status_code == 200:
        headers = {"Authorization": f"Bearer {response.json()['token']}"}
        assert client.get("/notes", headers=headers).status_code == 200


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync", "sqlite-async")
def test_a_slow_sync_validator_does_not_block_the_event_loop(api: Api) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(username: str, password: str) -> Any:
        entered.set()
        return ANN if go_on.wait(30) else None

    client: Client = api({"/notes": WithJWT, "/basic": WithBasic}, login_validator=slow)
    calls: list[Callable[[], httpx.Response]] = [
        lambda: client.post("/auth/login", json=RIGHT),
        lambda: client.get("/basic", auth=("ann", "x")),
    ]
    for call in calls:
        entered.clear()
        go_on.clear()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(call)
            assert entered.wait(30)
            health = client.get("/healthz").status_code
            was_waiting = not waiting.done()
            go_on.set()
        assert (health, was_waiting, waiting.result().status_code) == (200, True, 200)
