"""The audit at start: who may call what, and what somebody perhaps forgot to protect."""

from __future__ import annotations

import logging

import pytest

from lightapi import (
    AllowAny,
    Authentication,
    BasicAuthentication,
    Cache,
    HttpMethod,
    IsAdminUser,
    IsAuthenticated,
    JWTAuthentication,
    LightApi,
    RestEndpoint,
)


class Token(JWTAuthentication):
    """Has a secret of its own."""

    secret = "s" * 32


class Secret(RestEndpoint, HttpMethod.GET, HttpMethod.POST, HttpMethod.DELETE):
    """Each verb is another matter."""

    name: str

    class Meta:
        authentication = Authentication(
            backend=[Token, BasicAuthentication],
            permission={"GET": AllowAny, "POST": IsAdminUser | (IsAuthenticated & ~IsAdminUser)},
        )
        cache = Cache(ttl=60)


class Forgotten(RestEndpoint, HttpMethod.GET, HttpMethod.POST):
    """Says nothing."""

    name: str


class Declared(RestEndpoint, HttpMethod.GET):
    """Says that it is for everybody."""

    name: str

    class Meta:
        authentication = Authentication(permission=AllowAny)


def _app(**endpoints: type[RestEndpoint]) -> LightApi:
    app = LightApi(database_url="sqlite://")
    app.register({f"/{path}": endpoint for path, endpoint in endpoints.items()})
    return app


def test_every_verb_of_every_path_is_described() -> None:
    rows = _app(secrets=Secret, open=Declared).describe()

    both = "Token, BasicAuthentication"
    formula = "(IsAdminUser | (IsAuthenticated & ~IsAdminUser))"
    assert [(row.path, row.verb, row.authentication, row.permission, row.is_public) for row in rows] == [
        ("/secrets", "GET", both, "AllowAny", True),
        ("/secrets", "POST", both, formula, False),
        ("/secrets/{id}", "GET", both, "AllowAny", True),
        ("/secrets/{id}", "DELETE", both, "DenyAll", False),
        ("/open", "GET", "", "AllowAny", True),
        ("/open/{id}", "GET", "", "AllowAny", True),
        ("/healthz", "GET", "", "AllowAny", True),
        ("/readyz", "GET", "", "AllowAny", True),
        ("/auth/login", "POST", "", "AllowAny", True),
        ("/auth/token", "POST", "", "AllowAny", True),
        ("/openapi.json", "GET", "", "AllowAny", True),
        ("/docs", "GET", "", "AllowAny", True),
    ]
    assert {(row.endpoint, row.cache is not None) for row in rows if row.verb == "GET"} == {
        ("Secret", True),
        ("Declared", False),
        ("", False),
    }


def test_what_is_public_beside_protected_endpoints_is_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "lightapi"):
        _app(secrets=Secret, forgotten=Forgotten, open=Declared).build_app()

    found = [record.getMessage() for record in caplog.records if "public" in record.getMessage()]
    assert len(found) == 1
    assert "Forgotten: /forgotten is public (GET, POST)" in found[0]
    assert "AllowAny" in found[0]


def test_passwords_that_nobody_checks_are_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    class Vault(RestEndpoint):
        class Meta:
            authentication = Authentication(backend=BasicAuthentication)

    with caplog.at_level(logging.WARNING, "lightapi"):
        _app(vault=Vault).build_app()

    assert "BasicAuthentication refuses everybody" in caplog.text


def test_an_app_without_any_authentication_is_left_in_peace(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "lightapi"):
        _app(forgotten=Forgotten, open=Declared).build_app()

    assert not [record for record in caplog.records if "public" in record.getMessage()]
