"""``queryset``: what it scopes, what it may select, and in which order its rows come."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Optional
from urllib.parse import quote

import pytest
from sqlalchemy import desc, func, select, text
from sqlalchemy.orm import aliased
from starlette.requests import Request

from lightapi import Field, Filtering, Pagination, RestEndpoint, col
from tests.support.hosts import Api, Client


class PublishedArticle(RestEndpoint):
    """Lists what is published."""

    title: str = Field(min_length=1)
    published: bool = Field()

    def queryset(self, request: Request) -> Any:
        cls = type(self)
        return select(cls._model_class).where(cls._model_class.published == True)  # noqa: E712


class Guarded(RestEndpoint):
    """Outside the queryset a row does not exist."""

    title: str = Field(min_length=1)
    published: bool = Field()

    class Meta:
        queryset_scope = "all"

    def queryset(self, request: Request) -> Any:
        model = type(self)._model_class
        return select(model).where(model.published.is_(True))


@pytest.fixture
def client(api: Api) -> Client:
    client = api({"/articles": PublishedArticle, "/guarded": Guarded})
    for path in ("/articles", "/guarded"):
        client.post(path, json={"title": "draft", "published": False})
        client.post(path, json={"title": "final", "published": True})
    return client


@pytest.mark.parametrize("path", ["/articles", "/guarded"])
def test_a_queryset_scopes_the_list(client: Client, path: str) -> None:
    assert [row["title"] for row in client.get(path).json()["results"]] == ["final"]


@pytest.mark.parametrize(("verb", "status"), [("GET", 200), ("PATCH", 200), ("DELETE", 204)])
def test_a_queryset_leaves_single_rows_alone(client: Client, verb: str, status: int) -> None:
    assert client.request(verb, "/articles/1", json={"version": 1}).status_code == status


@pytest.mark.parametrize("verb", ["GET", "PUT", "PATCH", "DELETE"])
def test_scope_all_hides_single_rows_too(client: Client, verb: str) -> None:
    body = {"title": "t", "published": True, "version": 1}

    hidden = client.request(verb, "/guarded/1", json=body)
    shown = client.request(verb, "/guarded/2", json=body)

    assert (hidden.status_code, hidden.json()) == (404, {"detail": "not found"})
    assert shown.status_code == (204 if verb == "DELETE" else 200)


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_scope_all_keeps_version_conflicts(client: Client, verb: str) -> None:
    body = {"title": "t", "published": True, "version": 9}

    assert client.request(verb, "/guarded/2", json=body).status_code == 409


# what a queryset may select


class Writer(RestEndpoint):
    """A row that others point at."""

    name: str = Field(min_length=1)
    active: bool = True


class Text(RestEndpoint):
    """A row with a parent."""

    title: str = Field(min_length=1)
    rank: Optional[int] = None
    writer_id: int = Field(foreign_key="writers.id")

    def queryset(self, request: Request) -> Any:
        shape = request.query_params.get("shape", "all")
        return SHAPES[shape](type(self)._model_class)


SHAPES: dict[str, Any] = {
    "all": select,
    "join": lambda model: select(model).join(Writer, Writer.id == model.writer_id).where(col(Writer.active).is_(True)),
    "distinct join": lambda model: select(model).join(Writer, col(Writer.active).is_(True)).distinct(),
    "subquery": lambda model: select(model).where(
        model.writer_id.in_(select(col(Writer.id)).where(col(Writer.name) == "ann"))
    ),
    "alias": lambda model: select(aliased(model)),
    "table": lambda model: select(model.__table__).where(model.__table__.c.title != "b"),
    "ordered": lambda model: select(model).order_by(desc(model.title)),
    "tied": lambda model: select(model).order_by(model.writer_id),
    "in words": lambda model: select(model).from_statement(text("SELECT * FROM texts ORDER BY title DESC")),
    "limited": lambda model: select(model).order_by(model.title).limit(2),
}

EXPECTED = {
    "all": ["c", "a", "b"],
    "join": ["c", "b"],
    "distinct join": ["c", "a", "b"],
    "subquery": ["c", "b"],
    "alias": ["c", "a", "b"],
    "table": ["c", "a"],
    "ordered": ["c", "b", "a"],
    "tied": ["c", "b", "a"],
    "in words": ["c", "b", "a"],
    "limited": ["a", "b"],
}


@pytest.fixture
def texts(api: Api) -> Client:
    client = api({"/writers": Writer, "/texts": Text})
    client.post("/writers", json={"name": "ann"})
    client.post("/writers", json={"name": "bob", "active": False})
    client.post("/writers", json={"name": "cid"})
    for title, writer in (("c", 1), ("a", 2), ("b", 1)):
        client.post("/texts", json={"title": title, "writer_id": writer})
    return client


@pytest.mark.hosts("asgi", "wsgi-direct")
@pytest.mark.parametrize("shape", EXPECTED)
def test_a_queryset_may_have_any_shape_that_gives_rows(texts: Client, shape: str) -> None:
    response = texts.get("/texts", params={"shape": shape})

    assert response.status_code == 200
    rows = response.json()["results"]
    assert [row["title"] for row in rows] == EXPECTED[shape]
    single = texts.get(f"/texts/{rows[0]['id']}").json()
    assert list(rows[0]) == list(single)
    assert rows[0] == single


@pytest.mark.hosts("asgi")
def test_rows_that_tie_are_ordered_by_their_key(texts: Client) -> None:
    rows = texts.get("/texts", params={"shape": "tied"}).json()["results"]

    assert [(row["writer_id"], row["id"]) for row in rows] == [(1, 1), (1, 3), (2, 2)]


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync", "postgres-async")
def test_nulls_do_not_lose_rows(texts: Client) -> None:
    texts.patch("/texts/2", json={"rank": 1, "version": 1})

    assert len(texts.get("/texts").json()["results"]) == 3


class ByTenant(RestEndpoint):
    """Scopes by what the request says."""

    tenant: str = Field(min_length=1)

    def queryset(self, request: Request) -> Any:
        model = type(self)._model_class
        return select(model).where(model.tenant == request.headers.get("x-tenant", ""))


@pytest.mark.engines("sqlite-sync", "postgres-async")
def test_a_queryset_reads_the_request(api: Api) -> None:
    client = api({"/rows": ByTenant})
    for tenant in ("a", "b"):
        client.post("/rows", json={"tenant": tenant})

    rows = client.get("/rows", headers={"X-Tenant": "b"}).json()["results"]

    assert [row["tenant"] for row in rows] == ["b"]
    assert client.get("/rows").json() == {"results": []}


class Divides(RestEndpoint):
    """A queryset that some rows make fail."""

    amount: int = 0

    def queryset(self, request: Request) -> Any:
        model = type(self)._model_class
        return select(model).where(100 / model.amount > 1)


@pytest.mark.engines("postgres-sync", "postgres-async")
def test_a_queryset_that_the_database_refuses_is_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    client = api({"/divides": Divides})
    assert client.post("/divides", json={}).status_code == 201
    caplog.set_level(logging.WARNING, "lightapi")

    assert client.get("/divides").status_code == 422
    assert "a SELECT failed with SQLSTATE 22012: a value of the client's, or the queryset itself" in caplog.text


WINDOWS: dict[str, Callable[[Any], Any]] = {
    "count": lambda cls: func.count().over(),
    "sum": lambda cls: func.sum(cls.amount).over(),
    "partition": lambda cls: func.max(cls.amount).over(partition_by=cls.title),
    "rank": lambda cls: func.rank().over(order_by=cls.amount.desc()),
    "moment": lambda cls: func.max(cls.created_at).over(),
    "inside": lambda cls: func.coalesce(func.lag(cls.amount).over(order_by=cls.id), 0),
    "expression": lambda cls: cls.amount * 1.0 / func.sum(cls.amount).over(),
}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("style", [None, "page_number", "cursor"])
def test_a_label_may_be_a_window_function(api: Api, window: str, style: Any) -> None:
    def queryset(self: Any, request: Request) -> Any:
        model = type(self)._model_class
        return select(model, WINDOWS[window](model).label("shown"))

    meta: dict[str, Any] = {"table": "windowed", "filtering": Filtering(ordering=["amount"])}
    if style:
        meta["pagination"] = Pagination(style=style, page_size=2)
    fields = {"__annotations__": {"title": str, "amount": int}, "queryset": queryset}
    client = api({"/rows": type("Windowed", (RestEndpoint,), {**fields, "Meta": type("Meta", (), meta)})})
    for amount in (3, 1, 2):
        assert client.post("/rows", json={"title": "t", "amount": amount}).status_code == 201

    for query, order in (("", [3, 1, 2]), ("?ordering=-amount", [3, 2, 1])):
        body = client.get(f"/rows{query}").json()
        rows = body["results"]
        if style == "page_number":
            rows += client.get(body["next"]).json()["results"]
        elif style:
            rows += client.get(f"/rows{query or '?'}&cursor={quote(body['next'])}").json()["results"]
        assert [row["amount"] for row in rows] == order
        assert all(row["shown"] is not None for row in rows)
