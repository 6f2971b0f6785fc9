"""Every refusal: its status, its body, and which one comes first."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any, Optional

import httpx
import pytest
from sqlalchemy import CheckConstraint, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lightapi import (
    AllowAny,
    Authentication,
    BaseAuthentication,
    BasePermission,
    Field,
    HttpMethod,
    IsAuthenticated,
    LightApi,
    Middleware,
    RestEndpoint,
)
from tests.support.endpoints import CLEAN_CODE, Book
from tests.support.hosts import Api, Client

BOOK = json.dumps(CLEAN_CODE).encode()
JSON = {"Content-Type": "application/json"}


class Nobody(BaseAuthentication):
    """Knows no caller."""

    def authenticate(self, request: Request) -> bool:
        return False


class Ann(BaseAuthentication):
    """Knows everybody as Ann."""

    def authenticate(self, request: Request) -> bool:
        request.state.user = {"sub": "ann"}
        return True


class Never(BasePermission):
    """Allows nothing."""

    def has_permission(self, request: Request) -> bool:
        return False


class Closed(RestEndpoint, HttpMethod.GET, HttpMethod.POST):
    """Callers are never authenticated."""

    title: str = Field(min_length=1)

    class Meta:
        authentication = Authentication(backend=Nobody)


class Forbidden(RestEndpoint, HttpMethod.GET, HttpMethod.POST):
    """Callers are authenticated and never permitted."""

    title: str = Field(min_length=1)

    class Meta:
        authentication = Authentication(backend=Ann, permission=Never)


class Open(RestEndpoint):
    """Bad credentials make an anonymous caller."""

    title: str = Field(min_length=1)

    class Meta:
        authentication = Authentication(backend=Nobody, permission=AllowAny)


class Members(RestEndpoint):
    """Any authenticated caller."""

    title: str = Field(min_length=1)

    class Meta:
        authentication = Authentication(backend=Ann, permission=IsAuthenticated)


class Unbacked(RestEndpoint):
    """A permission without a backend."""

    title: str = Field(min_length=1)

    class Meta:
        authentication = Authentication(permission=IsAuthenticated)


class Shelf(RestEndpoint):
    """A parent row."""

    name: str = Field(unique=True)


class Volume(RestEndpoint):
    """A child row whose table checks more than its schema does."""

    title: str = Field(min_length=1)
    shelf_id: int = Field(foreign_key="shelfs.id")
    note: Optional[str] = "n"


class Broken(RestEndpoint):
    """User code with bugs."""

    title: str = Field(min_length=1)

    def queryset(self, request: Request) -> Any:
        raise KeyError("secret detail")

    def post(self, request: Request) -> Any:
        raise ZeroDivisionError("secret detail")


class Stop(Middleware):
    """Answers before the endpoint when the request asks for it."""

    def process(self, request: Request, response: Response | None) -> Response | None:
        if response is None and "x-stop" in request.headers:
            return JSONResponse({"detail": "stopped"}, status_code=429)
        return response


@pytest.fixture
def client(api: Api) -> Client:
    return api({"/books": Book})


def detail_of(response: httpx.Response) -> Any:
    return response.json()["detail"]


# the documented table


def test_validation_failure_is_422_with_type_loc_and_msg_only(client: Client) -> None:
    response = client.post("/books", json={"title": "", "pages": "many"})

    assert response.status_code == 422
    assert list(response.json()) == ["detail"]
    assert all(list(entry) == ["type", "loc", "msg"] for entry in detail_of(response))
    assert [(entry["type"], entry["loc"]) for entry in detail_of(response)] == [
        ("string_too_short", ["title"]),
        ("missing", ["author"]),
        ("int_parsing", ["pages"]),
    ]


def test_missing_row_is_404(client: Client) -> None:
    response = client.get("/books/1")

    assert (response.status_code, response.content) == (404, b'{"detail":"not found"}')


def test_stale_version_is_409(client: Client) -> None:
    client.post("/books", json=CLEAN_CODE)
    client.patch("/books/1", json={"version": 1})

    response = client.patch("/books/1", json={"version": 1})

    assert (response.status_code, response.content) == (409, b'{"detail":"version conflict"}')


def test_failed_authentication_is_401_with_a_challenge(api: Api) -> None:
    response = api({"/closed": Closed}).get("/closed")

    assert response.status_code == 401
    assert response.json() == {"detail": "Authentication credentials invalid."}
    assert response.headers["www-authenticate"]


def test_denied_permission_is_403(api: Api) -> None:
    response = api({"/forbidden": Forbidden}).get("/forbidden")

    assert response.status_code == 403
    assert detail_of(response) == "You do not have permission to perform this action."


def test_unregistered_method_is_405_naming_the_allowed_ones(client: Client) -> None:
    response = client.delete("/books")

    assert response.status_code == 405
    assert response.json() == {"detail": "Method Not Allowed. Allowed: GET, POST"}
    assert response.headers["allow"].startswith("GET, POST")


def test_a_bug_in_an_override_is_500_and_only_the_log_says_why(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    response = api({"/broken": Broken}).post("/broken", json={"title": "t"})

    assert response.status_code == 500
    assert response.json() == {"detail": "internal server error"}
    assert any(record.exc_info for record in caplog.records)
    assert "secret detail" in caplog.text


def test_a_bug_in_a_queryset_is_500(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    response = api({"/broken": Broken}).get("/broken")

    assert response.status_code == 500
    assert response.json() == {"detail": "internal server error"}
    assert "secret detail" in caplog.text


# permissions without, and beside, a backend


@pytest.mark.engines("sqlite-sync")
class TestPermissions:
    """Who may call, as far as the permission classes alone decide it."""

    def test_a_permission_without_a_backend_judges_an_anonymous_user(self, api: Api) -> None:
        assert api({"/unbacked": Unbacked}).get("/unbacked").status_code == 403

    def test_is_authenticated_wants_a_user(self, api: Api) -> None:
        assert api({"/members": Members}).get("/members").status_code == 200

    def test_allow_any_makes_bad_credentials_anonymous(self, api: Api) -> None:
        assert api({"/open": Open}).get("/open").status_code == 200

    def test_endpoints_without_authentication_are_public(self, api: Api) -> None:
        assert api({"/books": Book}).get("/books").status_code == 200


# the order of refusals


@pytest.mark.engines("sqlite-sync")
class TestOrder:
    """Which refusal wins when a request deserves several."""

    @pytest.fixture
    def ordered(self, api: Api) -> Client:
        endpoints = {"/books": Book, "/closed": Closed, "/forbidden": Forbidden}
        return api(endpoints, middlewares=[Stop], max_body_size=100)

    def test_an_unknown_path_comes_before_middleware(self, ordered: Client) -> None:
        response = ordered.get("/nowhere", headers={"X-Stop": "1"})

        assert (response.status_code, response.json()) == (404, {"detail": "not found"})

    def test_middleware_comes_before_the_verb(self, ordered: Client) -> None:
        assert ordered.delete("/books", headers={"X-Stop": "1"}).status_code == 429

    def test_the_verb_comes_before_authentication(self, ordered: Client) -> None:
        assert ordered.delete("/closed").status_code == 405

    def test_authentication_comes_before_the_media_type(self, ordered: Client) -> None:
        response = ordered.post("/closed", content=b"x", headers={"Content-Type": "text/plain"})

        assert response.status_code == 401

    def test_authentication_comes_before_the_size(self, ordered: Client) -> None:
        assert ordered.post("/closed", content=b"x" * 200, headers=JSON).status_code == 401

    def test_permission_comes_before_the_media_type(self, ordered: Client) -> None:
        response = ordered.post("/forbidden", content=b"x", headers={"Content-Type": "text/plain"})

        assert response.status_code == 403

    def test_the_size_comes_before_the_body(self, ordered: Client) -> None:
        assert ordered.post("/books", content=b"x" * 200, headers=JSON).status_code == 413

    def test_the_media_type_comes_before_the_body(self, ordered: Client) -> None:
        response = ordered.post("/books", content=b"{", headers={"Content-Type": "text/plain"})

        assert response.status_code == 415

    @pytest.mark.parametrize("verb", ["PUT", "PATCH"])
    def test_the_body_comes_before_the_row(self, ordered: Client, verb: str) -> None:
        assert ordered.request(verb, "/books/7", json={"title": ""}).status_code == 422

    def test_a_bad_value_comes_before_a_stale_version(self, ordered: Client) -> None:
        ordered.post("/books", json=CLEAN_CODE)

        assert ordered.patch("/books/1", json={"title": "", "version": 9}).status_code == 422


# media types and encodings


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/merge-patch+json",
        "application/vnd.api+json",
        None,
    ],
)
@pytest.mark.engines("sqlite-sync")
def test_json_media_types_are_accepted(client: Client, verb: str, media_type: str | None) -> None:
    client.post("/books", json=CLEAN_CODE)
    headers = {"Content-Type": media_type} if media_type else {}
    content = json.dumps(CLEAN_CODE | {"version": 1}).encode()

    path = "/books" if verb == "POST" else "/books/1"
    response = client.request(verb, path, content=content, headers=headers)

    assert response.status_code == (201 if verb == "POST" else 200)


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "text/json",
        "json",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
    ],
)
@pytest.mark.engines("sqlite-sync")
def test_other_media_types_are_415(client: Client, verb: str, media_type: str) -> None:
    path = "/books" if verb == "POST" else "/books/1"

    response = client.request(verb, path, content=BOOK, headers={"Content-Type": media_type})

    assert response.status_code == 415
    assert isinstance(detail_of(response), str)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "gzip, identity"])
@pytest.mark.engines("sqlite-sync")
def test_a_content_encoding_is_415(client: Client, encoding: str) -> None:
    headers = JSON | {"Content-Encoding": encoding}

    assert client.post("/books", content=BOOK, headers=headers).status_code == 415


@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("lines", [["identity"], ["Identity", "identity"], ["identity, identity"], [""]])
def test_the_identity_encoding_is_accepted(client: Client, lines: list[str]) -> None:
    headers = [*JSON.items(), *(("Content-Encoding", line) for line in lines)]

    assert client.post("/books", content=BOOK, headers=headers).status_code == 201


# well-formedness

MALFORMED = {
    "empty": b"",
    "blank": b"  ",
    "truncated": b'{"title": "a"',
    "not json": b"title=a",
    "single quotes": b"{'title': 'a'}",
    "trailing comma": b'{"title": "a",}',
    "two documents": b"{}{}",
    "invalid utf-8": b'{"title": "\xff"}',
    "utf-16": '{"title": "a"}'.encode("utf-16"),
    "control character": b'{"title": "a\x01"}',
    "lone surrogate": b'{"title": "\\ud800"}',
    "too deep list": b"[" * 100_000,
    "too deep object": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "too deep value": b'{"title":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "nan": b'{"title": "a", "author": "b", "other": NaN}',
    "infinity": b'{"title": "a", "author": "b", "pages": Infinity}',
}


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("body", MALFORMED.values(), ids=list(MALFORMED))
@pytest.mark.engines("sqlite-sync")
def test_malformed_json_is_422(client: Client, verb: str, body: bytes) -> None:
    path = "/books" if verb == "POST" else "/books/1"

    response = client.request(verb, path, content=body, headers=JSON)

    assert response.status_code == 422
    assert [(e["type"], e["loc"]) for e in detail_of(response)] == [("json_invalid", [])]
    assert [list(entry) for entry in detail_of(response)] == [["type", "loc", "msg"]]


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("body", [b"[]", b"[{}]", b'"title"', b"1", b"1.5", b"true", b"null"])
@pytest.mark.engines("sqlite-sync")
def test_a_body_that_is_no_object_is_422(client: Client, verb: str, body: bytes) -> None:
    path = "/books" if verb == "POST" else "/books/1"

    response = client.request(verb, path, content=body, headers=JSON)

    assert response.status_code == 422
    assert [entry["loc"] for entry in detail_of(response)] == [[]]


@pytest.mark.engines("sqlite-sync")
def test_of_duplicate_keys_the_last_wins(client: Client) -> None:
    body = b'{"title": "first", "author": "a", "title": "last"}'

    response = client.post("/books", content=body, headers=JSON)

    assert (response.status_code, response.json()["title"]) == (201, "last")


# size


def _pieces(body: bytes) -> Iterator[bytes]:
    yield from (body[start : start + 50] for start in range(0, len(body), 50))


def _book_of(size: int) -> bytes:
    head, tail = b'{"title": "t", "author": "', b'"}'
    return head + b"a" * (size - len(head) - len(tail)) + tail


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
@pytest.mark.engines("sqlite-sync", "sqlite-async")
class TestBodyLimit:
    """The limit counts what is read, whether or not the length was announced."""

    def test_a_body_at_the_limit_is_read(self, api: Api, chunked: bool) -> None:
        client = api({"/books": Book}, max_body_size=200)
        body = _book_of(200)

        content = _pieces(body) if chunked else body
        response = client.post("/books", content=content, headers=JSON)

        assert response.status_code == 201

    def test_a_body_over_the_limit_is_413(self, api: Api, chunked: bool) -> None:
        client = api({"/books": Book}, max_body_size=200)
        body = _book_of(201)

        content = _pieces(body) if chunked else body
        response = client.post("/books", content=content, headers=JSON)

        assert response.status_code == 413
        assert isinstance(detail_of(response), str)
        assert client.get("/books").json() == {"results": []}

    def test_the_default_limit_is_one_mebibyte(self, api: Api, chunked: bool) -> None:
        client = api({"/books": Book})
        at, over = _book_of(2**20), _book_of(2**20 + 1)

        allowed = client.post("/books", content=_pieces(at) if chunked else at, headers=JSON)
        refused = client.post("/books", content=_pieces(over) if chunked else over, headers=JSON)

        assert (allowed.status_code, refused.status_code) == (201, 413)


# what the database refuses


def test_a_unique_violation_is_409_naming_the_field(api: Api) -> None:
    client = api({"/shelves": Shelf})
    client.post("/shelves", json={"name": "a"})
    client.post("/shelves", json={"name": "b"})

    created = client.post("/shelves", json={"name": "a"})
    patched = client.patch("/shelves/2", json={"name": "a", "version": 1})

    for response in (created, patched):
        assert response.status_code == 409
        assert response.json() == {"detail": "conflict: name already exists"}
    assert len(client.get("/shelves").json()["results"]) == 2


def test_a_foreign_key_without_its_row_is_409(api: Api) -> None:
    client = api({"/shelves": Shelf, "/volumes": Volume})

    response = client.post("/volumes", json={"title": "t", "shelf_id": 5})

    assert response.status_code == 409
    assert detail_of(response).startswith("conflict: ")


def test_deleting_a_referenced_row_is_409(api: Api) -> None:
    client = api({"/shelves": Shelf, "/volumes": Volume})
    client.post("/shelves", json={"name": "a"})
    client.post("/volumes", json={"title": "t", "shelf_id": 1})

    response = client.delete("/shelves/1")

    assert response.status_code == 409
    assert detail_of(response).startswith("conflict: ")
    assert client.get("/shelves/1").status_code == 200


@pytest.mark.parametrize("body", [{"title": "no"}, {"title": "t", "note": None}])
def test_what_only_the_database_can_check_is_422(api: Api, body: dict[str, Any]) -> None:
    class Plain(RestEndpoint):
        title: str = Field(min_length=1)
        note: Optional[str] = "n"

    def stricter(app: LightApi) -> None:
        table = app.metadata.tables["plains"]
        table.append_constraint(CheckConstraint("title <> 'no'", name="title_is_not_no"))
        table.c.note.nullable = False

    client = api({"/plains": Plain}, prepare=stricter)

    response = client.post("/plains", json=body)

    assert response.status_code == 422
    assert all(list(entry) == ["type", "loc", "msg"] for entry in detail_of(response))
    assert client.get("/plains").json() == {"results": []}


@pytest.mark.engines("postgres-sync", "postgres-async")
@pytest.mark.filterwarnings("ignore")
def test_an_unreachable_database_is_503_with_retry_after(api: Api, engine_kind: str) -> None:
    if engine_kind == "postgres-sync":
        engine: Any = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    else:
        engine = create_async_engine("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    client = api({"/books": Book}, engine=engine)

    for response in (client.get("/books"), client.post("/books", json=CLEAN_CODE)):
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
        assert isinstance(detail_of(response), str)


def test_every_answer_of_the_api_is_json(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    for response in (
        client.get("/nowhere"),
        client.delete("/books"),
        client.get("/books/1"),
        client.post("/books", content=b"{"),
        client.post("/books", content=b"", headers={"Content-Type": "text/plain"}),
    ):
        assert response.headers["content-type"] == "application/json"
        assert list(response.json()) == ["detail"]
