"""What a login is given, JSON or a Basic header, and what its token carries."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from lightapi import Authentication, ConfigurationError, Field, JWTAuthentication, RestEndpoint
from tests.support.hosts import Api, Client

SECRET = "a made-up secret of 64 bytes or more, as HS512 asks for: 0123456789"
ANN = {"sub": 7, "name": "Ann", "roles": ["admin"], "exp": 1, "iat": 2}
RIGHT = {"username": "ann", "password": "open: sesame ñ"}
WRONG = {"detail": "Invalid credentials"}
HIDDEN = "hidden-in-the-body"

pytestmark = [pytest.mark.hosts("asgi", "wsgi-direct"), pytest.mark.engines("sqlite-sync")]


def _note(**options: Any) -> type[RestEndpoint]:
    class Note(RestEndpoint):
        """Known users only."""

        title: str = Field(min_length=1)

        class Meta:
            authentication = Authentication(**options)

    return Note


class Asked:
    """A validator that notes whom it was asked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, username: str, password: str) -> Any:
        self.names.append(username)
        return ANN if (username, password) == tuple(RIGHT.values()) else None


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def client(api: Api, asked: Asked) -> Client:
    return api({"/notes": _note(backend=JWTAuthentication)}, login_validator=asked)


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", SECRET)
    monkeypatch.delenv("LIGHTAPI_REDIS_URL", raising=False)


def _basic(credentials: bytes) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(credentials).decode()}"}


BAD_BODIES: dict[str, tuple[bytes, list[list[str]]]] = {
    "nothing": (b"", [[]]),
    "no JSON": (b'{"username": "ann", "password": "hidden-in-the-body" oops', [[]]),
    "no UTF-8": (b'{"username": "ann", "password": "hidden-in-the-body\xff"}', [[]]),
    "too deep": (b'{"username": "ann", "password": ' + b"[" * 5000 + b"]" * 5000 + b"}", [[]]),
    "a string": (b'"hidden-in-the-body"', [[]]),
    "a list": (b'["ann", "hidden-in-the-body"]', [[]]),
    "null": (b"null", [[]]),
    "empty object": (b"{}", [["username"], ["password"]]),
    "no username": (b'{"password": "hidden-in-the-body"}', [["username"]]),
    "no password": (b'{"username": "hidden-in-the-body"}', [["password"]]),
    "other names": (b'{"user": "ann", "pass": "hidden-in-the-body"}', [["username"], ["password"]]),
    "empty username": (b'{"username": "", "password": "hidden-in-the-body"}', [["username"]]),
    "empty password": (b'{"username": "hidden-in-the-body", "password": ""}', [["password"]]),
    **{
        f"username {value}": (f'{{"username": {value}, "password": "{HIDDEN}"}}'.encode(), [["username"]])
        for value in ("1", "1.5", "true", "null", '["ann"]', '{"a": "hidden-in-the-body"}', "NaN")[:6]
    },
    **{
        f"password {value}": (f'{{"username": "ann", "password": {value}}}'.encode(), [["password"]])
        for value in ("12345", "false", "null", '["hidden-in-the-body"]', '{"a": "hidden-in-the-body"}')
    },
    "NaN": (b'{"username": "hidden-in-the-body", "password": NaN}', [[]]),
    "a lone surrogate": (b'{"username": "\\ud800", "password": "hidden-in-the-body"}', [[]]),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_that_is_wrong_is_a_422_that_never_shows_it(client: Client, asked: Asked, name: str) -> None:
    body, places = BAD_BODIES[name]

    response = client.post("/auth/login", content=body, headers={"Content-Type": "application/json"})

    assert response.status_code == 422
    details = response.json()["detail"]
    assert [detail["loc"] for detail in details] == places
    assert all(set(detail) == {"type", "loc", "msg"} for detail in details)
    assert HIDDEN not in response.text
    assert response.headers["cache-control"] == "no-store"
    assert asked.names == []


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "application/json; charset=utf-8", "application/x+json"]
)
def test_json_is_taken_by_every_name_of_it(client: Client, content_type: str) -> None:
    response = client.post("/auth/login", content=json.dumps(RIGHT), headers={"Content-Type": content_type})

    assert response.status_code == 200


def test_other_keys_are_ignored(client: Client) -> None:
    assert client.post("/auth/login", json=RIGHT | {"remember": True, "grant_type": "password"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
    ids=["form", "text", "charset", "encoding"],
)
def test_what_is_not_json_is_a_415(client: Client, asked: Asked, headers: dict[str, str]) -> None:
    response = client.post("/auth/login", content=json.dumps(RIGHT), headers=headers)

    assert (response.status_code, asked.names) == (415, [])
    assert response.headers["cache-control"] == "no-store"


def test_a_body_that_is_too_large_is_a_413(client: Client, asked: Asked) -> None:
    response = client.post("/auth/login", json=RIGHT | {"padding": "x" * 20_000})

    assert (response.status_code, asked.names) == (413, [])
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_a_basic_header_is_taken_too(client: Client, scheme: str) -> None:
    header = _basic("ann:open: sesame ñ".encode())["Authorization"].replace("Basic", scheme)

    for body in (b"", json.dumps(RIGHT | {"password": "wrong"}).encode(), b"{"):
        response = client.post("/auth/login", content=body, headers={"Authorization": header})
        assert (response.status_code, response.json()["user"]["name"]) == (200, "Ann")


def test_a_basic_header_wins_also_where_it_is_wrong(client: Client, asked: Asked) -> None:
    response = client.post("/auth/login", json=RIGHT, headers=_basic(b"bob:wrong"))

    assert (response.status_code, response.json(), asked.names) == (401, WRONG, ["bob"])


@pytest.mark.parametrize(
    "value",
    [
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic YW5u",
        "Basic YW5uOg==x",
        "Basic YW5uOm9wZW4",
        "Basic " + base64.b64encode(b"ann:\xff").decode(),
        "Basic " + base64.b64encode(b"ann:a\x00b").decode(),
        "Basic " + base64.b64encode(b"ann\x00:ab").decode(),
        "Basic YTpi, Basic YTpi",
    ],
    ids=["alone", "space", "letters", "no colon", "more", "padding", "not UTF-8", "NUL", "NUL in name", "twice"],
)
def test_a_broken_basic_header_is_a_401_whatever_the_body(client: Client, asked: Asked, value: str) -> None:
    response = client.post("/auth/login", json=RIGHT, headers={"Authorization": value})

    assert (response.status_code, response.json(), asked.names) == (401, WRONG, [])
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("credentials", "place"), [(b":secret", "username"), (b"ann:", "password")])
def test_an_empty_name_or_password_in_a_basic_header_is_a_422(
    client: Client, asked: Asked, credentials: bytes, place: str
) -> None:
    response = client.post("/auth/login", json=RIGHT, headers=_basic(credentials))

    assert (response.status_code, asked.names) == (422, [])
    assert [detail["loc"] for detail in response.json()["detail"]] == [[place]]


@pytest.mark.parametrize("value", ["Bearer a.b.c", "", "Digest username=ann", "Basics YTpi"])
def test_other_authorization_headers_leave_the_body_to_decide(client: Client, value: str) -> None:
    assert client.post("/auth/login", json=RIGHT, headers={"Authorization": value}).status_code == 200


def _claims(api: Api, **options: Any) -> dict[str, Any]:
    client = api({"/notes": _note(backend=JWTAuthentication, **options)}, login_validator=lambda *_: ANN)
    response = client.post("/auth/login", json=RIGHT)
    assert response.json()["user"] == ANN
    token = response.json()["token"]
    return _all(token)


def _all(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


@pytest.mark.parametrize(
    ("given", "carried"), [(["name"], {"name"}), (["roles", "absent"], {"roles"}), (["sub"], set())]
)
def test_the_claims_listed_are_carried_and_sub_stays(api: Api, given: list[str], carried: set[str]) -> None:
    assert set(_claims(api, jwt_extra_claims=given)) == {"sub", "iat", "exp"} | carried


@pytest.mark.parametrize("given", [None, []], ids=repr)
def test_without_a_list_every_claim_is_carried(api: Api, given: list[str] | None) -> None:
    claims = _claims(api, jwt_extra_claims=given)

    assert (claims["sub"], claims["name"], claims["roles"]) == ("7", "Ann", ["admin"])


@pytest.mark.parametrize(("options", "lifetime"), [({}, 3600), ({"jwt_expiration": 60}, 60)])
def test_a_token_expires_when_it_was_told_to(api: Api, options: dict[str, Any], lifetime: int) -> None:
    claims = _claims(api, jwt_extra_claims=["name"], **options)

    assert claims["exp"] - claims["iat"] == lifetime


def test_a_backends_own_options_go_before_the_endpoints(api: Api) -> None:
    backend = JWTAuthentication(lifetime=5, extra_claims=["roles"], audience="api", issuer="us")
    note = _note(backend=backend, jwt_expiration=60, jwt_extra_claims=["name"])
    client = api({"/notes": note}, login_validator=lambda *_: ANN)

    token = client.post("/auth/login", json=RIGHT).json()["token"]

    claims = _all(token)
    assert claims == {"sub": "7", "roles": ["admin"], "aud": "api", "iss": "us"} | {
        k: claims[k] for k in ("iat", "exp")
    }
    assert claims["exp"] - claims["iat"] == 5
    assert client.get("/notes", headers={"Authorization": f"Bearer {token}"}).status_code == 200


@pytest.mark.parametrize("sub", [7, 1.5, True, "7"])
def test_sub_becomes_a_string(api: Api, sub: Any) -> None:
    client = api({"/notes": _note(backend=JWTAuthentication)}, login_validator=lambda *_: {"sub": sub})

    assert _all(client.post("/auth/login", json=RIGHT).json()["token"])["sub"] == str(sub)


ODD_USERS: list[dict[str, Any]] = [
    {"sub": 7},
    {"sub": None},
    {"exp": 1},
    {"exp": "never"},
    {"iat": 9_999_999_999},
    {"nbf": 9_999_999_999},
    {"aud": "elsewhere"},
    {"iss": 5},
    {"jti": 5},
]


@pytest.mark.parametrize("user", ODD_USERS, ids=str)
def test_a_token_passes_the_app_that_issued_it_whatever_the_user_holds(api: Api, user: dict[str, Any]) -> None:
    client = api({"/notes": _note(backend=JWTAuthentication)}, login_validator=lambda *_: user)

    token = client.post("/auth/login", json=RIGHT).json()["token"]

    assert client.get("/notes", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_jwt_algorithm_signs_the_tokens(api: Api) -> None:
    client = api({"/notes": _note(backend=JWTAuthentication, jwt_algorithm="HS512")}, login_validator=lambda *_: {})

    token = client.post("/auth/login", json=RIGHT).json()["token"]

    assert jwt.get_unverified_header(token)["alg"] == "HS512"
    assert client.get("/notes", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_a_private_key_signs_the_tokens(api: Api) -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    backend = JWTAuthentication(algorithms=["EdDSA"], private_key=private, public_key=private.public_key())
    client = api({"/notes": _note(backend=backend)}, login_validator=lambda *_: {"sub": 1})

    token = client.post("/auth/login", json=RIGHT).json()["token"]

    assert client.get("/notes", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_a_validator_needs_a_key_to_sign_with(api: Api) -> None:
    public = ed25519.Ed25519PrivateKey.generate().public_key()

    with pytest.raises(ConfigurationError, match="private_key"):
        api(
            {"/notes": _note(backend=JWTAuthentication(algorithms=["EdDSA"], public_key=public))},
            login_validator=lambda *_: {},
        )
