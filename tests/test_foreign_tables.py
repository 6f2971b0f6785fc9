"""Tables that somebody else made are served fully by ``reflect = True``: Django's, Rails's, and odd ones."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import text

from lightapi import Filtering, Pagination, RestEndpoint
from tests.support import foreign
from tests.support.hosts import Api, Client, Database

PRODUCT = {
    "name": "lamp",
    "sku": "2b1c4a4e0f8e4d6fb3b8f6f1d5b7a901",
    "price": "12.50",
    "is_active": True,
    "released": "2024-02-29",
    "tags": "[]",
}


def products() -> type[RestEndpoint]:
    """Return a class on Django's table."""

    class Product(RestEndpoint):
        """Has no columns of its own."""

        class Meta:
            reflect = True
            table = "shop_product"
            filtering = Filtering(
                fields=["name", "price__gte", "is_active", "created_at__lte", "released", "created_at"],
                search=["name"],
                ordering=["price"],
            )
            pagination = Pagination(style="cursor", page_size=2)

    return Product


@pytest.fixture
def shop(api: Api, database: Database) -> Client:
    foreign.create(database.admin_engine(), foreign.DJANGO)
    return api({"/products": products()})


def test_djangos_table_has_every_verb(shop: Client) -> None:
    made = shop.post("/products", json=PRODUCT)
    assert (made.status_code, made.headers["location"]) == (201, "/products/1"), made.text
    row = made.json()
    assert row["price"] in ("12.50", "12.5")
    assert (row["id"], row["is_active"], row["released"]) == (1, True, "2024-02-29")
    assert row["created_at"].endswith("Z")
    assert "version" not in row

    assert shop.get("/products/1").json() == row
    assert shop.patch("/products/1", json={"is_active": False}).json() == {**row, "is_active": False}
    replaced = shop.put("/products/1", json={**PRODUCT, "name": "desk", "released": None})
    assert replaced.json() == {**row, "name": "desk", "released": None}
    assert shop.get("/products").json()["results"] == [replaced.json()]
    assert shop.delete("/products/1").status_code == 204
    assert shop.get("/products/1").status_code == 404


def test_djangos_constraints_answer_as_ours_do(shop: Client) -> None:
    shop.post("/products", json=PRODUCT)

    twice = shop.post("/products", json=PRODUCT)
    assert (twice.status_code, twice.json()) == (409, {"detail": "conflict: name already exists"})
    missing = shop.post("/products", json={"name": "x" * 101})
    assert missing.status_code == 422
    assert {problem["loc"][0] for problem in missing.json()["detail"]} == {"name", "sku", "price", "is_active", "tags"}


@pytest.mark.hosts("asgi")
def test_djangos_rows_are_filtered_searched_and_paged(shop: Client, database: Database) -> None:
    for number in range(5):
        shop.post("/products", json={**PRODUCT, "name": f"Lamp {number}", "price": str(number % 3)})
    # As Django writes it on SQLite: without the zeros behind the second.
    foreign.execute(database.admin_engine(), "UPDATE shop_product SET created_at = '2024-05-01 10:00:00' WHERE id = 2")

    def ids(**query: Any) -> list[int]:
        return [row["id"] for row in shop.get("/products", params=query).json()["results"]]

    assert ids(name="Lamp 3") == [4]
    assert ids(price__gte="2") == [3]
    assert ids(search="LAMP 1") == [2]
    assert ids(created_at="2024-05-01T10:00:00Z") == [2]
    assert ids(created_at__lte="2024-05-01T12:00:00+02:00") == [2]
    first = shop.get("/products", params={"ordering": "-price"}).json()
    assert [row["id"] for row in first["results"]] == [3, 2]
    assert ids(cursor=first["next"]) == [5, 1]


class LineItem(RestEndpoint):
    """Has no columns of its own."""

    class Meta:
        reflect = True
        table = "line_items"


def test_railss_table_keeps_its_timestamps_and_defaults(api: Api, database: Database) -> None:
    foreign.create(database.admin_engine(), foreign.RAILS)
    client = api({"/items": LineItem})

    made = client.post("/items", json={"title": "bolt"})
    assert made.status_code == 201, made.text
    row = made.json()
    assert (row["quantity"], row["lock_version"], row["note"]) == (1, 0, "none: yet")
    assert row["created_at"] == row["updated_at"]

    changed = client.put("/items/1", json={"title": "nut", "quantity": 7})
    assert changed.json() == {**row, "title": "nut", "quantity": 7, "updated_at": changed.json()["updated_at"]}
    assert changed.json()["updated_at"] > row["updated_at"]
    with database.admin_engine().connect() as connection:
        stored = connection.execute(text("SELECT created_at FROM line_items")).scalar_one()
    assert str(stored).startswith(row["created_at"][:19].replace("T", " "))


class Customer(RestEndpoint):
    """Has no columns of its own."""

    class Meta:
        reflect = True
        table = "Tbl Kunden"
        extra = "forbid"
        filtering = Filtering(fields=["100%", "_alt__gt", "list", "Name, voll"], ordering=["order", "_alt"])


def test_odd_names_and_a_text_key_are_served(api: Api, database: Database) -> None:
    foreign.create(database.admin_engine(), foreign.LEGACY)
    client = api({"/customers": Customer})
    sent = {"Kunden-Nr": "A/1", "Name, voll": "Åsa", "_alt": 21, "list": "a", "order": 0.1, "100%": 5}

    made = client.post("/customers", json={**sent, "brutto": 1})
    assert (made.status_code, made.headers["location"]) == (201, "/customers/A%2F1"), made.text
    row = made.json()
    assert row == {**sent, "brutto": 42}
    assert list(row) == ["Kunden-Nr", "Name, voll", "_alt", "list", "order", "100%", "brutto"]

    assert client.get("/customers/A%2F1").json() == row
    assert client.patch("/customers/A%2F1", json={"_alt": 1}).json() == {**row, "_alt": 1, "brutto": 2}
    for query in ({"100%": "5"}, {"_alt__gt": "0"}, {"list": "a"}, {"Name, voll": "Åsa"}, {"ordering": "-order,_alt"}):
        assert len(client.get("/customers", params=query).json()["results"]) == 1, query
    wrong = client.patch("/customers/A%2F1", json={"_alt": "x", "100%": 70_000_000_000})
    assert (wrong.status_code, wrong.json()["detail"][0]["loc"]) == (422, ["_alt"])
    assert client.patch("/customers/A%2F1", json={"_alt": 40_000}).status_code in (200, 422)
    assert client.patch("/customers/A%2F1", json={"100%": -1}).status_code == 422
    assert client.delete("/customers/A%2F1").status_code == 204


class Seat(RestEndpoint):
    """Has no columns of its own."""

    class Meta:
        reflect = True
        table = "seats"
        pagination = Pagination(style="cursor", page_size=2)


class Page(RestEndpoint):
    """Its key is text of any kind."""

    class Meta:
        reflect = True
        table = "pages"


PAGES = "CREATE TABLE pages (url VARCHAR(200) PRIMARY KEY, note VARCHAR(20))"


def test_a_slash_that_belongs_to_an_id_is_no_trailing_slash(api: Api, database: Database) -> None:
    foreign.execute(database.admin_engine(), PAGES)
    client = api({"/pages": Page})
    urls = ["a", "a/", "a//", "/"]
    links = [client.post("/pages", json={"url": url}).headers["location"] for url in urls]

    assert [client.get(link).json()["url"] for link in links] == urls
    assert client.delete("/pages/a%2F").status_code == 204
    assert [client.get(link).status_code for link in links] == [200, 404, 200, 200]
    assert client.get("/pages/b%2F").status_code == 404
    assert len(client.get("/pages/").json()["results"]) == 3


@pytest.mark.parametrize("url", ["", ".", "..", "a\ufffd"])
def test_a_key_that_no_path_can_name_is_refused(url: str, api: Api, database: Database) -> None:
    foreign.execute(database.admin_engine(), PAGES)
    client = api({"/pages": Page})

    refused = client.post("/pages", json={"url": url})

    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["url"]
    assert client.get("/pages").json()["results"] == []


def test_a_path_that_is_no_utf_8_names_no_row(api: Api, database: Database) -> None:
    foreign.execute(database.admin_engine(), PAGES, "INSERT INTO pages VALUES ('\ufffd', 'a')")
    client = api({"/pages": Page})

    for path in ("/pages/%ff", "/pages/%fe"):
        assert [client.request(verb, path).status_code for verb in ("GET", "DELETE")] == [404, 404]
    assert len(client.get("/pages").json()["results"]) == 1


def test_a_part_of_a_key_that_no_path_can_name_is_refused(api: Api, database: Database) -> None:
    foreign.create(database.admin_engine(), foreign.COMPOSITE)
    client = api({"/seats": Seat})

    refused = client.post("/seats", json={"row_name": "\ufffd", "number": 7})

    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["row_name"]


@pytest.mark.parametrize("row_name", ["A", "a,b", '"', 'x"y,z', "ü/ö", ","])
def test_composite_keys_are_values_with_commas_between(api: Api, database: Database, row_name: str) -> None:
    foreign.create(database.admin_engine(), foreign.COMPOSITE)
    client = api({"/seats": Seat})

    made = client.post("/seats", json={"row_name": row_name, "number": 7})
    assert made.status_code == 201, made.text
    path = made.headers["location"]
    row = made.json()
    assert row == {"row_name": row_name, "number": 7, "taken_by": None, "version": 1}

    assert client.get(path).json() == row
    assert client.patch(path, json={"taken_by": "ann", "version": 1}).json() == {**row, "taken_by": "ann", "version": 2}
    assert client.patch(path, json={"taken_by": "bob", "version": 1}).status_code == 409
    assert client.put(path, json={"version": 2}).json() == {**row, "version": 3}
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("key", ["A", "A,x", "A,1,2", 'A"', '"A,1', "", ",", "A,99999999999"])
@pytest.mark.hosts("asgi", "wsgi-direct")
def test_what_is_no_composite_key_is_404(api: Api, database: Database, key: str) -> None:
    foreign.create(database.admin_engine(), foreign.COMPOSITE)
    client = api({"/seats": Seat})

    assert client.get(f"/seats/{quote(key)}").status_code == (200 if not key else 404)


@pytest.mark.hosts("asgi")
def test_rows_without_a_version_begin_at_one(api: Api, database: Database) -> None:
    foreign.create(database.admin_engine(), foreign.COMPOSITE)
    foreign.execute(database.admin_engine(), "INSERT INTO seats VALUES ('A', 1, NULL, NULL), ('A', 2, NULL, 0)")
    client = api({"/seats": Seat})

    assert [row["version"] for row in client.get("/seats").json()["results"]] == [1, 1]
    assert client.patch("/seats/A,1", json={"taken_by": "ann", "version": 1}).json()["version"] == 2
    assert client.patch("/seats/A,2", json={"taken_by": "ann", "version": 2}).status_code == 409


@pytest.mark.hosts("asgi")
def test_composite_keys_are_walked_by_cursor(api: Api, database: Database) -> None:
    foreign.create(database.admin_engine(), foreign.COMPOSITE)
    client = api({"/seats": Seat})
    keys = [(name, number) for name in ("a", "b") for number in (2, 1, 3)]
    for name, number in keys:
        client.post("/seats", json={"row_name": name, "number": number})

    walked, cursor = [], None
    while True:
        page = client.get("/seats", params={"cursor": cursor} if cursor else {}).json()
        walked += [(row["row_name"], row["number"]) for row in page["results"]]
        cursor = page["next"]
        if cursor is None:
            break

    assert walked == sorted(keys)


@pytest.mark.hosts("asgi")
@pytest.mark.parametrize(("kind", "large"), [("smallint", 32_000), ("bigint", 1_764_000_000_000)])
def test_a_version_column_is_as_wide_as_it_is(api: Api, database: Database, kind: str, large: int) -> None:
    foreign.execute(
        database.admin_engine(),
        f"CREATE TABLE wide (id integer PRIMARY KEY, name text, version {kind})",
        f"INSERT INTO wide VALUES (1, 'a', {large})",
    )
    body = {"Meta": type("Meta", (), {"reflect": True, "table": "wide"})}
    client = api({"/wide": type("Wide", (RestEndpoint,), body)})

    assert client.patch("/wide/1", json={"version": 2**64}).status_code == 409
    assert client.patch("/wide/1", json={"version": 40_000}).status_code == 409
    assert client.patch("/wide/1", json={"version": large}).json()["version"] == large + 1


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync", "sqlite-async")
@pytest.mark.parametrize(
    ("key", "end", "statuses"),
    [
        ("id INTEGER PRIMARY KEY", "", [201, 201]),
        ("id INT PRIMARY KEY NOT NULL", "", [422, 201]),
        ("id INTEGER PRIMARY KEY", " WITHOUT ROWID", [422, 201]),
    ],
)
def test_only_sqlites_row_id_is_filled_in(
    api: Api, database: Database, key: str, end: str, statuses: list[int]
) -> None:
    foreign.execute(database.admin_engine(), f"CREATE TABLE keyed ({key}, name text){end}")
    body = {"Meta": type("Meta", (), {"reflect": True, "table": "keyed"})}
    client = api({"/keyed": type("Keyed", (RestEndpoint,), body)})

    assert [client.post("/keyed", json=sent).status_code for sent in ({}, {"id": 7})] == statuses
