"""How often a login may fail: per client and user name, in one process or in Redis for all of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest
import redis
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from lightapi import Authentication, BasicAuthentication, Field, RestEndpoint
from tests.support.hosts import Api, Client
from tests.support.processes import free_port

ONE_ENGINE = pytest.mark.engines("sqlite-sync")
ONE_HOST = pytest.mark.hosts("asgi")


class Note(RestEndpoint):
    """Known users only."""

    title: str = Field(min_length=1)

    class Meta:
        authentication = Authentication(backend=BasicAuthentication)


class Validator:
    """Lets in who knows the one password, and notes every question; ``pause`` makes it take its time."""

    def __init__(self, pause: float = 0) -> None:
        self.asked: list[str] = []
        self._pause = pause

    def __call__(self, username: str, password: str) -> Any:
        self.asked.append(username)
        time.sleep(self._pause)
        if password == "error":
            raise RuntimeError("the directory is gone")
        return {"sub": username} if password == "right" else None


class From:
    """Takes the client's address from a header, as a server behind a proxy does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope.get("headers", ())).get(b"x-from")
        await self._app({**scope, "client": (given.decode(), 1)} if given else scope, receive, send)


@pytest.fixture(autouse=True)
def _no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIGHTAPI_REDIS_URL", raising=False)


@pytest.fixture
def validator() -> Validator:
    return Validator()


@pytest.fixture
def client(api: Api, validator: Validator) -> Client:
    return api({"/notes": Note}, login_validator=validator)


def _login(client: Client, name: str = "ann", password: str = "wrong", **headers: str) -> httpx.Response:
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    return client.post("/auth/login", json={"username": name, "password": password}, headers=sent)


def _statuses(client: Client, times: int, name: str = "ann", password: str = "wrong", **headers: str) -> list[int]:
    return [_login(client, name, password, **headers).status_code for _ in range(times)]


TEN = [401] * 10 + [429] * 2


def test_ten_failures_are_answered_and_then_the_validator_is_not_asked(client: Client, validator: Validator) -> None:
    assert _statuses(client, 10) == [401] * 10

    response = _login(client, password="right")

    assert response.status_code == 429
    assert response.json() == {"detail": "Too many failed logins. Try again later."}
    assert 1 <= int(response.headers["retry-after"]) <= 60
    assert response.headers["cache-control"] == "no-store"
    assert len(validator.asked) == 10


@ONE_ENGINE
def test_both_routes_and_both_forms_count_together(client: Client) -> None:
    answers = [client.post("/auth/token", auth=("ann", "wrong")).status_code for _ in range(5)]

    assert answers + _statuses(client, 7) == TEN
    assert client.post("/auth/token", auth=("ann", "right")).status_code == 429


@ONE_ENGINE
def test_other_names_and_endpoints_go_on(client: Client) -> None:
    assert _statuses(client, 12) == TEN

    assert _login(client, "bob", "right").status_code == 200
    assert _statuses(client, 10, "carl") == [401] * 10
    assert client.get("/notes", auth=("ann", "right")).status_code == 200


@ONE_ENGINE
def test_right_logins_neither_count_nor_forgive(client: Client) -> None:
    assert _statuses(client, 30, password="right") == [200] * 30
    assert _statuses(client, 9) == [401] * 9
    assert _statuses(client, 2, password="right") == [200] * 2
    assert _statuses(client, 2) == [401, 429]


@ONE_ENGINE
@ONE_HOST
def test_a_validator_that_raises_counts_as_a_failure(client: Client) -> None:
    assert _statuses(client, 12, password="error") == TEN


@ONE_ENGINE
@ONE_HOST
def test_what_is_no_login_does_not_count(client: Client, validator: Validator) -> None:
    assert _statuses(client, 15, password="") == [422] * 15
    assert _login(client, password="right").status_code == 200


@ONE_ENGINE
@ONE_HOST
def test_spellings_of_a_name_that_databases_take_for_the_same_count_together(client: Client) -> None:
    names = ["ann", "ANN", " ann", "Ann ", "\uff41\uff4e\uff4e"] * 2

    assert [_login(client, name).status_code for name in names] == [401] * 10
    assert _login(client, "aNN").status_code == 429


@ONE_ENGINE
@ONE_HOST
def test_failures_are_counted_per_client(api: Api, validator: Validator) -> None:
    client = api({"/notes": Note}, login_validator=validator, asgi_middleware=[Middleware(From)])

    assert _statuses(client, 12, x_from="192.0.2.1") == TEN
    assert _login(client, password="right", x_from="192.0.2.2").status_code == 200
    assert _statuses(client, 10, x_from="2001:db8::1") == [401] * 10
    assert _login(client, x_from="2001:db8::ffff:2").status_code == 429
    assert _login(client, password="right", x_from="2001:db8:0:1::1").status_code == 200
    assert _login(client, password="right", x_from="unix:").status_code == 200


@ONE_ENGINE
@ONE_HOST
def test_a_client_cannot_choose_its_address(client: Client) -> None:
    forged = [
        _login(client, X_Forwarded_For=f"192.0.2.{number}", Forwarded="for=a").status_code for number in range(11)
    ]

    assert forged == [401] * 10 + [429]


def _at_once(client: Client, calls: dict[str, int], name: str) -> dict[str, list[int]]:
    """Log in with each password so often, all at the same time; right logins are another user's."""
    names = {"wrong": name, "right": "bob"}
    todo = [
        (password, partial(_login, client, names[password], password))
        for password, n in calls.items()
        for _ in range(n)
    ]
    answers = client.together([call for _, call in todo])
    found: dict[str, list[int]] = {password: [] for password in calls}
    for (password, _), answer in zip(todo, answers, strict=True):
        found[password].append(answer.status_code)
    return found


@pytest.mark.engines("sqlite-sync", "sqlite-async")
def test_guesses_at_the_same_time_reach_the_validator_ten_times_while_right_logins_pass(api: Api) -> None:
    validator = Validator(pause=0.01)
    client = api({"/notes": Note}, login_validator=validator)

    found = _at_once(client, {"wrong": 50, "right": 30}, "ann")

    assert sorted(found["wrong"]) == [401] * 10 + [429] * 40
    assert found["right"] == [200] * 30
    assert validator.asked.count("ann") == 10


@contextlib.contextmanager
def _asking(url: str) -> Iterator[redis.Redis]:
    with contextlib.closing(redis.Redis.from_url(url)) as server:
        server.flushdb()
        yield server
        server.flushdb()


@pytest.fixture
def server(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    monkeypatch.setenv("LIGHTAPI_REDIS_URL", redis_url)
    with _asking(redis_url) as server:
        yield server


@pytest.mark.engines("sqlite-sync", "sqlite-async")
def test_apps_share_the_count_in_redis(api: Api, server: redis.Redis, validator: Validator) -> None:
    clients = [api({"/notes": Note}, login_validator=validator) for _ in range(2)]

    assert [_login(clients[number % 2]).status_code for number in range(12)] == TEN
    assert len(validator.asked) == 10
    assert [_login(client, "bob", "right").status_code for client in clients] == [200, 200]


@ONE_ENGINE
def test_guesses_at_the_same_time_are_ten_in_redis_too(api: Api, server: redis.Redis) -> None:
    validator = Validator(pause=0.01)
    clients = [api({"/notes": Note}, login_validator=validator) for _ in range(2)]

    found = clients[0].together([partial(_at_once, client, {"wrong": 25, "right": 10}, "ann") for client in clients])

    assert sorted(found[0]["wrong"] + found[1]["wrong"]) == [401] * 10 + [429] * 40
    assert found[0]["right"] + found[1]["right"] == [200] * 20
    assert validator.asked.count("ann") == 10


@ONE_ENGINE
@ONE_HOST
def test_what_redis_keeps_names_nobody_and_ends(api: Api, server: redis.Redis, validator: Validator) -> None:
    client = api({"/notes": Note}, login_validator=validator)
    assert _statuses(client, 12) == TEN

    keys: Any = server.keys("*")

    assert len(keys) == 1
    assert b"ann" not in keys[0]
    assert 0 < int(server.ttl(keys[0])) <= 60
    server.delete(*keys)
    assert _login(client, password="right").status_code == 200


@ONE_ENGINE
@ONE_HOST
def test_without_redis_every_app_counts_for_itself(api: Api, validator: Validator) -> None:
    first, second = (api({"/notes": Note}, login_validator=validator) for _ in range(2))

    assert _statuses(first, 12) == TEN
    assert _statuses(second, 12) == TEN


@ONE_ENGINE
def test_the_count_goes_on_in_the_process_while_redis_is_unreachable(
    api: Api, validator: Validator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTAPI_REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    client = api({"/notes": Note}, login_validator=validator)

    assert _statuses(client, 12) == TEN
    assert _login(client, "bob", "right").status_code == 200
