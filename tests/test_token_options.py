"""What an app may say about its tokens: secrets, dates, audience, issuer, algorithms, keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from lightapi import Authentication, ConfigurationError, Field, JWTAuthentication, RestEndpoint
from tests.support.hosts import Api

pytestmark = [pytest.mark.hosts("asgi"), pytest.mark.engines("sqlite-sync")]

SECRET = "a made-up secret of more than 32 bytes"
OTHER = "another made-up secret of more than 32"
LONG = "a made-up secret of 64 bytes or more, as HS512 asks for: 0123456789"
NOW = int(time.time())
LATER = NOW + 86_400
FORMS = ("arguments", "attributes")


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", SECRET)


def _backend(form: str, **options: Any) -> Any:
    """Give the options as arguments, or as attributes of a subclass."""
    return JWTAuthentication(**options) if form == "arguments" else type("Own", (JWTAuthentication,), options)


def _endpoint(backend: Any) -> type[RestEndpoint]:
    class Secret(RestEndpoint):
        """Known users only."""

        title: str = Field(min_length=1)

        class Meta:
            authentication = Authentication(backend=backend)

    return Secret


def _status(api: Api, backend: Any, token: str) -> int:
    response = api({"/secrets": _endpoint(backend)}).get("/secrets", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200 or response.json() == {"detail": "Authentication credentials invalid."}
    return response.status_code


def _token(key: Any = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"sub": "1", "exp": LATER} | claims, key, algorithm=algorithm)


def _handmade(header: dict[str, Any], payload: dict[str, Any], secret: bytes) -> str:
    signed = ".".join(_base64(json.dumps(part).encode()) for part in (header, payload))
    return f"{signed}.{_base64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def _base64(given: bytes) -> str:
    return base64.urlsafe_b64encode(given).rstrip(b"=").decode()


def _without_exp() -> str:
    return jwt.encode({"sub": "1"}, SECRET, algorithm="HS256")


AUDIENCE = {"audience": "api"}
AUDIENCES = {"audience": ["api", "app"]}
ISSUER = {"issuer": "https://a.example"}
ISSUERS = {"issuer": ["https://a.example", "https://b.example"]}
CLAIMS: list[tuple[str, dict[str, Any], dict[str, Any], int]] = [
    ("aud right", AUDIENCE, {"aud": "api"}, 200),
    ("aud among others", AUDIENCE, {"aud": ["other", "api"]}, 200),
    ("one of the audiences", AUDIENCES, {"aud": "app"}, 200),
    ("aud wrong", AUDIENCE, {"aud": "other"}, 401),
    ("aud a prefix", AUDIENCE, {"aud": "ap"}, 401),
    ("aud in capitals", AUDIENCE, {"aud": "API"}, 401),
    ("aud missing", AUDIENCE, {}, 401),
    ("aud null", AUDIENCE, {"aud": None}, 401),
    ("aud empty", AUDIENCE, {"aud": ""}, 401),
    ("aud an empty list", AUDIENCE, {"aud": []}, 401),
    ("aud a number", AUDIENCE, {"aud": 1}, 401),
    ("aud an object", AUDIENCE, {"aud": {"api": 1}}, 401),
    ("aud a mixed list", AUDIENCE, {"aud": ["api", 1]}, 401),
    ("iss right", ISSUER, {"iss": "https://a.example"}, 200),
    ("one of the issuers", ISSUERS, {"iss": "https://b.example"}, 200),
    ("iss wrong", ISSUER, {"iss": "https://b.example"}, 401),
    ("iss a prefix", ISSUER, {"iss": "https://a"}, 401),
    ("iss missing", ISSUER, {}, 401),
    ("iss null", ISSUER, {"iss": None}, 401),
    ("iss a list", ISSUER, {"iss": ["https://a.example"]}, 401),
    ("iss a number", ISSUERS, {"iss": 1}, 401),
    ("both right", AUDIENCE | ISSUER, {"aud": "api", "iss": "https://a.example"}, 200),
    ("one of both wrong", AUDIENCE | ISSUER, {"aud": "api", "iss": "https://b.example"}, 401),
    ("exp within the leeway", {"leeway": 600}, {"exp": -60}, 200),
    ("exp beyond the leeway", {"leeway": 600}, {"exp": -3600}, 401),
    ("nbf and iat within the leeway", {"leeway": 600.5}, {"nbf": 300, "iat": 300}, 200),
    ("nbf beyond the leeway", {"leeway": 600}, {"nbf": 3600}, 401),
    ("iat beyond the leeway", {"leeway": 600}, {"iat": 3600}, 401),
    ("no leeway", {}, {"exp": -60}, 401),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("options", "claims", "status"), [case[1:] for case in CLAIMS], ids=[case[0] for case in CLAIMS]
)
def test_options_decide_which_claims_pass(
    api: Api, form: str, options: dict[str, Any], claims: dict[str, Any], status: int
) -> None:
    # what the library refuses to write a stranger may still sign; dates are given as seconds from now
    dates = {name: int(time.time()) + claims[name] for name in ("exp", "nbf", "iat") if name in claims}
    token = _handmade({"alg": "HS256"}, {"sub": "1", "exp": LATER} | claims | dates, SECRET.encode())

    assert _status(api, _backend(form, **options), token) == status


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("given", "status"), [(False, 200), (True, 401), (None, 401)])
def test_require_exp_decides_about_tokens_without_it(api: Api, form: str, given: bool | None, status: int) -> None:
    assert _status(api, _backend(form, require_exp=given), _without_exp()) == status


@pytest.mark.parametrize(
    ("value", "status"), [("false", 200), ("False", 200), ("0", 200), ("no", 200), ("true", 401), ("", 401), ("x", 401)]
)
def test_the_environment_may_accept_tokens_without_exp(
    api: Api, monkeypatch: pytest.MonkeyPatch, value: str, status: int
) -> None:
    monkeypatch.setenv("LIGHTAPI_JWT_REQUIRE_EXP", value)

    assert _status(api, JWTAuthentication, _without_exp()) == status


@pytest.mark.parametrize(("given", "value", "status"), [(True, "false", 401), (False, "true", 200)])
def test_the_argument_goes_before_the_environment(
    api: Api, monkeypatch: pytest.MonkeyPatch, given: bool, value: str, status: int
) -> None:
    monkeypatch.setenv("LIGHTAPI_JWT_REQUIRE_EXP", value)

    assert _status(api, JWTAuthentication(require_exp=given), _without_exp()) == status


def test_a_token_that_need_not_expire_must_not_have_expired(api: Api) -> None:
    assert _status(api, JWTAuthentication(require_exp=False), _token(exp=NOW - 60)) == 401


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [OTHER, OTHER.encode()], ids=["str", "bytes"])
def test_a_backends_own_secret_goes_before_the_environments(api: Api, form: str, secret: Any) -> None:
    assert _status(api, _backend(form, secret=secret), _token(OTHER)) == 200
    assert _status(api, _backend(form, secret=secret), _token(SECRET)) == 401


@pytest.mark.parametrize("value", [None, "", "   "], ids=["missing", "empty", "blank"])
def test_no_secret_is_a_configuration_error(api: Api, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("LIGHTAPI_JWT_SECRET")
    if value is not None:
        monkeypatch.setenv("LIGHTAPI_JWT_SECRET", value)

    with pytest.raises(ConfigurationError, match="LIGHTAPI_JWT_SECRET"):
        api({"/secrets": _endpoint(JWTAuthentication)})


def test_a_short_secret_is_pointed_out_once_and_works(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", "your-secret-key")
    token = _handmade({"alg": "HS256"}, {"sub": "1", "exp": LATER}, b"your-secret-key")

    with pytest.warns(RuntimeWarning, match="15 bytes"):
        client = api({"/secrets": _endpoint(JWTAuthentication)})

    assert client.get("/secrets", headers={"Authorization": f"Bearer {token}"}).status_code == 200


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("algorithms", "used", "status"),
    [
        (["HS512"], "HS512", 200),
        (["HS512"], "HS256", 401),
        ("HS384", "HS384", 200),
        (["HS256", "HS512"], "HS512", 200),
        (["HS256", "HS512"], "HS256", 200),
        (["HS256", "HS512"], "HS384", 401),
    ],
)
def test_only_the_algorithms_named_are_accepted(api: Api, form: str, algorithms: Any, used: str, status: int) -> None:
    token = _token(LONG, used)

    assert _status(api, _backend(form, secret=LONG, algorithms=algorithms), token) == status


@cache
def _pair(algorithm: str) -> Any:
    if algorithm[:2] in {"RS", "PS"}:
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else ed25519.Ed25519PrivateKey.generate()


def _pem(private: Any) -> bytes:
    pem: bytes = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem


PUBLIC = ("RS256", "PS256", "ES256", "EdDSA")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("algorithm", PUBLIC)
def test_tokens_of_a_private_key_pass_its_public_key(api: Api, form: str, algorithm: str) -> None:
    private = _pair(algorithm)

    for public in (_pem(private), _pem(private).decode(), private.public_key()):
        backend = _backend(form, algorithms=[algorithm], public_key=public)
        assert _status(api, backend, _token(private, algorithm)) == 200


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_tokens_of_another_private_key_do_not(api: Api, algorithm: str) -> None:
    stranger = _pair.__wrapped__(algorithm)

    backend = JWTAuthentication(algorithms=[algorithm], public_key=_pem(_pair(algorithm)))
    assert _status(api, backend, _token(stranger, algorithm)) == 401


@pytest.mark.parametrize("claimed", ["HS256", "none", "RS512", "same"])
@pytest.mark.parametrize("algorithm", PUBLIC)
def test_a_public_key_is_never_taken_for_a_secret(api: Api, algorithm: str, claimed: str) -> None:
    pem = _pem(_pair(algorithm))
    header = {"alg": algorithm if claimed == "same" else claimed}

    backend = JWTAuthentication(algorithms=[algorithm], public_key=pem)
    for secret in (pem, pem.strip(), SECRET.encode()):
        token = _handmade(header, {"sub": "1", "exp": LATER}, secret)
        assert _status(api, backend, token) == 401


@cache
def _mistakes() -> dict[str, dict[str, Any]]:
    pem = _pem(_pair("RS256"))
    return {
        "unknown algorithm": {"algorithms": ["HS257"]},
        "none": {"algorithms": ["none"]},
        "no algorithm": {"algorithms": []},
        "secrets and public keys": {"algorithms": ["HS256", "RS256"], "public_key": pem},
        "public key for a secret's algorithm": {"public_key": pem},
        "no public key": {"algorithms": ["RS256"]},
        "public key and key set": {"algorithms": ["RS256"], "public_key": pem, "jwks_url": "https://a.example"},
        "public key of another kind": {"algorithms": ["ES256"], "public_key": pem},
        "public key that is none": {"algorithms": ["RS256"], "public_key": "key"},
        "private key of another pair": {
            "algorithms": ["RS256"],
            "public_key": pem,
            "private_key": _pair.__wrapped__("RS256"),
        },
        "small key": {"algorithms": ["RS256"], "public_key": rsa.generate_private_key(65537, 1024).public_key()},
        "key set in a file": {"algorithms": ["RS256"], "jwks_url": "file:///etc/hosts"},
        "key set at a number": {"algorithms": ["RS256"], "jwks_url": 5},
        "leeway below zero": {"leeway": -1},
        "leeway a string": {"leeway": "60"},
        "leeway true": {"leeway": True},
        "leeway infinite": {"leeway": float("inf")},
        "lifetime zero": {"lifetime": 0},
        "lifetime a fraction": {"lifetime": 1.5},
        "audience a number": {"audience": 1},
        "audience empty": {"audience": []},
        "issuer a number": {"issuer": 1},
        "secret a number": {"secret": 1},
        "secret blank": {"secret": " "},
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", _mistakes())
def test_options_that_cannot_work_are_configuration_errors(api: Api, form: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match="JWTAuthentication" if form == "arguments" else "Own"):
        api({"/secrets": _endpoint(_backend(form, **_mistakes()[name]))})
