"""What tests of the cache share: an empty Redis, and what answers say of it."""

from __future__ import annotations

import httpx
import pytest
import redis

__all__ = ["both", "empty_redis", "near", "one_host", "plain", "state", "states", "warmed"]

near = pytest.mark.hosts("asgi", "wsgi-direct")
one_host = pytest.mark.hosts("wsgi-direct")
both = pytest.mark.engines("sqlite-sync", "sqlite-async")
plain = pytest.mark.engines("sqlite-sync")


@pytest.fixture(autouse=True)
def empty_redis(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every app of a module that imports this use an empty Redis."""
    monkeypatch.setenv("LIGHTAPI_REDIS_URL", redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()


def state(response: httpx.Response) -> str | None:
    """Return what an answer says of the cache."""
    found: str | None = response.headers.get("x-cache")
    return found


def states(client: httpx.Client, *paths: str) -> list[str | None]:
    """Return what the answers say of the cache."""
    return [state(client.get(path)) for path in paths]


def warmed(client: httpx.Client, *paths: str) -> None:
    """Have the answers of the paths kept."""
    for path in paths:
        assert client.get(path).status_code == 200
        assert state(client.get(path)) == "hit"
