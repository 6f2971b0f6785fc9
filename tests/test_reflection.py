"""``reflect = True``: what is read from a table, what its absence says, views, schemas, and classes in two apps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request

from lightapi import ConfigurationError, Field, Filtering, HttpMethod, LightApi, Pagination, RestEndpoint, Serializer
from tests.support import foreign
from tests.support.hosts import Api, Client, Database

ONE_HOST = pytest.mark.hosts("asgi")
Engines = Callable[..., Engine | AsyncEngine]


def reflecting(name: str, meta: dict[str, Any], **members: Any) -> type[RestEndpoint]:
    """Return an endpoint class that reflects."""
    return type(name, (RestEndpoint,), {"Meta": type("Meta", (), {"reflect": True, **meta}), **members})


TYPES = {
    "postgresql": """CREATE TABLE kinds (
        id serial PRIMARY KEY, small smallint, big bigint, r double precision, n numeric(8,3), whole numeric(6,0),
        flag boolean, d date, t time, ts timestamptz, naive timestamp, span interval, u uuid, raw bytea, doc jsonb,
        words text[], mood mood, addr inet, code char(3), free numeric)""",
    "sqlite": """CREATE TABLE kinds (
        id integer PRIMARY KEY, small smallint, big bigint, r double precision, n numeric(8,3), whole numeric(6,0),
        flag boolean, d date, t time, ts datetime, naive timestamp, raw blob, doc json, code char(3), free numeric)""",
}

VALUES: dict[str, Any] = {
    "small": -3,
    "big": 2**40,
    "r": 0.5,
    "n": "1.250",
    "whole": "7",
    "flag": True,
    "d": "2024-02-29",
    "t": "10:20:30",
    "ts": "2024-02-29T10:00:00Z",
    "naive": "2024-02-29T10:00:00Z",
    "raw": "_wA=",
    "doc": {"a": [1, None]},
    "code": "abc",
    "free": "1.5",
}
POSTGRES_VALUES = {
    "span": "P1DT2H",
    "u": "2b1c4a4e-0f8e-4d6f-b3b8-f6f1d5b7a901",
    "words": ["a", "b,c"],
    "mood": "ok",
    "addr": "10.0.0.1/32",
}


@pytest.fixture
def kinds(api: Api, database: Database) -> Client:
    admin = database.admin_engine()
    if admin.dialect.name == "postgresql":
        foreign.execute(admin, "DROP TYPE IF EXISTS mood CASCADE", "CREATE TYPE mood AS ENUM ('ok', 'so so')")
    foreign.create(admin, TYPES)
    fields = ["small", "big__in", "n__gte", "flag", "d", "t", "ts__lte", "naive", "code", "doc__isnull"]
    meta = {"table": "kinds", "filtering": Filtering(fields=fields)}
    return api({"/kinds": reflecting("Kind", meta)})


def test_every_type_comes_back_as_it_was_sent(kinds: Client, database: Database) -> None:
    sent = {**VALUES, **(POSTGRES_VALUES if database.kind.startswith("postgres") else {})}

    made = kinds.post("/kinds", json=sent)

    assert made.status_code == 201, made.text
    assert made.json() == {"id": 1, **sent} == kinds.get("/kinds/1").json()


@ONE_HOST
@pytest.mark.parametrize(
    "query",
    [
        {"small": "-3"},
        {"big__in": f"1,{2**40}"},
        {"n__gte": "1.25"},
        {"flag": "true"},
        {"d": "2024-02-29"},
        {"t": "10:20:30"},
        {"ts__lte": "2024-02-29T12:00:00+02:00"},
        {"naive": "2024-02-29T10:00:00"},
        {"code": "abc"},
        {"doc__isnull": "false"},
    ],
    ids=str,
)
def test_every_type_is_filtered_by_its_own_values(kinds: Client, query: dict[str, str]) -> None:
    kinds.post("/kinds", json=VALUES)
    kinds.post("/kinds", json={})

    assert [row["id"] for row in kinds.get("/kinds", params=query).json()["results"]] == [1]


@ONE_HOST
@pytest.mark.parametrize("name", ["small", "n", "flag", "d", "ts", "raw", "code"])
def test_a_wrong_value_is_422(kinds: Client, name: str) -> None:
    wrong = {
        "small": 40_000_000_000_000_000_000,
        "n": "x",
        "flag": "x",
        "d": "x",
        "ts": "x",
        "raw": "é",
        "code": "abcd",
    }

    answer = kinds.post("/kinds", json={name: wrong[name]})

    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, [name])


@ONE_HOST
@pytest.mark.engines("postgres-sync", "postgres-async")
@pytest.mark.parametrize(("name", "value"), [("addr", "nowhere"), ("mood", "bad"), ("n", "123456.7"), ("words", "x")])
def test_what_only_the_database_can_judge_is_422_too(kinds: Client, name: str, value: Any) -> None:
    assert kinds.post("/kinds", json={name: value}).status_code == 422
    assert kinds.get("/kinds").json() == {"results": []}


@ONE_HOST
@pytest.mark.engines("sqlite-sync", "sqlite-async")
def test_sqlites_misplaced_values_are_answered_as_they_stand(kinds: Client, database: Database) -> None:
    foreign.execute(
        database.admin_engine(),
        "INSERT INTO kinds (small, n, flag, d, t, ts, doc, raw, code) VALUES "
        "('many', 'much', 'maybe', 'someday', 7, 'soon', '{', 'text', x'ff')",
    )

    row = kinds.get("/kinds/1").json()

    assert (row["small"], row["n"], row["flag"], row["d"]) == ("many", "much", "maybe", "someday")
    assert (row["t"], row["ts"], row["doc"], row["code"]) == (7, "soon", "{", "_w==")
    assert kinds.get("/kinds").json()["results"] == [row]


@ONE_HOST
@pytest.mark.engines("sqlite-sync", "sqlite-async")
@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_a_file_of_another_encoding_is_searched(database: Database, api: Api, encoding: str) -> None:
    foreign.execute(
        database.admin_engine(),
        f"PRAGMA encoding = '{encoding}'",
        "CREATE TABLE names (id integer PRIMARY KEY, name text)",
        "INSERT INTO names VALUES (1, 'M\u00dcLLER')",
    )
    client = api({"/names": reflecting("Name", {"table": "names", "filtering": Filtering(search=["name"])})})

    assert [len(client.get(f"/names?search={text}").json()["results"]) for text in ("m%C3%BC", "o")] == [1, 0]


@ONE_HOST
@pytest.mark.engines("sqlite-sync", "sqlite-async")
def test_texts_that_are_no_utf_8_are_answered_and_searched(database: Database, api: Api) -> None:
    foreign.execute(
        database.admin_engine(),
        "CREATE TABLE names (id integer PRIMARY KEY, name text)",
        "INSERT INTO names VALUES (1, CAST(x'4df66c6c6572' AS text)), (2, 'M\u00dcLLER')",
    )
    meta = {"table": "names", "filtering": Filtering(search=["name"], fields=["name__icontains", "name__contains"])}
    client = api({"/names": reflecting("Name", meta)})

    rows = client.get("/names").json()["results"]
    assert rows == [{"id": 1, "name": "M\ufffdller"}, {"id": 2, "name": "M\u00dcLLER"}]
    assert client.get("/names/1").json() == rows[0]
    for query, ids in (("search=LLE", [1, 2]), ("name__icontains=m%C3%BC", [2]), ("name__contains=ller", [1])):
        assert [row["id"] for row in client.get(f"/names?{query}").json()["results"]] == ids


@pytest.mark.parametrize("when", ["outside a loop", "inside a loop"])
@ONE_HOST
def test_a_missing_table_is_found_at_register(make_engine: Engines, when: str) -> None:
    app = LightApi(engine=make_engine())
    endpoint = reflecting("Gone", {"table": "gone_for_good"})

    async def register() -> None:
        app.register({"/gone": endpoint})

    with pytest.raises(ConfigurationError, match="Gone: table 'gone_for_good' does not exist"):
        asyncio.run(register()) if when == "inside a loop" else app.register({"/gone": endpoint})


def test_a_misspelt_table_names_the_nearest(make_engine: Engines, database: Database) -> None:
    foreign.create(database.admin_engine(), foreign.RAILS)
    app = LightApi(engine=make_engine())

    with pytest.raises(ConfigurationError, match=r"table 'line_item' does not exist; did you mean 'line_items'\?"):
        app.register({"/x": reflecting("Item", {"table": "line_item"})})


@pytest.mark.parametrize(
    ("meta", "members", "message"),
    [
        ({}, {"__annotations__": {"title": str}}, "'partial'"),
        ({"table": "bare"}, {}, "'bare' has no primary key; name one with Meta.primary_key"),
        ({"table": "bare", "primary_key": "nme"}, {}, r"no column 'nme'.*did you mean 'name'\?"),
        ({"table": "seen", "primary_key": "id"}, {"bases": HttpMethod.POST}, "POST: the table 'seen' is a view"),
        ({"table": "line_items", "serializer": Serializer(fields=["titel"])}, {}, r"'titel'.*did you mean 'title'\?"),
        ({"table": "line_items", "filtering": Filtering(fields=["note__gtee"])}, {}, r"did you mean 'gte'\?"),
    ],
    ids=["fields", "no key", "wrong key", "view", "serializer", "filter"],
)
def test_what_can_not_be_reflected_is_said(
    make_engine: Engines, database: Database, meta: dict[str, Any], members: dict[str, Any], message: str
) -> None:
    foreign.create(database.admin_engine(), foreign.RAILS)
    foreign.execute(
        database.admin_engine(),
        "CREATE TABLE bare (name text)",
        "CREATE VIEW seen AS SELECT id, title FROM line_items",
    )
    extra = (members.pop("bases"),) if "bases" in members else ()
    body = {"Meta": type("Meta", (), {"reflect": True, **meta}), **members}

    try:
        endpoint = type("Wrong", (RestEndpoint, *extra), body)
        with pytest.raises(ConfigurationError, match=message):
            LightApi(engine=make_engine()).register({"/x": endpoint})
    finally:
        members.update({"bases": extra[0]} if extra else {})
        foreign.execute(database.admin_engine(), "DROP VIEW seen")


def test_a_view_can_be_read(api: Api, database: Database) -> None:
    foreign.create(database.admin_engine(), foreign.RAILS)
    foreign.execute(
        database.admin_engine(),
        "INSERT INTO line_items (title, created_at, updated_at) VALUES ('a', '2024-01-01', '2024-01-01'), "
        "('b', '2024-01-01', '2024-01-01')",
        "CREATE VIEW seen AS SELECT id, title AS name FROM line_items",
    )
    meta = {"table": "seen", "primary_key": "id", "pagination": Pagination(page_size=1)}
    try:
        client = api({"/seen": reflecting("Seen", meta)})

        assert client.get("/seen?page=2").json()["results"] == [{"id": 2, "name": "b"}]
        assert client.get("/seen/1").json() == {"id": 1, "name": "a"}
        assert client.post("/seen", json={"name": "c"}).status_code == 405
        assert client.delete("/seen/1").headers["allow"] == "GET, HEAD, OPTIONS"
    finally:
        foreign.execute(database.admin_engine(), "DROP VIEW seen")


@ONE_HOST
def test_a_table_without_a_key_is_written_by_a_unique_column(api: Api, database: Database) -> None:
    foreign.execute(
        database.admin_engine(), "CREATE TABLE codes (code text NOT NULL UNIQUE, kind text, n integer DEFAULT 3)"
    )
    client = api(
        {
            "/codes": reflecting("Code", {"table": "codes", "primary_key": "code"}),
            "/kinds": reflecting("ByKind", {"table": "codes", "primary_key": ("code",)}),
        }
    )

    assert client.post("/codes", json={"code": "a", "kind": "k"}).json() == {"code": "a", "kind": "k", "n": 3}
    assert client.patch("/kinds/a", json={"kind": "z"}).json() == {"code": "a", "kind": "z", "n": 3}


@ONE_HOST
@pytest.mark.engines("postgres-sync", "postgres-async")
def test_a_schema_is_named_in_meta(api: Api, database: Database, make_engine: Engines) -> None:
    admin = database.admin_engine()
    foreign.execute(admin, "CREATE SCHEMA ware", "CREATE TABLE ware.things (id serial PRIMARY KEY, name text)")

    class Made(RestEndpoint):
        name: str

        class Meta:
            schema = "ware"

    try:
        client = api({"/things": reflecting("Thing", {"table": "things", "schema": "ware"}), "/made": Made})
        assert client.post("/things", json={"name": "a"}).json() == {"id": 1, "name": "a"}
        assert client.post("/made", json={"name": "a"}).status_code == 201
        with pytest.raises(ConfigurationError, match=r"table 'wear\.things' does not exist"):
            LightApi(engine=make_engine()).register({"/x": reflecting("T", {"table": "things", "schema": "wear"})})
    finally:
        foreign.execute(admin, "DROP SCHEMA ware CASCADE")


@ONE_HOST
def test_two_apps_reflect_the_same_table(api: Api, database: Database) -> None:
    foreign.create(database.admin_engine(), foreign.RAILS)
    shared = reflecting("Shared", {"table": "line_items"})

    first = api({"/items": shared, "/again": shared})
    second = api({"/elsewhere": shared, "/other": reflecting("Other", {"table": "line_items"})})

    made = first.post("/items", json={"title": "bolt"}).json()
    assert second.get("/elsewhere/1").json() == second.get("/other/1").json() == first.get("/again/1").json() == made


@ONE_HOST
def test_a_class_is_refused_where_its_table_lacks_columns(make_engine: Engines, database: Database) -> None:
    foreign.create(database.admin_engine(), foreign.RAILS)
    shared = reflecting("Shared", {"table": "line_items"})
    LightApi(engine=make_engine()).register({"/items": shared})
    foreign.execute(database.admin_engine(), "DROP TABLE line_items")

    with pytest.raises(ConfigurationError, match="Shared: table 'line_items' does not exist"):
        LightApi(engine=make_engine()).register({"/items": shared})
    foreign.execute(database.admin_engine(), "CREATE TABLE line_items (id integer PRIMARY KEY, title text)")
    with pytest.raises(ConfigurationError, match="no column 'quantity', which the class was mapped with"):
        LightApi(engine=make_engine()).register({"/items": shared})


@ONE_HOST
def test_reflected_classes_are_models_of_querysets(api: Api, database: Database) -> None:
    foreign.create(database.admin_engine(), foreign.RAILS)

    class Bolt(RestEndpoint):
        """Lists bolts."""

        class Meta:
            reflect = True
            table = "line_items"
            queryset_scope = "all"

        def queryset(self, request: Request) -> Any:
            model: Any = type(self)
            return select(model).where(model.title == "bolt")

    client = api({"/bolts": Bolt})
    for title in ("bolt", "nut"):
        client.post("/bolts", json={"title": title})

    assert [row["id"] for row in client.get("/bolts").json()["results"]] == [1]
    assert [client.get(f"/bolts/{key}").status_code for key in (1, 2)] == [200, 404]


@ONE_HOST
def test_foreign_keys_answer_as_ours_do(api: Api, database: Database) -> None:
    foreign.create(database.admin_engine(), foreign.RAILS)
    foreign.execute(
        database.admin_engine(),
        "CREATE TABLE notes (id integer PRIMARY KEY, item integer NOT NULL REFERENCES line_items (id))",
    )

    class Remark(RestEndpoint):
        """Refers to a reflected table."""

        item: int = Field(foreign_key="line_items.id")

    client = api({"/notes": reflecting("Note", {"table": "notes"}), "/remarks": Remark})

    assert client.post("/notes", json={"id": 1, "item": 5}).status_code == 409
    assert client.post("/remarks", json={"item": 5}).status_code == 409
