"""Backends of one's own, several in order, what a wrong one does, and declarations that cannot work."""

from __future__ import annotations

import logging
import operator
import re
import time
from typing import Any

import jwt
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from lightapi import (
    AllowAny,
    Authentication,
    BaseAuthentication,
    BasePermission,
    BasicAuthentication,
    ConfigurationError,
    Field,
    IsAuthenticated,
    JWTAuthentication,
    RestEndpoint,
)
from lightapi.exceptions import AuthenticationFailed
from tests.support.hosts import Api, Client

SECRET = "a made-up secret of more than 32 bytes"
ONE_ENGINE = pytest.mark.engines("sqlite-sync")
INVALID = {"detail": "Authentication credentials invalid."}
BROKEN = {"detail": "internal server error"}


def _known(request: Request) -> bool:
    name = request.headers.get("x-key")
    request.state.user = {"sub": name}
    return name is not None and name.startswith("k")


class Key(BaseAuthentication):
    """Names the user by a header."""

    challenge = 'Key realm="keys"'

    def authenticate(self, request: Request) -> bool:
        return _known(request)


class KeyAsync(BaseAuthentication):
    """The same, asynchronously."""

    async def authenticate(self, request: Request) -> bool:
        return _known(request)


class Duck:
    """The same, without a base class."""

    def authenticate(self, request: Request) -> bool:
        return _known(request)


class DuckAsync:
    """The same, asynchronously and without a base class."""

    async def authenticate(self, request: Request) -> bool:
        return _known(request)


class Other:
    """Names the user by another header."""

    def authenticate(self, request: Request) -> bool:
        request.state.user = {"sub": "other"}
        return "x-other" in request.headers


class Returning:
    """A backend and a permission that return what they are told."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def _told(self) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def authenticate(self, request: Request) -> Any:
        return self._told()

    def has_permission(self, request: Request) -> Any:
        return self._told()


class ReturningAsync(Returning):
    """The same, asynchronously."""

    async def authenticate(self, request: Request) -> Any:
        return self._told()

    async def has_permission(self, request: Request) -> Any:
        return self._told()


def _endpoint(**options: Any) -> type[RestEndpoint]:
    class Whoami(RestEndpoint):
        """Answers who is calling."""

        title: str = Field(min_length=1)

        def list(self, request: Request) -> Any:
            return {"user": request.state.user}

        class Meta:
            authentication = Authentication(**options)

    return Whoami


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", SECRET)


def _bearer() -> str:
    return "Bearer " + jwt.encode({"sub": "jwt", "exp": int(time.time()) + 86_400}, SECRET, algorithm="HS256")


def _user(client: Client, **headers: str) -> Any:
    response = client.get("/who", headers={name.replace("_", "-"): value for name, value in headers.items()})
    return response.json()["user"] if response.status_code == 200 else response.status_code


@pytest.mark.parametrize(
    "backend", [Key, KeyAsync(), Duck, DuckAsync()], ids=lambda each: getattr(each, "__name__", None)
)
def test_a_backend_of_ones_own_names_the_user(api: Api, backend: Any) -> None:
    client = api({"/who": _endpoint(backend=backend)})

    assert _user(client, x_key="k1") == {"sub": "k1"}
    assert client.get("/who", headers={"X-Key": "x"}).json() == INVALID
    assert client.get("/who").status_code == 401


@ONE_ENGINE
@pytest.mark.parametrize(
    ("backend", "challenge"),
    [
        (JWTAuthentication, "Bearer"),
        (BasicAuthentication, 'Basic realm="api"'),
        (Key, 'Key realm="keys"'),
        (Duck, "Bearer"),
        ([JWTAuthentication, BasicAuthentication], 'Bearer, Basic realm="api"'),
        ([BasicAuthentication(), Key, JWTAuthentication()], 'Basic realm="api", Key realm="keys", Bearer'),
        ([JWTAuthentication, Duck, KeyAsync], "Bearer"),
    ],
    ids=["jwt", "basic", "own", "duck", "two", "three", "the same"],
)
def test_a_401_carries_every_backends_challenge_once(api: Api, backend: Any, challenge: str) -> None:
    client = api({"/who": _endpoint(backend=backend)})

    for verb, path in (("GET", "/who"), ("HEAD", "/who"), ("POST", "/who"), ("DELETE", "/who/1")):
        response = client.request(verb, path)
        assert (response.status_code, response.headers["www-authenticate"]) == (401, challenge)


@ONE_ENGINE
@pytest.mark.parametrize("way", ["permission", "override", "returned", "raised by the backend"])
def test_a_401_of_ones_own_code_carries_the_backends_challenge(api: Api, way: str) -> None:
    class Refusing(AllowAny):
        def has_permission(self, request: Request) -> bool:
            raise HTTPException(401, "who?")

    class Expired(Key):
        def authenticate(self, request: Request) -> bool:
            raise HTTPException(401, "expired")

    def list_(self: RestEndpoint, request: Request) -> Any:
        if way == "override":
            raise AuthenticationFailed("who?")
        return JSONResponse({"detail": "who?"}, 401)

    methods = {} if way == "permission" else {"list": list_}
    backend = Expired if way == "raised by the backend" else Key
    meta = {"authentication": Authentication(backend, Refusing if way == "permission" else AllowAny)}
    endpoint = type("WhoEndpoint", (RestEndpoint,), {**methods, "Meta": type("Meta", (), meta)})

    response = api({"/who": endpoint}).get("/who", headers={"X-Key": "k1"})
    assert (response.status_code, response.headers["www-authenticate"]) == (401, 'Key realm="keys"')


@ONE_ENGINE
@pytest.mark.parametrize("others", [[Key, Other], [KeyAsync, Other()]], ids=["sync", "async"])
def test_backends_are_asked_in_order_and_the_first_that_knows_the_caller_counts(api: Api, others: list[Any]) -> None:
    client = api({"/who": _endpoint(backend=[JWTAuthentication, *others])})

    assert _user(client, authorization=_bearer(), x_key="k1", x_other="1")["sub"] == "jwt"
    assert _user(client, authorization="Bearer a.b.c", x_key="k1", x_other="1") == {"sub": "k1"}
    assert _user(client, x_key="x", x_other="1") == {"sub": "other"}
    assert _user(client, x_key="x") == 401


@ONE_ENGINE
@pytest.mark.parametrize("backend", [JWTAuthentication, Key, DuckAsync, [Key, JWTAuthentication]])
def test_a_public_endpoint_knows_good_callers_and_takes_all_others_for_anonymous(api: Api, backend: Any) -> None:
    client = api({"/who": _endpoint(backend=backend, permission=AllowAny)})

    assert _user(client) is None
    assert _user(client, authorization="Bearer a.b.c", x_key="x") is None
    assert _user(client, authorization=_bearer(), x_key="k1") is not None


@ONE_ENGINE
def test_the_user_is_none_where_nobody_is_asked(api: Api) -> None:
    assert _user(api({"/who": _endpoint()}), authorization=_bearer()) is None


@ONE_ENGINE
@pytest.mark.parametrize("kind", [Returning, ReturningAsync])
def test_a_backend_that_raises_authentication_failed_hands_over_to_the_next(api: Api, kind: Any) -> None:
    client = api({"/who": _endpoint(backend=[kind(AuthenticationFailed("told")), Key])})

    assert _user(client, x_key="k1") == {"sub": "k1"}
    assert client.get("/who").json() == INVALID


@ONE_ENGINE
def test_a_backend_that_refuses_leaves_no_user_behind_for_the_next(api: Api) -> None:
    assert _user(api({"/who": _endpoint(backend=[Duck, Returning(True)], permission=_Yes)}), x_key="x") is None


NO_DECISIONS: dict[str, Any] = {
    "one": 1,
    "zero": 0,
    "text": "yes",
    "user": {"sub": "1"},
    "empty": {},
    "object": object(),
    "list": [False],
    "error": RuntimeError("the directory is gone"),
}


@ONE_ENGINE
@pytest.mark.hosts("asgi", "wsgi-direct")
@pytest.mark.parametrize("kind", [Returning, ReturningAsync])
@pytest.mark.parametrize("role", ["backend", "permission", "part of a permission"])
@pytest.mark.parametrize("name", NO_DECISIONS)
def test_what_is_no_decision_is_a_logged_500_and_lets_nobody_in(
    api: Api, caplog: pytest.LogCaptureFixture, kind: Any, role: str, name: str
) -> None:
    wrong = kind(NO_DECISIONS[name])
    options = (
        {"backend": wrong} if role == "backend" else {"permission": wrong if role == "permission" else ~(_Yes & wrong)}
    )
    client = api({"/who": _endpoint(**options)})

    with caplog.at_level(logging.ERROR, "lightapi"):
        responses = [client.get("/who"), client.post("/who", json={"title": "a"})]

    assert [(each.status_code, each.json()) for each in responses] == [(500, BROKEN)] * 2
    assert [record.exc_info is not None for record in caplog.records] == [True] * 2


class _Yes(BasePermission):
    """Lets everybody in, and is not AllowAny."""

    def has_permission(self, request: Request) -> bool:
        return True


@ONE_ENGINE
@pytest.mark.parametrize("answer", [None, False])
def test_a_backend_that_returns_nothing_refuses(api: Api, answer: bool | None) -> None:
    assert _user(api({"/who": _endpoint(backend=Returning(answer))})) == 401


@ONE_ENGINE
@pytest.mark.parametrize("permission", [None, AllowAny, IsAuthenticated])
def test_answers_to_known_callers_are_not_stored(api: Api, permission: Any) -> None:
    client = api({"/who": _endpoint(backend=Key, permission=permission)})

    response = client.get("/who", headers={"X-Key": "k1"})

    assert response.headers["cache-control"] == "no-store"
    assert "Authorization" in response.headers["vary"]


def _is_user(request: Request) -> bool:
    return True


class Permission:
    """A permission without a base class."""

    def has_permission(self, request: Request) -> bool:
        return True


class Misspelt(BasePermission):
    """Was meant to decide."""

    def has_permision(self, request: Request) -> bool:
        return False


class TakesNothing:
    """Was meant to take the request."""

    def has_permission(self) -> bool:
        return False


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no method": ({"permission": object}, "has no method has_permission(request)"),
    "name": ({"permission": "IsAdminUser"}, "'IsAdminUser' has no method has_permission"),
    "function": ({"permission": _is_user}, "has no method has_permission"),
    "list": ({"permission": [IsAuthenticated]}, "has no method has_permission"),
    "true": ({"permission": True}, "True has no method has_permission"),
    "attribute": ({"permission": type("Odd", (), {"has_permission": True})}, "has no method has_permission"),
    "verb": ({"permission": {"GTE": AllowAny}}, "'GTE' is no verb"),
    "verb in small letters": ({"permission": {"get": AllowAny}}, "did you mean 'GET'?"),
    "verb HEAD": ({"permission": {"HEAD": AllowAny}}, "'HEAD' is no verb"),
    "verb a number": ({"permission": {1: AllowAny}}, "1 is no verb"),
    "verb's permission": ({"permission": {"GET": object}}, "Authentication(permission[GET])"),
    "verb's permission None": ({"permission": {"GET": None}}, "Authentication(permission[GET])"),
    "backend": ({"backend": object}, "has no method authenticate(request)"),
    "backend's name": ({"backend": "JWTAuthentication"}, "has no method authenticate(request)"),
    "no backend in a list": ({"backend": []}, "Authentication(backend="),
    "permission without a decision": ({"permission": BasePermission}, "of its own"),
    "permission with a misspelt method": ({"permission": Misspelt}, "of its own"),
    "permission that takes no request": ({"permission": TakesNothing}, "can't be called as has_permission(request)"),
    "backend without a decision": ({"backend": BaseAuthentication}, "of its own"),
    "one of the backends": ({"backend": [JWTAuthentication, 3]}, "3 has no method authenticate(request)"),
    "option": ({"backends": JWTAuthentication}, "did you mean 'backend'?"),
    "expiration": ({"jwt_expiration": 0}, "jwt_expiration"),
    "expiration true": ({"jwt_expiration": True}, "jwt_expiration"),
    "claims a string": ({"jwt_extra_claims": "name"}, "jwt_extra_claims"),
    "algorithm": ({"jwt_algorithm": "HS257"}, "did you mean 'HS256'?"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_wrong_declaration_is_a_configuration_error(name: str) -> None:
    given, message = MISTAKES[name]

    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Authentication(**given)


@pytest.mark.hosts("asgi")
@ONE_ENGINE
@pytest.mark.parametrize("role", ["backend", "permission"])
def test_a_class_that_needs_arguments_is_a_configuration_error(api: Api, role: str) -> None:
    with pytest.raises(ConfigurationError, match="Returning"):
        api({"/who": _endpoint(**{role: Returning})})


@pytest.mark.parametrize(
    "other", [object(), 3, None, "IsAdminUser", _is_user, int], ids=lambda each: type(each).__name__
)
@pytest.mark.parametrize(
    "permission",
    [IsAuthenticated, IsAuthenticated(), IsAuthenticated & Permission()],
    ids=["class", "instance", "combined"],
)
def test_what_is_no_permission_cannot_be_combined_with_one(permission: Any, other: Any) -> None:
    for combine in (operator.and_, operator.or_):
        with pytest.raises(ConfigurationError, match="has no method has_permission"):
            combine(permission, other)
        with pytest.raises(ConfigurationError, match="has no method has_permission"):
            combine(other, permission)
