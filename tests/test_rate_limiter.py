"""The login's rate_limiter: a number of one's own, an object, none at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lightapi import Authentication, BasicAuthentication, ConfigurationError, Field, RestEndpoint
from tests.support.hosts import Api, Client

ONE_ENGINE = pytest.mark.engines("sqlite-sync")
ONE_HOST = pytest.mark.hosts("asgi")


class Note(RestEndpoint):
    """Known users only."""

    title: str = Field(min_length=1)

    class Meta:
        authentication = Authentication(backend=BasicAuthentication)


class Validator:
    """Lets in who knows the one password, and notes every question."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, username: str, password: str) -> Any:
        self.asked.append(username)
        return {"sub": username} if password == "right" else None


@pytest.fixture(autouse=True)
def _no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIGHTAPI_REDIS_URL", raising=False)


@pytest.fixture
def validator() -> Validator:
    return Validator()


def _login(client: Client, name: str = "ann", password: str = "wrong") -> httpx.Response:
    return client.post("/auth/login", json={"username": name, "password": password})


def _statuses(client: Client, times: int, password: str = "wrong") -> list[int]:
    return [_login(client, password=password).status_code for _ in range(times)]


@ONE_ENGINE
@ONE_HOST
def test_a_number_of_ones_own(api: Api, validator: Validator) -> None:
    client = api({"/notes": Note}, login_validator=validator, rate_limiter={"requests_per_minute": 3})

    assert _statuses(client, 5) == [401] * 3 + [429] * 2


@ONE_ENGINE
@ONE_HOST
def test_false_counts_nothing(api: Api, validator: Validator) -> None:
    client = api({"/notes": Note}, login_validator=validator, rate_limiter=False)

    assert _statuses(client, 15) == [401] * 15


class Limiter:
    """A limiter of one's own: two failures per key, for good."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def begin(self, key: str) -> Any:
        return self._noted("begin", 7.2 if self.events.count("failed") >= 2 else 0)

    def succeeded(self, key: str) -> Any:
        self._noted("succeeded")

    def failed(self, key: str) -> Any:
        self._noted("failed")

    def _noted(self, event: str, answer: float = 0) -> float:
        self.events.append(event)
        return answer


class AsyncLimiter(Limiter):
    """The same, asynchronously."""

    async def begin(self, key: str) -> Any:
        return super().begin(key)

    async def succeeded(self, key: str) -> None:
        super().succeeded(key)

    async def failed(self, key: str) -> None:
        super().failed(key)


@pytest.mark.engines("sqlite-sync", "sqlite-async")
@pytest.mark.parametrize("make", [Limiter, AsyncLimiter])
def test_a_limiter_of_ones_own_decides(api: Api, validator: Validator, make: Callable[[], Limiter]) -> None:
    limiter = make()
    client = api({"/notes": Note}, login_validator=validator, rate_limiter=limiter)

    assert _statuses(client, 1, password="right") + _statuses(client, 2) == [200, 401, 401]
    response = _login(client, "bob", "right")

    assert (response.status_code, response.headers["retry-after"]) == (429, "8")
    assert limiter.events == ["begin", "succeeded", "begin", "failed", "begin", "failed", "begin"]
    assert validator.asked == ["ann"] * 3


WRONG_LIMITERS: list[Any] = [
    {},
    {"requests_per_minute": 0},
    {"requests_per_minute": -1},
    {"requests_per_minute": True},
    {"requests_per_minute": "10"},
    {"requests_per_minute": 1.5},
    {"per_minute": 3},
    {"requests_per_minute": 3, "per_hour": 5},
    True,
    0,
    10,
    "10",
    [],
    object(),
    Validator(),
]


@ONE_ENGINE
@ONE_HOST
@pytest.mark.parametrize("given", WRONG_LIMITERS, ids=lambda given: str(given).partition(" object")[0])
def test_what_is_no_limiter_is_a_configuration_error(api: Api, given: Any) -> None:
    with pytest.raises(ConfigurationError, match="rate_limiter"):
        api({"/notes": Note}, rate_limiter=given)
