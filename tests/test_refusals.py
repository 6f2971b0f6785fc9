"""What a hook or a declaration gets wrong stays one refusal: no leak, no shared state, no raw traceback."""

from __future__ import annotations

import asyncio
import logging
import zlib
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Optional
from uuid import UUID

import httpx
import pytest
from pydantic import AfterValidator, ConfigDict
from sqlalchemy import text
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lightapi import (
    Authentication,
    AuthenticationFailed,
    BaseAuthentication,
    BasePermission,
    ConfigurationError,
    Field,
    LightApi,
    Middleware,
    RestEndpoint,
    get_sync_session,
)
from tests.support.hosts import Api

SHARED = JSONResponse({"ok": True})
RAN: list[int] = []


class Hooked(RestEndpoint):
    """Answers what the test asks for."""

    title: str = ""

    def get(self, request: Request) -> Any:
        kind = request.query_params.get("kind")
        if kind == "object":
            raise HTTPException(400, object())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        if kind == "header":
            raise HTTPException(418, "x", headers={"X-A": "€"})
        if kind == "break":
            return Response(headers={"X-A": "1\r\nSet-Cookie: a=b"})
        self.background(RAN.append, 1)
        return SHARED

    def create(self, data: dict[str, Any]) -> Any:
        super().create(data)
        self.background(RAN.append, 2)
        return JSONResponse({"detail": "no"}, status_code=400)


@pytest.mark.engines("sqlite-sync", "sqlite-async")
def test_head_leaves_a_shared_response_alone(api: Api) -> None:
    client = api({"/hooked": Hooked})

    assert client.head("/hooked").content == b""
    assert client.get("/hooked").json() == {"ok": True}


@pytest.mark.hosts("asgi", "wsgi-direct")
@pytest.mark.engines("sqlite-sync")
def test_background_tasks_do_not_pile_up_on_a_shared_response(api: Api) -> None:
    client = api({"/hooked": Hooked})
    RAN.clear()

    for _ in range(3):
        client.get("/hooked")

    assert RAN == [1, 1, 1]


@pytest.mark.hosts("asgi", "wsgi-direct")
@pytest.mark.engines("sqlite-sync")
def test_background_tasks_of_refused_work_do_not_run(api: Api) -> None:
    client = api({"/hooked": Hooked})
    RAN.clear()

    assert client.post("/hooked", json={}).status_code == 400
    assert RAN == []


@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("kind", ["object", "header", "break"])
def test_an_answer_that_can_not_be_sent_is_a_plain_500(api: Api, kind: str) -> None:
    response = api({"/hooked": Hooked}).get("/hooked", params={"kind": kind})

    assert response.status_code == 500
    assert response.json() == {"detail": "internal server error"}
    assert "set-cookie" not in response.headers


@pytest.mark.engines("sqlite-sync")
def test_head_of_an_unknown_path_has_no_body(api: Api) -> None:
    response = api({"/hooked": Hooked}).head("/nope")

    assert (response.status_code, response.content) == (404, b"")


class Raising(BaseAuthentication):
    """Says no by raising."""

    challenge: ClassVar[str] = 'Basic realm="x"'

    def authenticate(self, request: Request) -> bool:
        raise AuthenticationFailed


class Truthy(BasePermission):
    """Answers an object where a decision is due."""

    def has_permission(self, request: Request) -> Any:
        return JSONResponse({}, status_code=403)


class Locked(RestEndpoint):
    """Nobody gets in."""

    class Meta:
        authentication = Authentication(backend=Raising)


class Confused(RestEndpoint):
    """Its permission does not decide."""

    class Meta:
        authentication = Authentication(permission=Truthy)


@pytest.mark.engines("sqlite-sync")
def test_a_backend_that_raises_answers_with_its_own_challenge(api: Api) -> None:
    response = api({"/locked": Locked}).get("/locked")

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Basic realm="x"'


@pytest.mark.engines("sqlite-sync")
def test_a_permission_that_answers_an_object_lets_nobody_in(api: Api) -> None:
    assert api({"/confused": Confused}).get("/confused").status_code == 500


@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize(
    "headers",
    [
        [("content-type", "application/json"), ("content-type", "text/plain")],
        [("content-encoding", "identity"), ("content-encoding", "gzip")],
        [("content-type", ";;;")],
        [("content-type", "/+json")],
    ],
    ids=["two types", "two encodings", "empty type", "half a type"],
)
@pytest.mark.hosts("asgi")
def test_every_repeated_header_counts(api: Api, headers: list[tuple[str, str]]) -> None:
    response = api({"/hooked": Hooked}).post("/hooked", content=b"{}", headers=headers)

    assert response.status_code == 415


class Exact(RestEndpoint):
    """Values that could be lost on the way."""

    price: Optional[Decimal] = Field(default=None, max_digits=6)
    large: Optional[Decimal] = None
    packed: Optional[Annotated[bytes, AfterValidator(zlib.compress)]] = None
    code: Optional[Annotated[str, Field(max_length=3, unique=True)]] = None
    at: Optional[date] = Field(default=None, strict=True)
    key: Optional[UUID] = Field(default=None, strict=True)

    model_config = ConfigDict(validate_default=True)


class Recreated(Exact):
    """The same, through an override."""

    def create(self, data: dict[str, Any]) -> Any:
        return super().create(data)


@pytest.mark.hosts("asgi")
@pytest.mark.parametrize("model", [Exact, Recreated])
def test_digits_are_kept_or_refused(api: Api, model: type[RestEndpoint]) -> None:
    client = api({"/exact": model})

    assert client.post("/exact", json={"price": "1.25"}).json()["price"] == "1.25"
    lossy = client.post("/exact", content=b'{"large": 12345678901234567.89}')
    assert lossy.status_code == 422
    assert lossy.json()["detail"][0]["loc"] == ["large"]


@pytest.mark.hosts("asgi")
@pytest.mark.parametrize("model", [Exact, Recreated])
def test_strict_fields_take_what_json_can_say(api: Api, model: type[RestEndpoint]) -> None:
    key = "12345678-1234-5678-1234-567812345678"

    response = api({"/exact": model}).post("/exact", json={"at": "2024-01-02", "key": key})

    assert (response.status_code, response.json()["key"]) == (201, key)


@pytest.mark.hosts("asgi")
def test_what_can_not_be_answered_is_not_stored(api: Api) -> None:
    client = api({"/exact": Exact})

    assert client.post("/exact", json={"packed": "x"}).status_code == 422
    assert client.get("/exact").json() == {"results": []}


@pytest.mark.hosts("asgi")
def test_options_inside_optional_annotated_count(api: Api) -> None:
    client = api({"/exact": Exact})
    client.post("/exact", json={"code": "abc"})

    assert client.post("/exact", json={"code": "abcd"}).status_code == 422
    assert client.post("/exact", json={"code": "abc"}).status_code == 409


@pytest.mark.hosts("asgi")
def test_validate_default_leaves_a_patch_partial(api: Api) -> None:
    client = api({"/exact": Exact})
    client.post("/exact", json={"price": "1.5"})

    assert client.patch("/exact/1", json={"version": 1}).json()["price"] == "1.5"


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync", "postgres-sync")
def test_logs_do_not_hold_what_clients_sent(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    class Leaky(RestEndpoint):
        title: str

        def create(self, data: dict[str, Any]) -> Any:
            try:
                with get_sync_session(client.engine) as session:
                    session.execute(text("SELECT :secret FROM nowhere"), data)
            except Exception as error:
                raise ValueError("oops") from error

    client = api({"/leaky": Leaky})
    with caplog.at_level(logging.ERROR):
        assert client.post("/leaky", json={"secret": "hunter2", "title": "x"}).status_code == 500

    assert "oops" in caplog.text
    assert "hunter2" not in caplog.text


def declared(**names: Any) -> type[RestEndpoint]:
    """Make a class as its statement would."""
    return type("Wrong", (RestEndpoint,), names)


@pytest.mark.parametrize(
    "names",
    [
        {"Meta": {"table": "x"}},
        {"model_config": 5},
        {"model_config": ConfigDict(alias_generator=str.upper)},
        {"__annotations__": {"a": int}, "a": Field(min_length=1)},
        {"__annotations__": {"a": int}, "a": Field(ge="a")},
        {"__annotations__": {"a": int}, "a": 2**40},
        {"__annotations__": {"a": str}, "a": "a\x00"},
        {"__annotations__": {"a": float}, "a": float("nan")},
        {"__annotations__": {"a": int}, "a": Field(default=1, default_factory=int)},  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
        {"list": None},
        {"retrieve": lambda self, request: None},
    ],
    ids="-".join,
)
def test_a_wrong_class_is_a_configuration_error(names: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="Wrong"):
        declared(**names)


class Demanding(Middleware):
    """Can't be made without an argument."""

    def __init__(self, what: str) -> None:
        self.what = what


@pytest.mark.parametrize(
    "options",
    [
        {"max_body_size": "1MB"},
        {"max_body_size": 0},
        {"database_timeout": "5"},
        {"database_timeout": 0},
        {"base_url": None},
        {"middlewares": Middleware},
        {"middlewares": [Demanding]},
    ],
    ids="-".join,
)
def test_a_wrong_option_is_a_configuration_error(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        LightApi(database_url="sqlite://", **options)


def test_an_excluded_field_may_have_any_type() -> None:
    kept = declared(__annotations__={"cache": set}, cache=Field(default_factory=set, exclude=True))

    assert "cache" not in kept.__schema_create__.model_fields


def test_names_of_callers_are_not_names_of_the_class() -> None:
    def make() -> type[RestEndpoint]:
        class Dated(RestEndpoint):
            day: date

        return Dated

    def caller(date: type) -> type[RestEndpoint]:
        return make()

    assert caller(int).__schema_create__.model_fields["day"].annotation is date


def test_a_table_name_of_another_endpoint_is_refused_in_a_second_app() -> None:
    first = declared(__annotations__={"a": str}, Meta=type("Meta", (), {"table": "taken"}))
    other = declared(__annotations__={"b": int}, Meta=type("Meta", (), {"table": "taken"}))
    LightApi(database_url="sqlite://").register({"/a": first})
    second = LightApi(database_url="sqlite://")
    second.register({"/b": other})

    with pytest.raises(ConfigurationError, match="'taken' belongs to another endpoint"):
        second.register({"/a": first})


class Dangling(RestEndpoint):
    """Refers to a table that is nowhere."""

    author_id: int = Field(foreign_key="authors.id")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_server_is_told_not_to_start_a_wrong_app() -> None:
    app = LightApi(database_url="sqlite://")
    app.register({"/dangling": Dangling})
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app({"type": "lifespan"}, receive, send))

    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "Dangling.author_id" in sent[0]["message"]


def test_a_wrong_app_under_wsgi_answers_json() -> None:
    app = LightApi(database_url="sqlite://")
    app.register({"/dangling": Dangling})

    response = httpx.Client(transport=httpx.WSGITransport(app), base_url="http://x").get("/dangling")

    assert (response.status_code, response.json()) == (500, {"detail": "internal server error"})
