"""Endpoints that ask for a name and a password with every request."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from lightapi import AllowAny, Authentication, BasicAuthentication, Field, RestEndpoint
from tests.support.hosts import Api, Client

ONE_ENGINE = pytest.mark.engines("sqlite-sync")
INVALID = {"detail": "Authentication credentials invalid."}
PEOPLE = {"ann": "open sesame", "Zoë 猫": "påss: wörd:猫", "": "empty name", "empty": "", "a b": " "}


def ask(username: str, password: str) -> Any:
    return {"sub": username} if PEOPLE.get(username) == password else None


async def ask_async(username: str, password: str) -> Any:
    return ask(username, password)


class Note(RestEndpoint):
    """Answers who is calling."""

    title: str = Field(min_length=1)

    def list(self, request: Request) -> Any:
        return {"user": request.state.user}


def _note(name: str = "Known", permission: Any = None, backend: Any = BasicAuthentication) -> type[RestEndpoint]:
    meta = type("Meta", (), {"authentication": Authentication(backend=backend, permission=permission)})
    return type(name, (Note,), {"Meta": meta})


@pytest.fixture
def client(api: Api) -> Client:
    return api({"/notes": _note()}, login_validator=ask)


def _header(credentials: bytes, scheme: str = "Basic") -> dict[str, str]:
    return {"Authorization": f"{scheme} {base64.b64encode(credentials).decode()}"}


@pytest.mark.parametrize("validator", [ask, ask_async], ids=["sync", "async"])
def test_a_validator_decides_on_every_host_and_engine(api: Api, validator: Any) -> None:
    client = api({"/notes": _note()}, login_validator=validator)

    assert client.get("/notes", auth=("ann", "open sesame")).json() == {"user": {"sub": "ann"}}
    assert client.post("/notes", json={"title": "a"}, auth=("ann", "open sesame")).status_code == 201
    assert client.get("/notes/1", auth=("ann", "open sesame")).status_code == 200
    for refused in (client.get("/notes"), client.get("/notes/1", auth=("ann", "wrong"))):
        assert (refused.status_code, refused.json()) == (401, INVALID)
        assert refused.headers["www-authenticate"] == 'Basic realm="api"'


@ONE_ENGINE
@pytest.mark.parametrize("name", PEOPLE)
def test_names_and_passwords_are_utf8_and_may_hold_colons_spaces_and_nothing(client: Client, name: str) -> None:
    right = _header(f"{name}:{PEOPLE[name]}".encode())
    wrong = _header(f"{name}:{PEOPLE[name]}x".encode())

    assert client.get("/notes", headers=right).json() == {"user": {"sub": name}}
    assert client.get("/notes", headers=wrong).status_code == 401


@ONE_ENGINE
@pytest.mark.parametrize("scheme", ["basic", "BASIC", "bAsIc", "Basic  "])
def test_the_scheme_is_found_in_any_case(client: Client, scheme: str) -> None:
    assert client.get("/notes", headers=_header(b"ann:open sesame", scheme)).status_code == 200


GOOD = base64.b64encode(b"ann:open sesame").decode()
BROKEN = {
    "empty": "",
    "scheme alone": "Basic",
    "scheme and space": "Basic ",
    "no scheme": GOOD,
    "other scheme": f"Bearer {GOOD}",
    "no base64": "Basic !!!!",
    "base64 without padding": f"Basic {GOOD.rstrip('=')[:-1]}",
    "base64 and more": f"Basic {GOOD} x",
    "base64 and a comma": f"Basic {GOOD}, Basic {GOOD}",
    "base64 of a URL": "Basic " + base64.urlsafe_b64encode(b"\xfb\xff:a").decode(),
    "no colon": "Basic " + base64.b64encode(b"ann").decode(),
    "nothing": "Basic " + base64.b64encode(b"").decode(),
    "not UTF-8": "Basic " + base64.b64encode(b"ann:\xff\xfe").decode(),
    "latin-1": "Basic " + base64.b64encode("Zoë 猫:påss"[:3].encode("latin-1") + b":x").decode(),
    "NUL in the name": "Basic " + base64.b64encode(b"ann\x00:open sesame").decode(),
    "NUL in the password": "Basic " + base64.b64encode(b"ann:open sesame\x00").decode(),
    "credentials as they are": "Basic ann:open sesame",
    "tab": f"Basic\t{GOOD}",
    "8 KB": "Basic " + "A" * 8192,
}


@ONE_ENGINE
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_header_is_a_401_and_no_validator_is_asked(api: Api, name: str) -> None:
    names: list[str] = []
    client = api({"/notes": _note()}, login_validator=lambda username, _password: names.append(username))

    response = client.post("/notes", json={"title": "a"}, headers={"Authorization": BROKEN[name]})

    assert (response.status_code, response.json(), names) == (401, INVALID, [])


@pytest.mark.hosts("asgi")
@ONE_ENGINE
def test_two_headers_are_no_credentials(client: Client) -> None:
    headers = [("Authorization", f"Basic {GOOD}"), ("Authorization", f"Basic {GOOD}")]

    assert client.get("/notes", headers=headers).status_code == 401


@ONE_ENGINE
def test_without_a_validator_nobody_is_known(api: Api) -> None:
    client = api({"/notes": _note(), "/open": _note("Open", AllowAny)})

    assert client.get("/notes", auth=("ann", "open sesame")).json() == INVALID
    assert client.get("/open", auth=("ann", "open sesame")).json() == {"user": None}


@ONE_ENGINE
@pytest.mark.parametrize("form", ["argument", "attribute"])
def test_a_backends_own_validator_goes_before_the_apps(api: Api, form: str) -> None:
    def nobody(username: str, password: str) -> Any:
        return {"sub": "own"} if username == "own" else None

    class Own(BasicAuthentication):
        """Asks a validator of its own."""

        validator = staticmethod(nobody)

    backend = Own if form == "attribute" else BasicAuthentication(nobody)
    client = api({"/notes": _note(), "/own": _note("Other", backend=backend)}, login_validator=ask)

    def statuses(auth: tuple[str, str]) -> list[int]:
        return [client.get(path, auth=auth).status_code for path in ("/notes", "/own")]

    assert statuses(("ann", "open sesame")) == [200, 401]
    assert statuses(("own", "x")) == [401, 200]


@ONE_ENGINE
@pytest.mark.parametrize("answer", [True, "ann", 1, [("sub", "ann")]], ids=repr)
def test_what_is_neither_a_mapping_nor_none_refuses(api: Api, answer: Any) -> None:
    client = api({"/notes": _note()}, login_validator=lambda *_: answer)

    assert client.get("/notes", auth=("ann", "x")).status_code == 401


@ONE_ENGINE
def test_an_empty_payload_is_a_user(api: Api) -> None:
    client = api({"/notes": _note()}, login_validator=lambda *_: {})

    assert client.get("/notes", auth=("ann", "x")).json() == {"user": {}}


@ONE_ENGINE
def test_endpoints_do_not_count_failures(client: Client) -> None:
    def status(password: str) -> int:
        response: httpx.Response = client.get("/notes", auth=("ann", password))
        return response.status_code

    assert [status("wrong") for _ in range(15)] == [401] * 15
    assert status("open sesame") == 200
