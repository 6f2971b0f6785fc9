"""What a start says: where the app listens, where its pages are, and what it serves from where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from lightapi import LightApi, RestEndpoint
from lightapi.running import summary


def app_of(*paths: str, **options: Any) -> LightApi:
    """Return an app with an endpoint at each path."""
    app = LightApi(**{"database_url": "sqlite:///books.db", **options})
    app.register({path: type(f"Endpoint{number}", (RestEndpoint,), {}) for number, path in enumerate(paths)})
    return app


def test_a_start_says_where_things_are() -> None:
    told = summary(app_of("/b", "/a"), "127.0.0.1", 8000).splitlines()

    assert told[0] == "LightAPI: http://127.0.0.1:8000"
    assert "  docs      http://127.0.0.1:8000/docs" in told
    assert "  document  http://127.0.0.1:8000/openapi.json" in told
    assert told[-2:] == ["  database  sqlite, books.db", "  endpoints /a, /b"]


def test_many_endpoints_are_counted() -> None:
    assert summary(app_of(*(f"/e{number}" for number in range(9))), "x", 1).endswith("  endpoints 9")


def test_a_page_that_is_not_served_is_not_named() -> None:
    assert "openapi" not in summary(app_of("/a", openapi_url=None), "127.0.0.1", 8000)
    moved = summary(app_of("/a", openapi_url="/spec.json"), "127.0.0.1", 8000)
    assert "http://127.0.0.1:8000/spec.json" in moved
    assert "  document" not in summary(app_of("/openapi.json"), "127.0.0.1", 8000)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("0.0.0.0", "http://127.0.0.1:80 (and every other address of this machine)"),
        ("::", "http://127.0.0.1:80 (and every other address of this machine)"),
        ("::1", "http://[::1]:80"),
        ("api.example", "http://api.example:80"),
    ],
)
def test_the_address_is_one_that_can_be_opened(given: str, told: str) -> None:
    assert summary(app_of("/a"), given, 80).splitlines()[0] == f"LightAPI: {told}"


def test_debug_and_reload_are_pointed_out() -> None:
    told = summary(app_of("/a"), "127.0.0.1", 80, debug=True, reload=True)

    assert "debug is on" in told
    assert "reload is on" in told


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql+psycopg://me:geheim@db.example:5432/shop", "postgresql, shop"),
        ("postgresql+asyncpg://me:geheim@db.example/shop", "postgresql, shop"),
        ("sqlite://", "sqlite, in memory"),
        ("sqlite:///file:a%20b.db?mode=ro&uri=true", "sqlite, a b.db"),
    ],
    ids=["psycopg", "asyncpg", "memory", "file"],
)
def test_nothing_secret_of_the_database_is_said(url: str, told: str) -> None:
    text = summary(app_of("/a", database_url=url), "127.0.0.1", 80)

    assert f"  database  {told}\n" in text
    assert "geheim" not in text
    assert "example" not in text


def test_run_on_a_socket_names_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("uvicorn.run", lambda *_, **__: None)
    engine = create_engine(f"sqlite:///{tmp_path / 'a.db'}")

    app_of("/a", engine=engine).run(uds="/run/api.sock")
    printed = capsys.readouterr().out
    assert printed.startswith("LightAPI: unix:/run/api.sock\n")
    assert "  document  /openapi.json\n" in printed
    engine.dispose()
