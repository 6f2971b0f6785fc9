"""Who may call what: every verb, every form of permission, every kind of caller."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
from sqlalchemy import text
from starlette.requests import Request

from lightapi import (
    AllowAny,
    Authentication,
    BasePermission,
    Field,
    IsAdminUser,
    IsAuthenticated,
    JWTAuthentication,
    RestEndpoint,
)
from tests.support.hosts import Api, Database

SECRET = "a made-up secret of more than 32 bytes"


def _is_user(request: Request) -> bool:
    return request.state.user is not None and request.state.user["sub"] == "user"


class Named(BasePermission):
    """Lets in the caller whose name is "user"."""

    def has_permission(self, request: Request) -> bool:
        return _is_user(request)


class NamedAsync(BasePermission):
    """The same, asynchronously."""

    async def has_permission(self, request: Request) -> bool:
        return _is_user(request)


class Duck:
    """The same, without a base class."""

    def has_permission(self, request: Request) -> bool:
        return _is_user(request)


class DuckAsync:
    """The same, asynchronously and without a base class."""

    async def has_permission(self, request: Request) -> bool:
        return _is_user(request)


class ByName:
    """Lets in the caller of a name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def has_permission(self, request: Request) -> bool:
        return request.state.user is not None and request.state.user["sub"] == self._name


class Reading(BasePermission):
    """Lets in everybody who only reads."""

    def has_permission(self, request: Request) -> bool:
        return request.method in {"GET", "HEAD"}


class Undecided(BasePermission):
    """Returns nothing."""

    def has_permission(self, request: Request) -> None:
        return None


PER_VERB = {"GET": AllowAny, "POST": IsAuthenticated, "DELETE": IsAdminUser}
FORMS: dict[str, Any] = {
    "none": None,
    "AllowAny": AllowAny,
    "AllowAny()": AllowAny(),
    "IsAuthenticated": IsAuthenticated,
    "IsAuthenticated()": IsAuthenticated(),
    "IsAdminUser": IsAdminUser,
    "IsAdminUser()": IsAdminUser(),
    "sync": Named,
    "async": NamedAsync,
    "duck": Duck,
    "duck-instance": Duck(),
    "duck-async": DuckAsync,
    "duck-configured": ByName("admin"),
    "undecided": Undecided,
    "dict": PER_VERB,
    "dict-empty": {},
    "dict-combined": {"GET": ~IsAuthenticated, "PUT": IsAdminUser | Named, "PATCH": Duck},
    "and": IsAuthenticated & IsAdminUser,
    "and-any": AllowAny & IsAuthenticated,
    "and-instances": IsAuthenticated() & Named(),
    "or": IsAdminUser | NamedAsync,
    "or-any": AllowAny | IsAdminUser,
    "or-duck": Duck() | IsAdminUser,
    "not": ~IsAdminUser,
    "not-authenticated": ~IsAuthenticated(),
    "not-any": ~AllowAny,
    "not-not": ~~IsAdminUser,
    "not-undecided": ~Undecided,
    "nested": (IsAuthenticated & ~IsAdminUser & ~(AllowAny & Duck())) | (Reading & DuckAsync()),
    "read-or-admin": Reading | IsAdminUser,
}
"""Every form; the tables below say who passes, and were written without looking at what is above."""

CALLS = ("LIST", "ITEM", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PASSES = dict(zip(CALLS, (200, 200, 200, 201, 200, 200, 204, 204), strict=True))
REFUSALS = {"1": 401, "3": 403}

# One letter per call: y passes, 1 is a 401, 3 a 403. Without a backend every caller is anonymous.
WITHOUT_BACKEND = """
none                yyyyyyyy
AllowAny            yyyyyyyy
AllowAny()          yyyyyyyy
IsAuthenticated     3333333y
IsAuthenticated()   3333333y
IsAdminUser         3333333y
IsAdminUser()       3333333y
sync                3333333y
async               3333333y
duck                3333333y
duck-instance       3333333y
duck-async          3333333y
duck-configured     3333333y
undecided           3333333y
dict                yyy3333y
dict-empty          3333333y
dict-combined       yyy3333y
and                 3333333y
and-any             3333333y
and-instances       3333333y
or                  3333333y
or-any              yyyyyyyy
or-duck             3333333y
not                 yyyyyyyy
not-authenticated   yyyyyyyy
not-any             3333333y
not-not             3333333y
not-undecided       yyyyyyyy
nested              3333333y
read-or-admin       yyy3333y
"""

# Callers: anonymous and with bad credentials; a user; an admin; users whose is_admin is "true", 1, "yes".
WITH_BACKEND = """
none                1111111y yyyyyyyy yyyyyyyy yyyyyyyy
AllowAny            yyyyyyyy yyyyyyyy yyyyyyyy yyyyyyyy
AllowAny()          yyyyyyyy yyyyyyyy yyyyyyyy yyyyyyyy
IsAuthenticated     1111111y yyyyyyyy yyyyyyyy yyyyyyyy
IsAuthenticated()   1111111y yyyyyyyy yyyyyyyy yyyyyyyy
IsAdminUser         1111111y 3333333y yyyyyyyy 3333333y
IsAdminUser()       1111111y 3333333y yyyyyyyy 3333333y
sync                1111111y yyyyyyyy 3333333y 3333333y
async               1111111y yyyyyyyy 3333333y 3333333y
duck                1111111y yyyyyyyy 3333333y 3333333y
duck-instance       1111111y yyyyyyyy 3333333y 3333333y
duck-async          1111111y yyyyyyyy 3333333y 3333333y
duck-configured     1111111y 3333333y yyyyyyyy 3333333y
undecided           1111111y 3333333y 3333333y 3333333y
dict                yyy1111y yyyy333y yyyy33yy yyyy333y
dict-empty          1111111y 3333333y 3333333y 3333333y
dict-combined       1111111y 3333yy3y 3333y33y 3333333y
and                 1111111y 3333333y yyyyyyyy 3333333y
and-any             1111111y yyyyyyyy yyyyyyyy yyyyyyyy
and-instances       1111111y yyyyyyyy 3333333y 3333333y
or                  1111111y yyyyyyyy yyyyyyyy 3333333y
or-any              1111111y yyyyyyyy yyyyyyyy yyyyyyyy
or-duck             1111111y yyyyyyyy yyyyyyyy 3333333y
not                 1111111y yyyyyyyy 3333333y yyyyyyyy
not-authenticated   1111111y 3333333y 3333333y 3333333y
not-any             1111111y 3333333y 3333333y 3333333y
not-not             1111111y 3333333y yyyyyyyy 3333333y
not-undecided       1111111y yyyyyyyy yyyyyyyy yyyyyyyy
nested              1111111y yyy3333y 3333333y yyyyyyyy
read-or-admin       1111111y yyy3333y yyyyyyyy yyy3333y
"""


def _bearer(**claims: Any) -> dict[str, str]:
    token = jwt.encode(claims | {"exp": int(time.time()) + 86_400}, SECRET, algorithm="HS256")
    return {"Authorization": f"Bearer {token}"}


CALLERS: dict[str, tuple[int, dict[str, str]]] = {
    "anonymous": (0, {}),
    "bad credentials": (0, {"Authorization": "Bearer a.b.c"}),
    "user": (1, _bearer(sub="user")),
    "admin": (2, _bearer(sub="admin", is_admin=True)),
    "is_admin 'true'": (3, _bearer(sub="almost", is_admin="true")),
    "is_admin 1": (3, _bearer(sub="almost", is_admin=1)),
    "is_admin 'yes'": (3, _bearer(sub="almost", is_admin="yes")),
}
"""Which column of the table holds for a caller, and what the caller sends."""


def _expected(table: str) -> dict[tuple[str, str, str], int]:
    rows = {name: columns for name, *columns in map(str.split, table.strip().splitlines())}
    assert list(rows) == list(FORMS)
    return {
        (form, caller, call): REFUSALS.get(letter, PASSES[call])
        for form, columns in rows.items()
        for caller, (column, _) in CALLERS.items()
        for call, letter in zip(CALLS, columns[min(column, len(columns) - 1)], strict=True)
    }


class Note(RestEndpoint):
    """What is guarded."""

    title: str = Field(min_length=1)


def _endpoint(number: int, permission: Any, backend: Any) -> type[RestEndpoint]:
    authentication = Authentication(backend=backend, permission=permission)
    meta = type("Meta", (), {"authentication": authentication, "table": f"guarded{number}"})
    return type(f"Guarded{number}", (Note,), {"Meta": meta})


class Matrix:
    """Every form in one app."""

    def __init__(self, api: Api, database: Database, backend: Any) -> None:
        forms = enumerate(FORMS.values())
        self._client = api({f"/f{number}": _endpoint(number, form, backend) for number, form in forms})
        self._client.get("/f0")
        self._admin = database.admin_engine()
        for number in range(len(FORMS)):
            self._put_back(f"guarded{number}")

    def asked(self) -> dict[tuple[str, str, str], int]:
        """Ask for every call of every caller on every form; note the statuses."""
        return {
            (form, caller, call): self._status(number, call, headers)
            for number, form in enumerate(FORMS)
            for caller, (_, headers) in CALLERS.items()
            for call in CALLS
        }

    def _status(self, number: int, call: str, headers: dict[str, str]) -> int:
        verb = "GET" if call in {"LIST", "ITEM"} else call
        path = f"/f{number}" if call in {"LIST", "POST"} else f"/f{number}/1"
        body = {"title": "b", "version": 1} if call in {"POST", "PUT", "PATCH"} else None
        status = self._client.request(verb, path, json=body, headers=headers).status_code
        if call in {"POST", "PUT", "PATCH", "DELETE"} and status < 400:
            self._put_back(f"guarded{number}")
        return status

    def _put_back(self, table: str) -> None:
        with self._admin.begin() as connection:
            connection.execute(text(f"DELETE FROM {table}"))
            connection.execute(text(f"INSERT INTO {table} (id, title, version) VALUES (1, 'a', 1)"))


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", SECRET)


BOTH = pytest.mark.parametrize(
    ("backend", "table"),
    [(None, WITHOUT_BACKEND), (JWTAuthentication, WITH_BACKEND)],
    ids=["without backend", "with backend"],
)


@pytest.mark.slow
@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync", "sqlite-async")
@BOTH
def test_who_may_call_what(api: Api, database: Database, backend: Any, table: str) -> None:
    assert Matrix(api, database, backend).asked() == _expected(table)


@pytest.mark.slow
@pytest.mark.hosts("wsgi-direct")
@pytest.mark.engines("sqlite-sync")
@BOTH
def test_who_may_call_what_without_a_loop(api: Api, database: Database, backend: Any, table: str) -> None:
    assert Matrix(api, database, backend).asked() == _expected(table)


@pytest.mark.hosts("asgi", "wsgi-direct")
@pytest.mark.engines("sqlite-sync")
def test_a_denied_caller_is_told_so_and_writes_nothing(api: Api) -> None:
    client = api({"/notes": _endpoint(0, {"GET": AllowAny, "POST": IsAdminUser}, JWTAuthentication)})

    response = client.post("/notes", json={"title": "a"}, headers=_bearer(sub="user"))

    assert response.status_code == 403
    assert response.json() == {"detail": "You do not have permission to perform this action."}
    assert "www-authenticate" not in response.headers
    assert client.get("/notes").json() == {"results": []}


@pytest.mark.hosts("asgi", "wsgi-direct")
@pytest.mark.engines("sqlite-sync")
def test_access_is_decided_before_the_body_is_looked_at(api: Api) -> None:
    client = api({"/notes": _endpoint(0, IsAdminUser, JWTAuthentication)}, max_body_size=10)

    for content in (b"{", b"x" * 100, b""):
        wrong = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
        assert client.post("/notes", content=content, headers=wrong).status_code == 401
        assert client.post("/notes", content=content, headers=wrong | _bearer(sub="user")).status_code == 403
        assert client.put("/notes/none", content=content, headers=wrong).status_code == 401
    assert client.post("/notes/1", headers=_bearer(sub="user")).status_code == 405
