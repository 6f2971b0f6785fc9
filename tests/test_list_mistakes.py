"""Mistakes in what lists and reflected tables are told, and the words that help out of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request

from lightapi import (
    Authentication,
    BaseFilter,
    ConfigurationError,
    FieldFilter,
    Filtering,
    LightApi,
    Pagination,
    RestEndpoint,
    Serializer,
)
from tests.support import foreign
from tests.support.hosts import Api, Database
from tests.support.things import locs, serving

ONE_HOST = pytest.mark.hosts("asgi")


class Forgetful(BaseFilter):
    """Has no method of its own."""


class Narrow(BaseFilter):
    """Takes too little."""

    def filter_queryset(self, request: Request, queryset: Any) -> Any:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return queryset


class Spelt(BaseFilter):
    """Names its parameter as a text."""

    parameters = "cheap"

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> Any:
        return queryset


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pagination(pagesize=3), r"Pagination: unknown option 'pagesize'.*did you mean 'page_size'\?"),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        (lambda: Filtering(feilds=["a"]), r"Filtering: unknown option 'feilds'.*did you mean 'fields'\?"),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        (lambda: Serializer(raed=["a"]), r"Serializer: unknown option 'raed'.*did you mean 'read'\?"),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        (lambda: Authentication(backand=None), r"did you mean 'backend'\?"),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        (lambda: LightApi(databse_url="sqlite://"), r"did you mean 'database_url'\?"),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        (lambda: Filtering(fields={"a": "exact"}), "a list of operators"),
        (lambda: Serializer(read=[]), "at least one"),
        (lambda: Filtering(backends=[Forgetful]), r"Forgetful.* has no filter_queryset"),
        (lambda: Filtering(backends=[Narrow]), r"Narrow.*filter_queryset\(request, queryset, view\)"),
        (lambda: Filtering(backends=[Spelt()]), r"parameters: 'cheap' given; allowed: a list of query parameters"),
    ],
)
def test_a_wrong_declaration_says_what_is_allowed(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


@ONE_HOST
@pytest.mark.engines("sqlite-sync")
def test_a_strict_list_names_the_nearest_parameter_and_everything_wrong(api: Api) -> None:
    client = serving(api, fields=["name", "stock"], ordering=["name"], strict=True)

    assert locs(client, "nmae=x&stock=y&ordering=nam") == ["nmae", "stock", "ordering"]
    unknown, _, ordering = client.get("/things?nmae=x&stock=y&ordering=nam").json()["detail"]
    assert "did you mean 'name'?" in unknown["msg"]
    assert "did you mean 'name'?" in ordering["msg"]


@ONE_HOST
@pytest.mark.engines("sqlite-sync")
def test_what_no_backend_acts_on_is_pointed_out(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    serving(api, backends=[FieldFilter], fields=["name"], search=["name"], ordering=["name"])

    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [text.partition(": ")[2].partition(" does")[0] for text in said] == ["search", "ordering"]
    assert "backends does not name SearchFilter" in said[0]


class Nothing(BaseFilter):
    """Forgets to return."""

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> Any:
        return None


@ONE_HOST
@pytest.mark.engines("sqlite-sync", "postgres-async")
def test_a_backend_that_returns_nothing_is_named_in_the_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    client = serving(api, backends=[Nothing])

    assert client.get("/things").status_code == 500
    assert "Nothing.filter_queryset returned NoneType; return a select" in caplog.text


def kept(name: str) -> type[RestEndpoint]:
    """Return a reflecting endpoint."""
    return type("Kept", (RestEndpoint,), {"Meta": type("Meta", (), {"reflect": True, "table": name})})


@ONE_HOST
def test_a_reflected_number_keeps_to_its_places(api: Api, database: Database) -> None:
    foreign.execute(database.admin_engine(), "CREATE TABLE prices (id integer PRIMARY KEY, price numeric(8,2))")
    client = api({"/prices": kept("prices")})

    refused = client.post("/prices", json={"id": 1, "price": "7.123"})
    made = client.post("/prices", json={"id": 1, "price": "7.1"})

    assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (422, ["price"])
    assert made.json()["price"] == "7.10"


@ONE_HOST
@pytest.mark.engines("sqlite-sync", "sqlite-async")
@pytest.mark.parametrize("value", ["POINT(1 2)", 5, 2.5, None])
def test_types_that_sqlite_never_heard_of_hold_anything(api: Api, database: Database, value: Any) -> None:
    foreign.execute(database.admin_engine(), "CREATE TABLE odd (id INTEGER PRIMARY KEY, place GEOMETRY)")
    client = api({"/odd": kept("odd")})

    row = client.post("/odd", json={"place": value}).json()

    assert row == {"id": 1, "place": value}
    assert client.put("/odd/1", json=row).json() == row


@pytest.mark.engines("postgres-sync", "postgres-async")
def test_a_table_of_another_case_is_found_to_be_near(
    make_engine: Callable[..., Engine | AsyncEngine], database: Database
) -> None:
    foreign.execute(database.admin_engine(), 'CREATE TABLE "Orders" (id integer PRIMARY KEY)')

    with pytest.raises(ConfigurationError, match=r"table 'orders' does not exist; did you mean 'Orders'\?"):
        LightApi(engine=make_engine()).register({"/orders": kept("orders")})
