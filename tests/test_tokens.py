"""Tokens that must not pass, whatever is wrong with them, and those that must."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from lightapi import Authentication, Field, JWTAuthentication, RestEndpoint
from tests.support.hosts import Api, Client

SECRET = "a made-up secret of more than 32 bytes"
NOW = int(time.time())
LATER = NOW + 86_400
HEADER = {"alg": "HS256", "typ": "JWT"}
PAYLOAD: dict[str, Any] = {"sub": "1", "exp": LATER}
DEEP = 100_000
HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
REFUSED = (401, b'{"detail":"Authentication credentials invalid."}', "Bearer", "no-store")


class Secret(RestEndpoint):
    """Known users only."""

    title: str = Field(min_length=1)

    class Meta:
        authentication = Authentication(backend=JWTAuthentication)


def _encoded(value: Any) -> str:
    given = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(given).rstrip(b"=").decode()


def _token(payload: Any, header: Any = HEADER, secret: str = SECRET, algorithm: str = "HS256") -> str:
    """Sign by hand what a library would refuse to; bytes are taken as they are."""
    signed = f"{_encoded(header)}.{_encoded(payload)}"
    signature = hmac.new(secret.encode(), signed.encode(), HASHES[algorithm]).digest()
    return f"{signed}.{_encoded(signature)}"


def _headed(**changes: Any) -> str:
    return _token(PAYLOAD, HEADER | changes)


def _claiming(**changes: Any) -> str:
    return _token(PAYLOAD | changes)


def _raw(claims: str) -> str:
    """Sign a good payload with claims that are JSON only nearly, or that ``json.dumps`` does not write."""
    return _token(b'{"sub": "1", ' + claims.encode() + b"}")


GOOD = _token(PAYLOAD)
SIGNED, _, SIGNATURE = GOOD.rpartition(".")
HEAD, BODY = SIGNED.split(".")
FIRST = "B" if SIGNATURE[0] == "A" else "A"

ALGORITHMS = {
    **{f"alg {name!r}, unsigned": f"{_encoded({'alg': name})}.{BODY}." for name in ("none", "None", "NONE", "nOnE")},
    **{f"alg {name!r}, signed": _headed(alg=name) for name in ("none", "None", "NONE", "none ", "")},
    **{f"alg {name}, signed with the secret": _headed(alg=name) for name in ("RS256", "ES256", "EdDSA", "PS512")},
    **{f"alg {name}, rightly signed": _token(PAYLOAD, {"alg": name}, algorithm=name) for name in ("HS384", "HS512")},
    **{f"alg {name!r}": _headed(alg=name) for name in ("hs256", "XX256", 256, True, None, ["HS256"], {"alg": "HS256"})},
    "alg missing": _token(PAYLOAD, {"typ": "JWT"}),
}
SIGNATURES = {
    "signature of another secret": _token(PAYLOAD, secret="another made-up secret of more than 32"),
    "signature of an empty secret": _token(PAYLOAD, secret=""),
    "signature changed": f"{SIGNED}.{FIRST}{SIGNATURE[1:]}",
    "signature truncated": f"{SIGNED}.{SIGNATURE[:-4]}",
    "signature lengthened": f"{SIGNED}.{SIGNATURE}AAAA",
    "signature empty": f"{SIGNED}.",
    "signature not base64": f"{SIGNED}.A",
    "signature of another payload": f"{HEAD}.{_encoded(PAYLOAD | {'is_admin': True})}.{SIGNATURE}",
    "signature of another header": f"{_encoded({'alg': 'HS256'})}.{BODY}.{SIGNATURE}",
    "signature missing": SIGNED,
    "payload missing": f"{HEAD}..{SIGNATURE}",
    "header missing": f".{BODY}.{SIGNATURE}",
    "four parts": f"{GOOD}.{SIGNATURE}",
    "five parts": f"{HEAD}.{BODY}.{BODY}.{BODY}.{SIGNATURE}",
    "one dot": ".",
    "two dots": "..",
    "no dot": "abc",
}
HEADERS = {
    "header not JSON": _token(PAYLOAD, b"{alg: HS256}"),
    "header not UTF-8": _token(PAYLOAD, b'{"alg": "HS256", "typ": "\xff"}'),
    "header a list": _token(PAYLOAD, ["HS256"]),
    "header a string": _token(PAYLOAD, "HS256"),
    "header null": _token(PAYLOAD, None),
    "header empty": _token(PAYLOAD, {}),
    "header deeply nested": _token(PAYLOAD, b'{"alg": "HS256", "a": ' + b"[" * DEEP + b"]" * DEEP + b"}"),
    "crit unknown": _headed(crit=["exp"], exp=LATER),
    "crit empty": _headed(crit=[]),
    "crit a string": _headed(crit="b64"),
    "b64 false": _headed(b64=False, crit=["b64"]),
    "b64 false without crit": _headed(b64=False),
    **{f"kid {value!r}": _headed(kid=value) for value in (1, ["a"], {"a": 1}, True)},
}
PAYLOADS = {
    "payload not JSON": _token(b"{sub: 1}"),
    "payload not UTF-8": _token(b'{"exp": 99999999999, "sub": "\xff"}'),
    "payload no bytes": _token(b""),
    **{f"payload {value!r}": _token(value) for value in ("exp", True, None)},
    "payload a list": _token([]),
    "payload in a list": _token([PAYLOAD]),
    "payload a moment": _token(LATER),
    "payload deeply nested": _raw(f'"exp": {LATER}, "a": ' + "[" * DEEP + "]" * DEEP),
    "payload with NaN": _raw(f'"exp": {LATER}, "a": NaN'),
    "payload with Infinity": _raw(f'"exp": {LATER}, "a": -Infinity'),
    "payload with 5,000 digits": _raw(f'"exp": {LATER}, "a": {"9" * 5000}'),
    "payload with a lone surrogate": _raw(f'"exp": {LATER}, "a": "\\ud800"'),
}
WRONG_DATES = {"true": True, "false": False, "a list": [LATER], "an object": {"a": 1}, "a word": "soon", "empty": ""}
DATES = {
    "exp missing": _token({"sub": "1"}),
    **{f"exp {value}": _claiming(exp=value) for value in (0, -1, -1e9)},
    **{f"exp {seconds} s ago": _claiming(exp=NOW - seconds) for seconds in (0.5, 1, 86_400)},
    **{
        f"{name} {kind}": _claiming(**{name: value})
        for name in ("exp", "nbf", "iat")
        for kind, value in WRONG_DATES.items()
    },
    **{f"{name} null": _claiming(**{name: None}) for name in ("exp", "nbf", "iat")},
    **{
        f"{name} digits in a string": _claiming(**{name: str(when)})
        for name, when in (("exp", LATER), ("nbf", 1), ("iat", 1))
    },
    **{
        f"{name} {number[:9]}": _raw(f'"exp": {LATER}, "{name}": {number}')
        for name in ("exp", "nbf", "iat")
        for number in ("Infinity", "-Infinity", "NaN", "1e400", "1" + "0" * 400, "9" * 5000)
    },
    "nbf to come": _claiming(nbf=LATER),
    "iat to come": _claiming(iat=LATER),
}
NAMES = {
    **{f"sub {value!r}": _claiming(sub=value) for value in (1, 1.5, True, None, ["1"], {"id": "1"})},
    "jti a number": _claiming(jti=1),
    "aud a string nobody configured": _claiming(aud="api"),
    "aud a list nobody configured": _claiming(aud=["api"]),
}
VALUES: dict[str, bytes] = {
    "empty": b"",
    "spaces": b"   ",
    "scheme alone": b"Bearer",
    "scheme and spaces": b"Bearer    ",
    "token alone": GOOD.encode(),
    **{
        f"scheme {name}": f"{name} {GOOD}".encode()
        for name in ("Basic", "Token", "JWT", "Bearer:", "Bearer,", "XBearer")
    },
    "scheme joined to the token": f"Bearer{GOOD}".encode(),
    "tab after the scheme": f"Bearer\t{GOOD}".encode(),
    "tab before the token": f"Bearer \t{GOOD}".encode(),
    "comma list": f"Bearer {GOOD}, Bearer {GOOD}".encode(),
    "comma list without a space": f"Bearer {GOOD},{GOOD}".encode(),
    "something after the token": f"Bearer {GOOD} {GOOD}".encode(),
    "token in quotes": f'Bearer "{GOOD}"'.encode(),
    "token as a parameter": f"Bearer token={GOOD}".encode(),
    "space in the token": f"Bearer {SIGNED} .{SIGNATURE}".encode(),
    "token null": b"Bearer null",
    "token of bytes that are no text": b"Bearer \xff\xfe\x80",
    "token with a letter beyond ASCII": f"Bearer {GOOD}é".encode(),
    "token with a NUL": f"Bearer {GOOD}\x00".encode(),
    "token of 8 KB": b"Bearer " + b"a" * 8192,
    "token of 8 KB with dots": b"Bearer " + b"aaa." * 2048,
    "header of 8 KB, wrongly signed": f"Bearer {_encoded(HEADER | {'kid': 'a' * 6000})}.{BODY}.{SIGNATURE}".encode(),
}
TOKENS = ALGORITHMS | SIGNATURES | HEADERS | PAYLOADS | DATES | NAMES
FORGED: dict[str, list[bytes]] = {
    "no header": [],
    **{name: [value] for name, value in VALUES.items()},
    **{name: [f"Bearer {token}".encode()] for name, token in TOKENS.items()},
}
TWICE = {
    "the same header twice": [f"Bearer {GOOD}".encode()] * 2,
    "a good header and an empty one": [f"Bearer {GOOD}".encode(), b""],
    "a good header after a bad one": [b"Bearer a.b.c", f"Bearer {GOOD}".encode()],
    "a good header and Basic": [f"Bearer {GOOD}".encode(), b"Basic YTpi"],
}
REQUESTS: list[tuple[str, str, Mapping[str, Any] | None]] = [
    ("GET", "/secrets", None),
    ("GET", "/secrets/1", None),
    ("POST", "/secrets", {"title": "forged"}),
    ("PUT", "/secrets/1", {"title": "forged", "version": 1}),
    ("PATCH", "/secrets/1", {"title": "forged", "version": 1}),
    ("DELETE", "/secrets/1", None),
]


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", SECRET)


@pytest.fixture
def client(api: Api) -> Client:
    client = api({"/secrets": Secret})
    made = client.post("/secrets", json={"title": "first"}, headers={"Authorization": f"Bearer {GOOD}"})
    assert made.status_code == 201
    return client


def _answers(client: Client, authorization: list[bytes]) -> list[tuple[Any, ...]]:
    return [_seen(_sent(client, request, authorization)) for request in REQUESTS]


def _sent(
    client: Client, request: tuple[str, str, Mapping[str, Any] | None], authorization: list[bytes]
) -> httpx.Response:
    verb, path, body = request
    return client.request(verb, path, json=body, headers=[(b"Authorization", value) for value in authorization])


def _seen(response: httpx.Response) -> tuple[Any, ...]:
    headers = response.headers
    return response.status_code, response.content, headers.get("www-authenticate"), headers.get("cache-control")


def _rows(client: Client) -> list[tuple[str, int]]:
    rows = client.get("/secrets", headers={"Authorization": f"Bearer {GOOD}"}).json()["results"]
    return [(row["title"], row["version"]) for row in rows]


def test_the_table_is_long_enough() -> None:
    assert len(FORGED) >= 60


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("name", FORGED | TWICE)
def test_a_token_that_is_wrong_in_any_way_is_a_401_and_writes_nothing(client: Client, name: str) -> None:
    assert _answers(client, (FORGED | TWICE)[name]) == [REFUSED] * len(REQUESTS)
    assert _rows(client) == [("first", 1)]


@pytest.mark.hosts("wsgi-direct", "wsgi-a2wsgi")
@pytest.mark.engines("sqlite-sync")
def test_wrong_tokens_are_401_on_every_host(client: Client) -> None:
    answers = {name: _answers(client, authorization) for name, authorization in FORGED.items()}

    assert answers == dict.fromkeys(FORGED, [REFUSED] * len(REQUESTS))
    assert _rows(client) == [("first", 1)]


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-async")
def test_wrong_tokens_are_401_on_an_async_engine(client: Client) -> None:
    answers = {name: _answers(client, authorization) for name, authorization in FORGED.items()}

    assert answers == dict.fromkeys(FORGED, [REFUSED] * len(REQUESTS))
    assert _rows(client) == [("first", 1)]


ACCEPTED = {
    "scheme as registered": f"Bearer {GOOD}",
    "scheme in small letters": f"bearer {GOOD}",
    "scheme in capitals": f"BEARER {GOOD}",
    "scheme in mixed letters": f"bEaReR {GOOD}",
    "several spaces": f"Bearer    {GOOD}",
    "exp with a fraction": f"Bearer {_claiming(exp=LATER + 0.5)}",
    "exp in a far future": f"Bearer {_claiming(exp=9_999_999_999_999)}",
    "nbf and iat past": f"Bearer {_claiming(nbf=1, iat=NOW - 0.5)}",
    "no sub": f"Bearer {_token({'exp': LATER})}",
    "other claims": f"Bearer {_claiming(name='Zoë', roles=['a', {'b': None}], iss='anybody')}",
    "other header fields": f"Bearer {_headed(kid='2026', jku='https://a.example/keys', typ='at+jwt')}",
    "8 KB": f"Bearer {_claiming(groups=['a' * 60] * 100)}",
}


@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("name", ACCEPTED)
def test_a_good_token_passes(api: Api, name: str) -> None:
    response = api({"/secrets": Secret}).get("/secrets", headers={"Authorization": ACCEPTED[name]})

    assert (response.status_code, response.json()) == (200, {"results": []})


@pytest.mark.hosts("asgi", "wsgi-direct")
@pytest.mark.engines("sqlite-sync")
def test_a_refusal_does_not_say_why(client: Client) -> None:
    late, forged = (f"Bearer {TOKENS[name]}".encode() for name in ("exp 0", "signature changed"))

    answers = [_sent(client, REQUESTS[0], [value]) for value in (late, forged)]

    assert answers[0].content == answers[1].content
    assert answers[0].headers == answers[1].headers
