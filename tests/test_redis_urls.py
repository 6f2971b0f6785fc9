"""Where Redis is: one server, a socket, a cluster; and what is said of a URL that is none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from lightapi import Cache, ConfigurationError, LightApi, RestEndpoint
from tests.support import servers
from tests.support.hosts import Api
from tests.support.processes import free_port


class Kept(RestEndpoint):
    """Is cached."""

    name: str

    class Meta:
        cache = Cache(ttl=60)


@pytest.fixture(scope="module")
def cluster_url() -> Iterator[str]:
    """Start a cluster of one node, which refuses commands whose keys are in different slots like any other."""
    with servers.private("redis", "cluster-enabled=yes", f"cluster-port={free_port()}") as server:
        with redis.Redis.from_url(server.url) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            deadline = time.monotonic() + 30
            while not _is_ready(client.execute_command("CLUSTER INFO")):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield server.url


def _is_ready(info: Any) -> bool:
    """Understand ``CLUSTER INFO``, parsed by some versions of redis-py and not by others."""
    return "ok" in (info["cluster_state"] if isinstance(info, dict) else bytes(info).decode().split()[0])


@pytest.mark.engines("sqlite-sync", "sqlite-async")
@pytest.mark.hosts("asgi", "wsgi-direct")
@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
def test_a_cluster_keeps_answers(api: Api, cluster_url: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_REDIS_URL", cluster_url.replace("redis://", f"{scheme}://"))
    client = api({"/kept": Kept})

    def state() -> str:
        return client.get("/kept").headers["x-cache"]

    before = [state(), state()]
    assert client.post("/kept", json={"name": "x"}).status_code == 201
    assert [*before, state(), state()] == ["miss", "hit", "miss", "hit"]
    assert client.get("/readyz").json() == {"status": "ok", "database": "ok", "redis": "ok"}


@pytest.mark.parametrize("url", ["localhost", "http://localhost:6379", "redis://:hush@localhost:port/0"])
def test_what_is_no_url_of_redis_is_said_when_the_app_is_built(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_REDIS_URL", url)
    app = LightApi(database_url="sqlite://")
    app.register({"/kept": Kept})

    with pytest.raises(ConfigurationError, match="LIGHTAPI_REDIS_URL: no Redis URL") as raised:
        app.build_app()

    assert "hush" not in str(raised.value)
