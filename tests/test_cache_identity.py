"""Whose answer it is: nothing kept for one caller reaches another, however callers are told apart."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
import redis
from pydantic import BaseModel, SecretStr
from pydantic import Field as PydanticField
from sqlalchemy import select
from starlette.requests import Request

from lightapi import (
    AllowAny,
    Authentication,
    BaseAuthentication,
    BasicAuthentication,
    Cache,
    IsAuthenticated,
    JWTAuthentication,
    RestEndpoint,
    col,
)
from tests.support.hosts import Api, Client
from tests.support.kept import both, near, plain, state

SECRET = "a secret of more than thirty-two bytes"


@pytest.fixture(autouse=True)
def _settings(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_REDIS_URL", redis_url)
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", SECRET)
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()


class KeyBackend(BaseAuthentication):
    """Knows callers by a header of their own, which is no part of the key."""

    def authenticate(self, request: Request) -> bool:
        name = request.headers.get("x-api-key")
        if name:
            request.state.user = {"sub": name}
        return bool(name)


class Row(RestEndpoint):
    """A row of somebody's, and lists of one's own."""

    owner: str

    class Meta:
        cache = Cache(ttl=60)
        authentication = Authentication(backend=JWTAuthentication)

    def queryset(self, request: Request) -> Any:
        user = request.state.user
        return select(type(self)).where(col(type(self).owner) == (user["sub"] if user else "nobody"))


def endpoint(backend: Any, permission: Any = None, **meta: Any) -> type[Row]:
    """Return lists of one's own behind the backend."""
    options = {"cache": Cache(ttl=60), "authentication": Authentication(backend=backend, permission=permission)}
    return type("Own", (Row,), {"Meta": type("Meta", (), options | meta)})


def bearer(name: str, **claims: Any) -> dict[str, str]:
    """Return the header of a user with a token."""
    token = jwt.encode({"sub": name, "exp": int(time.time()) + 600, **claims}, SECRET, algorithm="HS256")
    return {"Authorization": f"Bearer {token}"}


def basic(name: str) -> dict[str, str]:
    """Return the header of a user with a password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:x".encode()).decode()}


def key(name: str) -> dict[str, str]:
    """Return the header of a user of the custom backend."""
    return {"X-Api-Key": name}


def owners(response: httpx.Response) -> list[str]:
    """Return whose rows an answer lists."""
    assert response.status_code == 200, response.text
    return [row["owner"] for row in response.json()["results"]]


KINDS = {"jwt": (JWTAuthentication, bearer), "basic": (BasicAuthentication, basic), "custom": (KeyBackend, key)}


@pytest.mark.parametrize("kind", KINDS)
def test_two_users_never_share(api: Api, kind: str) -> None:
    backend, headers = KINDS[kind]
    client = api({"/rows": endpoint(backend)}, login_validator=lambda name, _: {"sub": name})
    one, two = headers("one"), headers("two")
    for name in ("one", "two"):
        assert client.post("/rows", json={"owner": name}, headers=one).status_code == 201

    answers = [client.get("/rows", headers=given) for given in (one, two, one, two)]

    assert [owners(answer) for answer in answers] == [["one"], ["two"]] * 2
    assert [state(answer) for answer in answers] == ["miss", "miss", "hit", "hit"]


@near
@plain
def test_a_kept_answer_is_refused_like_any_other(api: Api) -> None:
    client = api({"/rows": Row})
    one = bearer("one")
    assert [state(client.get("/rows", headers=one)) for _ in range(2)] == ["miss", "hit"]

    assert client.get("/rows").status_code == 401
    assert client.get("/rows", headers={"Authorization": one["Authorization"] + "x"}).status_code == 401
    assert client.get("/rows", headers=bearer("one", exp=1)).status_code == 401


@near
@plain
def test_callers_of_one_name_with_other_claims_do_not_share(api: Api) -> None:
    def list_(self: RestEndpoint, request: Request) -> Any:
        return {"admin": request.state.user.get("is_admin")}

    client = api({"/rows": type("Claims", (Row,), {"list": list_})})

    seen = [client.get("/rows", headers=bearer("one", is_admin=value)).json() for value in (True, 1, "true", None)]
    assert [str(entry["admin"]) for entry in seen] == ["True", "1", "true", "None"]


@near
@both
def test_a_public_verb_behind_a_backend_keeps_members_and_strangers_apart(api: Api) -> None:
    client = api({"/rows": endpoint(JWTAuthentication, {"GET": AllowAny, "POST": IsAuthenticated})})
    one = bearer("one")
    for name in ("one", "nobody"):
        client.post("/rows", json={"owner": name}, headers=one)

    assert [owners(client.get("/rows", headers=given)) for given in (one, {}, one, {})] == [["one"], ["nobody"]] * 2


class Session(RestEndpoint):
    """Lists what a cookie names, and knows no backend."""

    owner: str

    class Meta:
        cache = Cache(ttl=60)

    def queryset(self, request: Request) -> Any:
        return select(type(self)).where(col(type(self).owner) == request.cookies.get("session", ""))


@both
def test_a_queryset_that_reads_a_cookie_keeps_sessions_apart(api: Api) -> None:
    client = api({"/rows": Session})
    for name in ("one", "two"):
        client.post("/rows", json={"owner": name})

    answers = [client.get("/rows", headers={"Cookie": f"session={name}"}) for name in ("one", "two", "one", "two")]

    assert [owners(answer) for answer in answers] == [["one"], ["two"]] * 2
    assert [state(answer) for answer in answers] == ["miss", "miss", "hit", "hit"]


class Public(RestEndpoint):
    """The same for everybody."""

    title: str

    class Meta:
        cache = Cache(ttl=60)


def test_public_answers_are_shared_whatever_callers_send_of_themselves(api: Api) -> None:
    client = api({"/rows": Public})
    client.get("/rows")

    for headers in ({"Cookie": "a=1"}, bearer("one"), {"User-Agent": "x"}, {"Accept-Language": "de"}):
        assert state(client.get("/rows", headers=headers)) == "hit"


class Hidden(BaseModel):
    """A user of whom JSON shows nothing."""

    name: str = PydanticField(exclude=True)


class Tenant(dict[str, str]):
    """A user of whom JSON shows what all have in common."""

    name: str


def _tenant(name: str) -> Tenant:
    tenant = Tenant(sub="service")
    tenant.name = name
    return tenant


class Member(str):
    """The same as text."""

    __slots__ = ("name",)
    name: str


def _member(name: str) -> Member:
    member = Member("member")
    member.name = name
    return member


class Plain:
    """A user that JSON does not know."""

    def __init__(self, name: str) -> None:
        self.name = name


USERS = {
    "object": Plain,
    "secret": lambda name: {"sub": SecretStr(name)},
    "excluded": lambda name: Hidden(name=name),
    "generator": lambda name: iter([name]),
    "set-of-objects": lambda name: [Plain(name)],
    "subclass-of-dict": _tenant,
    "subclass-of-str": lambda name: {"sub": _member(name)},
    "keys": lambda name: {1 if name == "one" else "1": "of any kind"},
}


def _name_of(user: Any) -> str:
    match user:
        case {"sub": SecretStr() as secret}:
            return secret.get_secret_value()
        case [Plain() as inner] | {"sub": Member() as inner}:
            return inner.name
        case {1: _} | {"1": _}:
            return "one" if 1 in user else "two"
        case Plain() | Hidden() | Tenant():
            return user.name
        case _:
            return "".join(user)


@near
@plain
@pytest.mark.parametrize("kind", USERS)
def test_users_that_json_does_not_tell_apart_never_share(api: Api, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    user_of: Callable[[str], Any] = USERS[kind]

    def authenticate(self: BaseAuthentication, request: Request) -> bool:
        request.state.user = user_of(request.headers["x-api-key"])
        return True

    def list_(self: RestEndpoint, request: Request) -> Any:
        return {"name": _name_of(request.state.user)}

    backend = type("Odd", (BaseAuthentication,), {"authenticate": authenticate})
    client = api({"/rows": type("Rows", (endpoint(backend),), {"list": list_})})

    for name in ("one", "two", "one", "two"):
        assert client.get("/rows", headers=key(name)).json() == {"name": name}


@near
@plain
def test_a_user_that_json_does_not_know_is_not_cached_and_that_is_logged(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    def authenticate(self: BaseAuthentication, request: Request) -> bool:
        request.state.user = Plain("one")
        return True

    def queryset(self: Any, request: Request) -> Any:
        return select(type(self))

    backend = type("Odd", (BaseAuthentication,), {"authenticate": authenticate})
    client = api({"/rows": type("Rows", (endpoint(backend),), {"queryset": queryset})})

    assert [state(client.get("/rows")) for _ in range(2)] == ["miss", "miss"]
    assert "holds what JSON does not know (Plain): not cached" in caplog.text


@near
@plain
def test_an_answer_of_one_user_is_kept_for_each_query_and_path(api: Api) -> None:
    client: Client = api({"/rows": Row})
    one, two = bearer("one"), bearer("two")
    client.post("/rows", json={"owner": "one"}, headers=one)

    assert [state(client.get("/rows/1", headers=given)) for given in (one, two, one)] == ["miss", "miss", "hit"]
    assert "no-store" in client.get("/rows/1", headers=one).headers["cache-control"]
