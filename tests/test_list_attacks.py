"""What an attacker or an odd database tried on lists, scopes, keys and reflected tables, and what came of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Optional

import pytest
from sqlalchemy import Engine, literal, select, text
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request

from lightapi import ConfigurationError, Field, Filtering, LightApi, Pagination, RestEndpoint, Serializer, col
from lightapi.cursors import _encoded, _signature
from lightapi.db.listing import Wanted
from tests.support import foreign
from tests.support.hosts import Api, Client, Database

ONE_HOST = pytest.mark.hosts("asgi")
SQLITE = pytest.mark.engines("sqlite-sync", "sqlite-async")
POSTGRES = pytest.mark.engines("postgres-sync", "postgres-async")
Engines = Callable[..., Engine | AsyncEngine]


def reflecting(name: str, bases: tuple[type, ...] = (RestEndpoint,), **meta: Any) -> Any:
    """Return an endpoint of a table of the database."""
    return type(name, bases, {"Meta": type("Meta", (), {"reflect": True, **meta})})


class Book(RestEndpoint):
    """Scoped to an owner in one of several ways."""

    title: str
    owner: str

    class Meta:
        queryset_scope = "all"

    def queryset(self, request: Request) -> Any:
        return SCOPES[request.headers["x-scope"]]()


def mine() -> Any:
    return select(Book).where(col(Book.owner) == "me")


SCOPES: dict[str, Callable[[], Any]] = {
    "subquery": lambda: select(mine().subquery()),
    "cte": lambda: select(mine().cte()),
    "alias": lambda: select(alias := vars(Book)["__table__"].alias()).where(alias.c.owner == "me"),
    "union": lambda: select(mine().union(mine()).subquery()),
    "words": lambda: select(Book).from_statement(text("SELECT * FROM books WHERE owner = 'me'")),
    "text order and limit": lambda: mine().order_by(text("title desc")).limit(9),
}


@ONE_HOST
@pytest.mark.parametrize("scope", SCOPES)
def test_no_scope_lets_other_rows_through(api: Api, scope: str) -> None:
    client = api({"/books": Book})
    for owner in ("me", "you"):
        client.post("/books", json={"title": "t", "owner": owner}, headers={"x-scope": scope})

    def status(verb: str, key: int) -> int:
        return client.request(verb, f"/books/{key}", json={"version": 1}, headers={"x-scope": scope}).status_code

    assert [row["id"] for row in client.get("/books", headers={"x-scope": scope}).json()["results"]] == [1]
    assert [status(verb, 2) for verb in ("GET", "PATCH", "DELETE")] == [404, 404, 404]
    assert [status(verb, 1) for verb in ("GET", "PATCH", "DELETE")] == [200, 200, 204]


@ONE_HOST
def test_a_subclass_of_a_reflected_class_compares_its_own_columns(api: Api, database: Database) -> None:
    foreign.execute(
        database.admin_engine(),
        "CREATE TABLE t1 (id integer PRIMARY KEY, owner text)",
        "CREATE TABLE t2 (id integer PRIMARY KEY, owner text)",
        "INSERT INTO t1 VALUES (1, 'ann')",
        "INSERT INTO t2 VALUES (1, 'ann'), (2, 'bob')",
    )
    base = reflecting("Base", table="t1")

    class Private(base):  # type: ignore[misc, valid-type]
        """Shows ann's rows."""

        class Meta:
            table = "t2"
            queryset_scope = "all"

        def queryset(self, request: Request) -> Any:
            model: Any = Private
            return select(model).where(model.owner == "ann")

    client = api({"/base": base, "/private": Private})

    assert [row["id"] for row in client.get("/private").json()["results"]] == [1]
    assert [client.get(f"/private/{key}").status_code for key in (1, 2)] == [200, 404]


class User(RestEndpoint):
    """Hides what must not be seen."""

    name: str
    secret: str

    class Meta:
        table = "users"
        serializer = Serializer(read=["id", "name"])
        filtering = Filtering(ordering=["name"])
        pagination = Pagination(style="cursor", page_size=1)


@ONE_HOST
@pytest.mark.parametrize(
    "document",
    [
        [[["secret", 0]], ["", 0], 0, ""],
        [[[["x"], 0]], [1, 0], 0, ""],
        [[], [{"u": 5}], 0, ""],
        [[], [[1]], 0, ""],
        [[], [{"n": "1.5"}, {"n": "2"}], 0, ""],
        [[], [{"t": "2024-01-01"}], 0, ""],
        [[], ["x"], 0, ""],
        [[], [], 0, ""],
        {},
        None,
    ],
    ids=json.dumps,
)
def test_a_cursor_signed_with_a_guessed_key_opens_nothing(api: Api, document: Any) -> None:
    client = api({"/users": User})
    client.post("/users", json={"name": "ann", "secret": "hush"})
    scope = "/users users id name secret version created_at updated_at".replace(" ", "\0")
    payload = json.dumps(document).encode()

    answer = client.get("/users", params={"cursor": _encoded(_signature(scope, payload) + payload)})

    assert answer.status_code == 422 or (answer.json()["next"] is None and document[0] == [])


@ONE_HOST
@POSTGRES
def test_the_text_of_a_client_is_never_cut(api: Api, database: Database) -> None:
    foreign.execute(
        database.admin_engine(),
        "CREATE TABLE chars (code char(5) PRIMARY KEY, n int)",
        "CREATE TABLE bits (code bit(3) PRIMARY KEY)",
        "INSERT INTO chars VALUES ('abcde', 1), ('ab', 2)",
        "INSERT INTO bits VALUES ('101')",
    )
    chars = reflecting("Chars", table="chars", filtering=Filtering(fields=["code"]))
    client = api({"/chars": chars, "/bits": reflecting("Bits", table="bits")})

    assert [client.get(f"/chars/{key}").status_code for key in ("abcde", "ab", "abcdeXYZ")] == [200, 200, 404]
    assert client.delete("/chars/abcdeXYZ").status_code == 404
    assert client.get("/chars?code=abcdeX").json() == {"results": []}
    assert [client.get(f"/bits/{key}").status_code for key in ("101", "10111", "1", "x")] == [200, 404, 404, 404]
    assert client.post("/bits", json={"code": "11111"}).status_code == 422


KINDS = ["span", "enum", "float", "bool", "json"]


class Level(Enum):
    """Numbers."""

    LOW = 1


@ONE_HOST
@pytest.mark.parametrize(
    "annotation", [timedelta, Level, float, bool, list[int]], ids=["span", "enum", "float", "bool", "json"]
)
def test_partial_starts_again_over_the_columns_it_made(api: Api, database: Database, annotation: Any) -> None:
    foreign.create(database.admin_engine(), foreign.RAILS)

    def start() -> Client:
        body = {"__annotations__": {"extra": Optional[annotation]}, "extra": None}
        meta = {"reflect": "partial", "table": "line_items"}
        return api({"/items": type("Again", (RestEndpoint,), {**body, "Meta": type("Meta", (), meta)})})

    for _ in range(3):
        assert start().post("/items", json={"title": "a"}).status_code == 201


@ONE_HOST
@POSTGRES
def test_partial_reads_a_column_as_it_is(api: Api, database: Database) -> None:
    class Moment(RestEndpoint):
        """Declares what the table has in other types."""

        moment: Optional[datetime] = None
        ratio: Optional[float] = None

        class Meta:
            reflect = "partial"
            table = "moments"
            filtering = Filtering(fields=["moment", "ratio"])

    admin = database.admin_engine()
    foreign.execute(admin, "CREATE TABLE moments (id serial PRIMARY KEY, moment timestamp, ratio real)")
    with admin.connect() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
    foreign.execute(admin, f"ALTER DATABASE {name} SET timezone = 'Europe/Berlin'")
    try:
        client = api({"/moments": Moment})
        made = client.post("/moments", json={"moment": "2024-01-01T12:00:00Z", "ratio": 0.1}).json()
        assert (made["moment"], made["ratio"]) == ("2024-01-01T12:00:00Z", 0.1)
        assert len(client.get("/moments?moment=2024-01-01T12:00:00Z&ratio=0.1").json()["results"]) == 1
    finally:
        foreign.execute(admin, f"ALTER DATABASE {name} RESET timezone")


class Shelf(RestEndpoint):
    """Lists its rows once per tag."""

    title: str

    class Meta:
        pagination = Pagination(style="cursor", page_size=2)

    def queryset(self, request: Request) -> Any:
        return {**TAGGED, **CLASHING}[request.headers["x-shape"]]()


class Tag(RestEndpoint):
    """Belongs to a shelf."""

    name: str
    shelf_id: int = Field(foreign_key="shelfs.id")


tag: Any = Tag
CLASHING: dict[str, Callable[[], Any]] = {
    "entity": lambda: select(Shelf, tag.id, tag.name).join(Tag, tag.shelf_id == Shelf.id),
    "labelled": lambda: select(Shelf, tag.shelf_id.label("version"), tag.name, literal(9).label("id")).join(
        Tag, tag.shelf_id == Shelf.id
    ),
}
TAGGED: dict[str, Callable[[], Any]] = {
    "join": lambda: select(Shelf).join(Tag, col(Tag.shelf_id) == col(Shelf.id)),
    "other way": lambda: select(Shelf).select_from(Tag).join(Shelf, col(Tag.shelf_id) == col(Shelf.id)),
    "label": lambda: select(Shelf, col(Tag.name).label("tag")).join(Tag, col(Tag.shelf_id) == col(Shelf.id)),
    "columns": lambda: select(col(Shelf.title), col(Tag.name).label("tag")).join(
        Tag, col(Tag.shelf_id) == col(Shelf.id)
    ),
    "nothing of ours": lambda: select(col(Tag.name).label("tag")),
}


@ONE_HOST
def test_the_id_of_a_joined_table_is_not_the_rows(api: Api) -> None:
    client = api({"/shelves": Shelf, "/tags": Tag})
    for title in ("first", "second"):
        client.post("/shelves", json={"title": title})
    client.post("/tags", json={"name": "a", "shelf_id": 2})

    for shape in ("entity", "labelled"):
        (row,) = client.get("/shelves", headers={"x-shape": shape}).json()["results"]
        assert (row["id"], row["title"], row["name"]) == (2, "second", "a")


@ONE_HOST
@pytest.mark.parametrize("shape", TAGGED)
def test_a_cursor_walks_every_row_that_a_join_makes(api: Api, shape: str) -> None:
    client = api({"/shelves": Shelf, "/tags": Tag})
    for shelf in (1, 2):
        client.post("/shelves", json={"title": "same"})
        for name in ("a", "b", "a"):
            client.post("/tags", json={"name": name, "shelf_id": shelf})

    walked, cursor = 0, None
    for _ in range(9):
        page = client.get("/shelves", params={"cursor": cursor} if cursor else {}, headers={"x-shape": shape}).json()
        walked += len(page["results"])
        cursor = page["next"]
        if cursor is None:
            break

    assert walked == 6


@ONE_HOST
@POSTGRES
@pytest.mark.parametrize("ordering", ["span", "-span"])
def test_intervals_are_walked_as_the_database_orders_them(api: Api, database: Database, ordering: str) -> None:
    foreign.execute(
        database.admin_engine(),
        "CREATE TABLE spans (id int PRIMARY KEY, span interval)",
        "INSERT INTO spans VALUES (1, '1 year'), (2, '1 year'), (3, '362 days'), (4, '10 days'), (5, NULL)",
    )
    pages = Pagination(style="cursor", page_size=1)
    spans = reflecting("Spans", table="spans", filtering=Filtering(ordering=["span"]), pagination=pages)
    client = api({"/spans": spans})

    walked: list[int] = []
    query = {"ordering": ordering}
    while len(walked) < 9:
        page = client.get("/spans", params=query).json()
        walked += [row["id"] for row in page["results"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]

    assert walked == ([4, 1, 2, 3, 5] if ordering == "span" else [5, 3, 1, 2, 4])


@ONE_HOST
@POSTGRES
def test_a_row_keeps_its_number_whatever_it_is_called_by(api: Api, database: Database) -> None:
    foreign.execute(
        database.admin_engine(),
        "CREATE TABLE people (id serial PRIMARY KEY, email varchar(50) NOT NULL UNIQUE, name text)",
    )
    client = api({"/people": reflecting("People", table="people", primary_key="email")})
    made = client.post("/people", json={"email": "a@b", "name": "x"}).json()

    assert client.put("/people/a@b", json={"name": "y"}).json() == {**made, "name": "y"}
    assert client.patch("/people/a@b", json={"id": 99}).json() == {**made, "name": "y"}


@pytest.mark.parametrize(
    "base_url",
    [
        "https://b\u00fccher.example",
        "https://x\r\nX: y",
        "ftp://x",
        "//evil",
        "https://x.y/a?b=c",
        "https://x.y#z",
        " ",
    ],
)
def test_a_base_url_that_no_link_can_begin_with_is_refused(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        LightApi(database_url="sqlite://", base_url=base_url)


@ONE_HOST
@SQLITE
@pytest.mark.parametrize("stored", ["2024-01-01 00:00:00", "2024-01-01 00:00:00.000000"])
def test_moments_are_keys_in_whatever_form_they_stand(api: Api, database: Database, stored: str) -> None:
    foreign.execute(
        database.admin_engine(),
        "CREATE TABLE moments (at timestamp, part int, PRIMARY KEY (at, part))",
        f"INSERT INTO moments VALUES ('{stored}', 1)",
    )
    client = api({"/moments": reflecting("Moments", table="moments")})

    assert client.get("/moments/2024-01-01T00:00:00Z,1").status_code == 200
    assert client.delete("/moments/2024-01-01T00:00:00Z,1").status_code == 204


@ONE_HOST
@POSTGRES
def test_a_key_that_only_the_database_can_read_is_404(api: Api, database: Database) -> None:
    foreign.execute(
        database.admin_engine(), "CREATE TABLE hosts (addr inet PRIMARY KEY)", "INSERT INTO hosts VALUES ('10.0.0.1')"
    )
    client = api({"/hosts": reflecting("Hosts", table="hosts")})

    assert client.get("/hosts/10.0.0.1").status_code == 200
    assert [client.request(verb, "/hosts/nope").status_code for verb in ("GET", "DELETE")] == [404, 404]


@ONE_HOST
@POSTGRES
def test_types_that_only_the_column_knows_are_walked(api: Api) -> None:
    class Machine(RestEndpoint):
        """Ordered by an address."""

        address: str = Field(sa_type=INET)

        class Meta:
            filtering = Filtering(ordering=["address"])
            pagination = Pagination(style="cursor", page_size=1)

    client = api({"/machines": Machine})
    for address in ("10.0.0.2", "10.0.0.1"):
        assert client.post("/machines", json={"address": address}).status_code == 201

    first = client.get("/machines?ordering=address").json()
    second = client.get("/machines", params={"cursor": first["next"]}).json()

    assert [page["results"][0]["address"] for page in (first, second)] == ["10.0.0.1", "10.0.0.2"]


@ONE_HOST
@SQLITE
def test_sqlites_foreign_keys_and_unique_columns_are_read_as_it_reads_them(api: Api, database: Database) -> None:
    foreign.execute(
        database.admin_engine(),
        "CREATE TABLE owners (id integer PRIMARY KEY)",
        "CREATE TABLE mails (email varchar(50) UNIQUE, n int REFERENCES OWNERS(ID))",
    )
    client = api({"/mails": reflecting("Mails", table="mails", primary_key="email")})

    assert client.post("/mails", json={"email": "a@b"}).status_code == 201
    assert client.post("/mails", json={"email": "c@d", "n": 5}).status_code == 409


@ONE_HOST
def test_bytes_are_filtered_as_they_are_answered(api: Api, database: Database) -> None:
    kind = "bytea" if database.kind.startswith("postgres") else "blob"
    foreign.execute(database.admin_engine(), f"CREATE TABLE blobs (id int PRIMARY KEY, data {kind})")
    client = api({"/blobs": reflecting("Blobs", table="blobs", filtering=Filtering(fields=["data"]))})

    made = client.post("/blobs", json={"id": 1, "data": "AP8="}).json()

    assert client.get("/blobs", params={"data": made["data"]}).json() == {"results": [made]}
    assert client.get("/blobs?data=%C3%A9").status_code == 422


@ONE_HOST
@pytest.mark.engines("sqlite-sync")
def test_many_threads_may_ask_for_many_shapes(api: Api) -> None:
    lists = api({"/users": User}).app._plans["/users"].lists
    failures: list[BaseException] = []

    def ask(offset: int) -> None:
        try:
            for number in range(300):
                lists.listing(Wanted(limit=1 + (number + offset) % 300))
        except BaseException as error:  # noqa: BLE001  shown below
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(37 * number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(lists._listings) <= 256
