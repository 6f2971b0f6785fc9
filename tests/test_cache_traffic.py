"""What the cache asks of Redis, and what links say of kept answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import redis
from starlette.applications import Starlette
from starlette.routing import Mount

from lightapi import Cache, LightApi, Pagination, RestEndpoint
from tests.support import servers
from tests.support.hosts import Api, Database, LoopThread, close_bridge, close_redis
from tests.support.kept import empty_redis, near, plain, warmed
from tests.support.transports import AsgiTransport, WsgiTransport

__all__ = ["empty_redis"]


class Note(RestEndpoint):
    """Kept, list and items."""

    title: str

    class Meta:
        cache = Cache(ttl=60)


class Paged(RestEndpoint):
    """Kept with a ``Link`` header."""

    title: str

    class Meta:
        cache = Cache(ttl=60)
        pagination = Pagination(style="cursor", page_size=1)


@near
@plain
def test_links_under_a_mount_prefix_are_those_of_the_prefix(
    database: Database, loop_thread: LoopThread, host: str
) -> None:
    apps: list[LightApi] = []

    def serve(prefix: str) -> httpx.Client:
        app = LightApi(engine=database.make_engine())
        app.register({"/notes": Paged})
        apps.append(app)
        if host == "asgi":
            mounted = Starlette(routes=[Mount(prefix or "/", app=app.build_app())])
            return httpx.Client(transport=AsgiTransport(mounted, loop_thread.run), base_url="http://test" + prefix)
        return httpx.Client(transport=WsgiTransport(app.build_wsgi_app(), prefix), base_url="http://test" + prefix)

    for prefix in ("", "/one", "/two"):
        with serve(prefix) as client:
            for title in ("a", "b"):
                assert client.post("/notes", json={"title": title}).status_code == 201
            links = [client.get("/notes").headers["link"] for _ in range(2)]
            close_redis(apps[-1], loop_thread)
        assert links[0] == links[1]
        assert links[0].startswith(f"<{prefix}/notes>"), links


class Uncached(RestEndpoint):
    """Never asks Redis, not even when it is written."""

    title: str


@pytest.fixture(scope="module")
def counted_url() -> Iterator[str]:
    """Give a Redis that nobody else asks."""
    with servers.private("redis") as server:
        yield server.url


def _counts(url: str) -> dict[str, int]:
    with redis.Redis.from_url(url) as client:
        found: Any = client.info("commandstats")
    ours = ("cmdstat_info", "cmdstat_client", "cmdstat_hello", "cmdstat_select", "cmdstat_ping", "cmdstat_config")
    return {name: entry["calls"] for name, entry in found.items() if not name.startswith(ours)}


def test_a_hit_is_one_command_and_an_endpoint_without_cache_none(
    api: Api, counted_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTAPI_REDIS_URL", counted_url)
    client = api({"/notes": Note, "/plain": Uncached})
    warmed(client, "/notes")
    before = _counts(counted_url)

    for _ in range(3):
        client.get("/plain")
        client.post("/plain", json={"title": "a"})
        assert "x-cache" not in client.get("/plain/1").headers
    assert _counts(counted_url) == before

    warmed(client, "/notes")
    after = _counts(counted_url)
    assert {name: calls - before.get(name, 0) for name, calls in after.items() if calls != before.get(name)} == {
        "cmdstat_mget": 2
    }


@near
@plain
def test_an_app_without_cached_endpoints_has_no_link_to_redis(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTAPI_REDIS_URL", "redis://127.0.0.1:1/0")
    app = LightApi(engine=database.make_engine())
    app.register({"/plain": Uncached})
    with httpx.Client(transport=WsgiTransport(app.build_wsgi_app()), base_url="http://test") as client:
        assert client.get("/readyz").json() == {"status": "ok", "database": "ok"}
    close_bridge(app)
