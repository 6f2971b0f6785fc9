"""What an app with a cache says when it starts: wrong declarations, what may go wrong, a Redis that is away."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select
from starlette.requests import Request
from starlette.testclient import TestClient

from lightapi import (
    Authentication,
    Cache,
    ConfigurationError,
    Filtering,
    JWTAuthentication,
    LightApi,
    Pagination,
    RestEndpoint,
)
from tests.support.hosts import Api, Database
from tests.support.kept import empty_redis, near, plain
from tests.support.processes import free_port

__all__ = ["empty_redis"]


class Note(RestEndpoint):
    """Kept, filtered and in pages."""

    title: str
    author: str = "nobody"

    class Meta:
        cache = Cache(ttl=60)
        filtering = Filtering(fields=["title", "author"])
        pagination = Pagination(style="page_number", page_size=1)


class Another(RestEndpoint):
    """Kept, in a table named by the test."""

    title: str

    class Meta:
        cache = Cache(ttl=60)


def declared(base: type[RestEndpoint] = Another, **meta: Any) -> type[RestEndpoint]:
    """Return an endpoint of the base with these in its Meta."""
    return type("Declared", (base,), {"Meta": type("Meta", (), meta)})


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": 0},
        {"ttl": -1},
        {"ttl": True},
        {"ttl": "60"},
        {"ttl": float("nan")},
        {"ttl": float("inf")},
        {"ttl": 60, "vary_on": "title"},
        {"ttl": 60, "vary_on": [1]},
        {"ttl": 60, "vary_headers": "Accept"},
        {"ttl": 60, "vary_headers": ["bad header"]},
        {"ttl": 60, "vary_headers": [""]},
    ],
    ids=repr,
)
def test_wrong_declarations_are_configuration_errors(options: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Cache\("):
        Cache(**options)


@pytest.mark.parametrize("given", [60, {"ttl": 60}, Cache, "60"], ids=repr)
def test_a_cache_that_is_none_is_a_configuration_error(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="cache"):
        declared(cache=given)


def _build(tmp_path: Path, endpoint: type[RestEndpoint]) -> LightApi:
    app = LightApi(engine=create_engine(f"sqlite:///{tmp_path / 'a.db'}"))
    app.register({"/notes": endpoint})
    app.build_wsgi_app()
    return app


@pytest.mark.parametrize("hook", ["queryset", "list", "get", "retrieve"])
def test_a_hook_that_may_look_at_the_request_is_pointed_out(
    hook: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def own(self: Any, request: Request, pk: Any = None) -> Any:
        return select(type(self))

    _build(tmp_path, type("Hooked", (Another,), {hook: own}))

    assert f"Hooked.Meta.cache: {hook} may look at the request" in caplog.text


@pytest.mark.parametrize("meta", ["backend", "vary_headers"])
def test_a_backend_or_vary_headers_answer_that(
    meta: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", "x" * 40)
    options: dict[str, Any] = {
        "backend": {"cache": Cache(ttl=60), "authentication": Authentication(backend=JWTAuthentication)},
        "vary_headers": {"cache": Cache(ttl=60, vary_headers=["X-Tenant"])},
    }
    base = type("Hooked", (Another,), {"queryset": lambda self, request: select(type(self))})

    _build(tmp_path, declared(base, **options[meta]))

    assert "may look at the request" not in caplog.text


@near
@plain
def test_an_unreachable_redis_is_a_warning_at_start_and_not_ready(
    api: Api, host: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setenv("LIGHTAPI_REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        client = api({"/notes": Note})

    if host == "asgi":
        assert any(w.category is RuntimeWarning and "Redis cannot be reached" in str(w.message) for w in seen)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["redis"]) == (503, "unavailable")
    assert [client.get("/notes").status_code for _ in range(3)] == [200] * 3


@pytest.mark.hosts("asgi")
@plain
def test_run_warns_of_an_unreachable_redis(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setenv("LIGHTAPI_REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    monkeypatch.setattr("uvicorn.run", lambda *_args, **_options: None)
    app = LightApi(engine=database.make_engine())
    app.register({"/notes": Note})

    with pytest.warns(RuntimeWarning, match="Redis cannot be reached") as warned:
        _run_and_start(app)
    assert [str(each.message) for each in warned] == ["Redis cannot be reached: nothing is cached until it can"]


def _run_and_start(app: LightApi) -> None:
    app.run()
    with TestClient(app.build_app()):
        """Start and stop."""


@near
@plain
def test_readiness_names_redis_where_it_is_used(api: Api) -> None:
    client = api({"/notes": Note})

    assert client.get("/readyz").json() == {"status": "ok", "database": "ok", "redis": "ok"}
