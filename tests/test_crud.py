"""Create, list, retrieve, update and delete, as one annotated class gives them."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from sqlalchemy import insert

from lightapi import Field, RestEndpoint
from tests.support.endpoints import CLEAN_CODE, Book
from tests.support.hosts import Api, Client, Database

KEYS = ["id", "title", "author", "pages", "language", "version", "created_at", "updated_at"]


class Strict(RestEndpoint):
    """Unknown keys are errors here."""

    title: str = Field(min_length=1)

    class Meta:
        extra = "forbid"


@pytest.fixture
def client(api: Api) -> Client:
    return api({"/books": Book})


@pytest.fixture
def book(client: Client) -> dict[str, Any]:
    made: dict[str, Any] = client.post("/books", json=CLEAN_CODE).json()
    return made


def test_create_answers_the_row_and_where_it_is(client: Client) -> None:
    response = client.post("/books", json=CLEAN_CODE)

    assert response.status_code == 201
    assert response.headers["location"] == "/books/1"
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == KEYS
    assert body | CLEAN_CODE | {"id": 1, "version": 1, "pages": None, "language": "en"} == body


def test_timestamps_are_aware_utc(book: dict[str, Any]) -> None:
    assert book["created_at"].endswith("Z")
    assert book["updated_at"].endswith("Z")


def test_list_answers_results_in_key_order(client: Client) -> None:
    for title in ("c", "a", "b"):
        client.post("/books", json=CLEAN_CODE | {"title": title})

    response = client.get("/books")

    assert response.status_code == 200
    assert list(response.json()) == ["results"]
    assert [row["title"] for row in response.json()["results"]] == ["c", "a", "b"]
    assert list(response.json()["results"][0]) == KEYS


def test_list_of_an_empty_table_is_empty(client: Client) -> None:
    assert client.get("/books").content == b'{"results":[]}'


def test_retrieve_answers_what_create_answered(client: Client, book: dict[str, Any]) -> None:
    response = client.get("/books/1")

    assert response.status_code == 200
    assert response.json() == book


def test_put_replaces_the_row(client: Client) -> None:
    made = client.post("/books", json=CLEAN_CODE | {"pages": 400, "language": "de"}).json()

    response = client.put("/books/1", json={"title": "T", "author": "A", "version": 1})

    assert response.status_code == 200
    changed = {"title": "T", "author": "A", "pages": None, "language": "en", "version": 2}
    assert response.json() == made | changed | {"updated_at": response.json()["updated_at"]}
    assert client.get("/books/1").json() == response.json()


def test_put_requires_every_required_field(client: Client, book: dict[str, Any]) -> None:
    response = client.put("/books/1", json={"title": "T", "version": 1})

    assert response.status_code == 422
    assert [(e["type"], e["loc"]) for e in response.json()["detail"]] == [("missing", ["author"])]


def test_patch_changes_only_what_it_names(client: Client, book: dict[str, Any]) -> None:
    response = client.patch("/books/1", json={"title": "T", "version": 1})

    assert response.status_code == 200
    moved = {"title": "T", "version": 2, "updated_at": response.json()["updated_at"]}
    assert response.json() == book | moved
    assert client.get("/books/1").json() == response.json()


def test_patch_with_nothing_but_a_version_is_a_write(client: Client, book: dict[str, Any]) -> None:
    response = client.patch("/books/1", json={"version": 1})

    assert response.status_code == 200
    assert response.json()["version"] == 2
    assert response.json()["updated_at"] > book["updated_at"]
    assert response.json()["created_at"] == book["created_at"]


def test_every_write_moves_updated_at_and_keeps_created_at(client: Client, book: dict[str, Any]) -> None:
    patched = client.patch("/books/1", json={"pages": 1, "version": 1}).json()
    put = client.put("/books/1", json=CLEAN_CODE | {"version": 2}).json()

    assert book["updated_at"] < patched["updated_at"] < put["updated_at"]
    assert book["created_at"] == patched["created_at"] == put["created_at"]


def test_patch_obeys_the_constraints_of_create(client: Client, book: dict[str, Any]) -> None:
    response = client.patch("/books/1", json={"title": "", "version": 1})

    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["title"]
    assert client.get("/books/1").json() == book


def test_delete_answers_nothing_and_removes_the_row(client: Client, book: dict[str, Any]) -> None:
    response = client.delete("/books/1")

    assert (response.status_code, response.content) == (204, b"")
    assert client.get("/books/1").status_code == 404
    assert client.get("/books").json() == {"results": []}


@pytest.mark.parametrize("verb", ["GET", "PUT", "PATCH", "DELETE"])
def test_a_missing_row_is_not_found(client: Client, verb: str) -> None:
    response = client.request(verb, "/books/7", json=CLEAN_CODE | {"version": 1})

    assert (response.status_code, response.json()) == (404, {"detail": "not found"})


def test_automatic_columns_in_a_body_are_ignored(client: Client) -> None:
    forged = {"id": 77, "created_at": "2001-01-01T00:00:00Z", "updated_at": "x", "version": 9}

    made = client.post("/books", json=CLEAN_CODE | forged).json()
    patched = client.patch("/books/1", json={"id": 5, "created_at": "x", "version": 1})

    assert (made["id"], made["version"]) == (1, 1)
    assert made["created_at"] > "2002"
    assert patched.json()["id"] == 1
    assert patched.json()["created_at"] == made["created_at"]


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
class TestIndependentOfHostAndEngine:
    """Laws of the schema and the router alone."""

    def test_unknown_keys_are_ignored(self, client: Client) -> None:
        response = client.post("/books", json=CLEAN_CODE | {"colour": "red"})

        assert response.status_code == 201
        assert "colour" not in response.json()

    def test_unknown_keys_are_refused_on_request(self, api: Api) -> None:
        client = api({"/stricts": Strict})

        created = client.post("/stricts", json={"title": "t", "colour": "red"})
        client.post("/stricts", json={"title": "t"})
        patched = client.patch("/stricts/1", json={"version": 1, "colour": "red"})

        for response in (created, patched):
            assert response.status_code == 422
            assert response.json()["detail"][0]["type"] == "extra_forbidden"
            assert response.json()["detail"][0]["loc"] == ["colour"]

    def test_automatic_columns_are_no_unknown_keys(self, api: Api) -> None:
        client = api({"/stricts": Strict})

        made = client.post("/stricts", json={"title": "t"}).json()
        response = client.put("/stricts/1", json=made)

        assert response.status_code == 200

    @pytest.mark.parametrize("path", ["/books/", "/books/1/"])
    def test_a_trailing_slash_names_the_same_resource(self, client: Client, path: str) -> None:
        client.post("/books", json=CLEAN_CODE)

        response = client.get(path)

        assert response.status_code == 200
        assert response.content == client.get(path.rstrip("/")).content

    @pytest.mark.parametrize("key", ["0", "-1", "99999999999999999999", "-99999999999999999999", "2147483648"])
    def test_an_integer_id_without_a_row_is_not_found(self, client: Client, key: str) -> None:
        response = client.get(f"/books/{key}")

        assert (response.status_code, response.json()) == (404, {"detail": "not found"})

    @pytest.mark.parametrize(
        "key",
        ["x", "+1", "1.0", "%201", "1%20", "0x1", "1_0", "%D9%A1", "%C2%B9", "1%00", "1,1", "--1"],
    )
    @pytest.mark.parametrize("verb", ["GET", "PATCH", "DELETE"])
    def test_an_id_is_ascii_digits_and_nothing_else(self, client: Client, verb: str, key: str) -> None:
        client.post("/books", json=CLEAN_CODE)

        response = client.request(verb, f"/books/{key}", json={"version": 1})

        assert (response.status_code, response.json()) == (404, {"detail": "not found"})

    def test_undeclared_query_parameters_are_ignored(self, client: Client) -> None:
        client.post("/books", json=CLEAN_CODE)

        response = client.get("/books?title=other&ordering=-title&page=x&anything")

        assert response.content == client.get("/books").content

    def test_answers_are_compact_utf_8(self, client: Client) -> None:
        response = client.post("/books", json=CLEAN_CODE | {"title": "Größe 漢字 🙂"})

        assert "Größe 漢字 🙂".encode() in response.content
        assert b": " not in response.content


@pytest.mark.hosts("asgi")
def test_an_unpaginated_list_answers_every_row_and_warns_above_a_thousand(
    api: Api, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    client = api({"/books": Book})
    client.get("/books")
    table = client.app.metadata.tables["books"]
    rows = [CLEAN_CODE | {"language": "en", "version": 1} for _ in range(1001)]
    with database.admin_engine().begin() as connection:
        connection.execute(insert(table), rows)

    with caplog.at_level(logging.WARNING, logger="lightapi"):
        response = client.get("/books")

    assert len(json.loads(response.content)["results"]) == 1001
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
