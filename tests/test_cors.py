"""Cross-origin requests: on every host, for every kind of answer, and only for the origins that were named."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lightapi import (
    AllowAny,
    Authentication,
    ConfigurationError,
    CORSMiddleware,
    JWTAuthentication,
    LightApi,
    RestEndpoint,
)
from lightapi.core import Middleware
from tests.support.endpoints import Book
from tests.support.hosts import Api, Client

pytestmark = pytest.mark.engines("sqlite-sync", "sqlite-async")

PAGE = "https://app.example.com"
ALLOW = "access-control-allow-origin"


class Locked(RestEndpoint):
    """Wants a token to write."""

    name: str

    class Meta:
        authentication = Authentication(backend=JWTAuthentication, permission={"GET": AllowAny})


class Broken(RestEndpoint):
    """Has a bug."""

    name: str

    def list(self, request: Request) -> Any:
        raise ZeroDivisionError


def _fails(request: Request) -> Response:
    raise ZeroDivisionError


def _page(request: Request) -> Response:
    return PlainTextResponse("mine")


@pytest.fixture
def client(api: Api, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", "s" * 32)
    return api(
        {"/books": Book, "/locked": Locked, "/broken": Broken},
        cors_origins=[PAGE, "http://localhost:3000"],
        routes=[Route("/mine", _page), Route("/fails", _fails)],
    )


REQUESTS = {
    "list": ("GET", "/books", 200),
    "head": ("HEAD", "/books", 200),
    "refused value": ("POST", "/books", 422),
    "no such row": ("GET", "/books/77", 404),
    "no such path": ("GET", "/nothing", 404),
    "no such verb": ("PUT", "/books", 405),
    "no token": ("POST", "/locked", 401),
    "bug": ("GET", "/broken", 500),
    "own page": ("GET", "/mine", 200),
    "own verbs": ("OPTIONS", "/books", 204),
    "login": ("POST", "/auth/login", 422),
    "health": ("GET", "/healthz", 200),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_every_answer_may_be_read_by_the_pages_named(client: Client, case: str) -> None:
    method, path, status = REQUESTS[case]

    response = client.request(method, path, headers={"Origin": PAGE})

    assert response.status_code == status
    assert response.headers.get_list(ALLOW) == [PAGE]
    assert "Origin" in response.headers["vary"]
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.hosts("wsgi-direct", "wsgi-a2wsgi")
def test_a_page_of_the_users_own_that_fails_says_so_to_other_origins(client: Client) -> None:
    response = client.get("/fails", headers={"Origin": PAGE})

    assert response.status_code == 500
    assert response.headers.get_list(ALLOW) == [PAGE]


@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("case", REQUESTS)
@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", PAGE + ".evil.com", "http://app.example.com"])
def test_no_other_page_may_read_anything(client: Client, case: str, origin: str) -> None:
    method, path, status = REQUESTS[case]

    response = client.request(method, path, headers={"Origin": origin})

    assert response.status_code == status
    assert ALLOW not in response.headers
    assert "Origin" in response.headers["vary"]


def test_an_answer_to_no_page_names_no_origin(client: Client) -> None:
    response = client.get("/books")

    assert ALLOW not in response.headers
    assert response.headers["vary"] == "Origin"


def _preflight(client: Client, path: str, origin: str = PAGE) -> Any:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    return client.options(path, headers=headers)


@pytest.mark.parametrize("path", ["/books", "/books/1", "/locked", "/auth/login", "/mine", "/nothing"])
def test_a_preflight_is_allowed_to_the_pages_named_without_credentials(client: Client, path: str) -> None:
    response = _preflight(client, path)

    assert response.status_code == 204
    assert response.content == b""
    assert response.headers[ALLOW] == PAGE
    assert "PATCH" in response.headers["access-control-allow-methods"]
    assert response.headers["access-control-allow-headers"] == "authorization, content-type"
    assert "Origin" in response.headers["vary"]


def test_a_preflight_of_another_page_is_not_allowed(client: Client) -> None:
    response = _preflight(client, "/books", "https://evil.example.com")

    assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.engines("sqlite-sync")
def test_any_page_may_read_where_the_origin_is_a_star(api: Api) -> None:
    client = api({"/books": Book}, cors_origins=["*"])

    assert client.get("/books", headers={"Origin": "https://who.knows"}).headers[ALLOW] == "*"
    assert _preflight(client, "/books", "https://who.knows").headers[ALLOW] == "*"


@pytest.mark.engines("sqlite-sync")
def test_cookies_are_allowed_where_that_is_asked_for(api: Api) -> None:
    client = api({"/books": Book}, cors_origins=[PAGE], cors_allow_credentials=True)

    for response in (client.get("/books", headers={"Origin": PAGE}), _preflight(client, "/books")):
        assert response.headers["access-control-allow-credentials"] == "true"
        assert response.headers[ALLOW] == PAGE


@pytest.mark.engines("sqlite-sync")
def test_without_origins_nothing_is_said(api: Api) -> None:
    client = api({"/books": Book})

    response = client.get("/books", headers={"Origin": PAGE})

    assert "vary" not in response.headers
    assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.engines("sqlite-sync")
def test_the_middleware_of_that_name_takes_its_origins_from_the_app(api: Api) -> None:
    named = api({"/books": Book}, cors_origins=[PAGE], middlewares=[CORSMiddleware])
    bare = api({"/books": Book}, middlewares=[CORSMiddleware])

    assert named.get("/books", headers={"Origin": PAGE}).headers.get_list(ALLOW) == [PAGE]
    assert ALLOW not in bare.get("/books", headers={"Origin": PAGE}).headers


class OwnHeader(Middleware):
    """Says itself who may read."""

    def process(self, request: Request, response: Response | None) -> None:
        if response is not None:
            response.headers["Access-Control-Allow-Origin"] = "https://other.example.com"


@pytest.mark.engines("sqlite-sync")
def test_what_an_answer_says_itself_stands(api: Api) -> None:
    client = api({"/books": Book}, cors_origins=[PAGE], middlewares=[OwnHeader])

    response = client.get("/books", headers={"Origin": PAGE})

    assert response.headers.get_list(ALLOW) == ["https://other.example.com"]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a string": ({"cors_origins": PAGE}, "list of origins"),
    "a path": ({"cors_origins": [PAGE + "/"]}, "without a path"),
    "no scheme": ({"cors_origins": ["app.example.com"]}, "without a path"),
    "null": ({"cors_origins": ["null"]}, "without a path"),
    "no text": ({"cors_origins": [7]}, "without a path"),
    "a star with cookies": ({"cors_origins": ["*"], "cors_allow_credentials": True}, "cors_allow_credentials"),
    "cookies that are no bool": ({"cors_origins": [PAGE], "cors_allow_credentials": "yes"}, "True or False"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_origins_are_configuration_errors(case: str) -> None:
    options, message = WRONG[case]

    with pytest.raises(ConfigurationError, match=message):
        LightApi(database_url="sqlite://", **options)
