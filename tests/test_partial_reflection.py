"""``reflect = "partial"``: the columns of a table, and those that the class adds to it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal, Optional

import pytest
from sqlalchemy import Engine, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from lightapi import ConfigurationError, Field, Filtering, LightApi, RestEndpoint
from tests.support import foreign
from tests.support.hosts import Api, Database

ONE_HOST = pytest.mark.hosts("asgi")
Engines = Callable[..., Engine | AsyncEngine]


def extended(**fields: Any) -> type[RestEndpoint]:
    """Return a partially reflecting class with fields, each an annotation or an annotation and a default."""
    body: dict[str, Any] = {
        "__annotations__": {},
        "Meta": type("Meta", (), {"reflect": "partial", "table": "line_items"}),
    }
    for name, given in fields.items():
        annotation, default = given if isinstance(given, tuple) else (given, ...)
        body["__annotations__"][name] = annotation
        if default is not ...:
            body[name] = default
    return type("Extended", (RestEndpoint,), body)


@pytest.fixture
def items(database: Database) -> Engine:
    """Give the database with Rails's table and one row in it."""
    admin = database.admin_engine()
    foreign.create(admin, foreign.RAILS)
    foreign.execute(
        admin, "INSERT INTO line_items (title, created_at, updated_at) VALUES ('old', '2024-01-01', '2024-01-01')"
    )
    return admin


def test_a_declared_column_is_added_and_required_of_new_rows(api: Api, items: Engine) -> None:
    client = api({"/items": extended(new_field=(str, Field(min_length=1)))})

    assert client.get("/items/1").json()["new_field"] is None
    assert client.post("/items", json={"title": "a"}).json()["detail"][0]["loc"] == ["new_field"]
    made = client.post("/items", json={"title": "a", "new_field": "n"})
    assert (made.status_code, made.json()["new_field"]) == (201, "n")
    names = list(made.json())
    assert names[:4] == ["id", "title", "quantity", "lock_version"]
    assert names[-3:] == ["new_field", "created_at", "updated_at"]
    columns = {column["name"]: column for column in inspect(items).get_columns("line_items")}
    assert columns["new_field"]["nullable"] is True


@ONE_HOST
@pytest.mark.parametrize(
    ("annotation", "default", "answered"),
    [
        (int, 5, 5),
        (str, "it's 5%", "it's 5%"),
        (bool, True, True),
        (Decimal, Field(default=Decimal("1.50"), decimal_places=2), "1.50"),
        (Literal["a", "b"], "b", "b"),
        (Optional[int], None, None),
        (int, Field(server_default="7"), 7),
        (list[int], Field(default_factory=list), None),
        (str, Field(default_factory=lambda: "made"), None),
    ],
    ids=["int", "text", "bool", "decimal", "literal", "optional", "server", "list", "factory"],
)
def test_old_rows_get_the_default_that_the_database_can_know(
    api: Api, items: Engine, annotation: Any, default: Any, answered: Any
) -> None:
    client = api({"/items": extended(extra=(annotation, default))})

    assert client.get("/items/1").json()["extra"] == answered
    assert client.post("/items", json={"title": "new"}).status_code == 201


@ONE_HOST
def test_indexes_and_unique_columns_are_made(api: Api, items: Engine) -> None:
    client = api(
        {
            "/items": extended(
                code=(Optional[str], Field(default=None, unique=True)), place=(int, Field(default=1, index=True))
            )
        }
    )

    assert client.post("/items", json={"title": "a", "code": "x"}).status_code == 201
    assert client.post("/items", json={"title": "b", "code": "x"}).json() == {"detail": "conflict: code already exists"}
    indexed = {tuple(index["column_names"]) for index in inspect(items).get_indexes("line_items")}
    assert {("code",), ("place",)} <= indexed


@ONE_HOST
def test_foreign_keys_of_added_columns_hold(api: Api, items: Engine) -> None:
    client = api({"/items": extended(parent_id=(Optional[int], Field(default=None, foreign_key="line_items.id")))})

    assert client.post("/items", json={"title": "a", "parent_id": 99}).status_code == 409
    assert client.post("/items", json={"title": "a", "parent_id": 1}).status_code == 201


@ONE_HOST
def test_a_second_start_finds_the_column(api: Api, items: Engine) -> None:
    api({"/items": extended(new_field=str)}).post("/items", json={"title": "a", "new_field": "n"})

    again = api({"/items": extended(new_field=str)})

    assert again.get("/items/2").json()["new_field"] == "n"


@ONE_HOST
def test_a_declared_column_that_is_there_is_kept(api: Api, items: Engine) -> None:
    client = api({"/items": extended(title=(str, Field(min_length=3)), quantity=(int, Field(le=9)))})

    assert client.get("/items/1").json()["title"] == "old"
    refused = client.post("/items", json={"title": "ab", "quantity": 10}).json()["detail"]
    assert [problem["loc"] for problem in refused] == [["title"], ["quantity"]]


@pytest.mark.parametrize(
    ("name", "annotation"), [("title", int), ("quantity", str), ("quantity", list[str]), ("title", float)], ids=str
)
@ONE_HOST
def test_a_contradicting_type_is_found_at_register(
    make_engine: Engines, items: Engine, name: str, annotation: Any
) -> None:
    app = LightApi(engine=make_engine())
    endpoint = extended(**{name: annotation})

    with pytest.raises(ConfigurationError, match=rf"Extended\.{name}: declared as .* table 'line_items' is"):
        app.register({"/items": endpoint})


@ONE_HOST
@pytest.mark.engines("sqlite-sync", "postgres-sync")
def test_nothing_is_added_where_tables_are_not_created(make_engine: Engines, items: Engine) -> None:
    app = LightApi(engine=make_engine(), create_tables=False)
    app.register({"/items": extended(new_field=str)})

    with pytest.raises(ConfigurationError, match=r"Extended\.new_field: table 'line_items' has no column"):
        app.build_app()
    assert "new_field" not in {column["name"] for column in inspect(items).get_columns("line_items")}


@ONE_HOST
def test_a_missing_table_is_said_by_partial_too(make_engine: Engines) -> None:
    app = LightApi(engine=make_engine())

    with pytest.raises(ConfigurationError, match="table 'line_items' does not exist"):
        app.register({"/items": extended(new_field=str)})


@ONE_HOST
def test_added_columns_are_filtered(api: Api, items: Engine) -> None:
    class Extended(RestEndpoint):
        """Filters by a column of its own and by one that was there."""

        colour: str

        class Meta:
            reflect = "partial"
            table = "line_items"
            filtering = Filtering(fields=["colour", "quantity__gte"], ordering=["colour"])

    client = api({"/items": Extended})
    for colour in ("red", "blue"):
        client.post("/items", json={"colour": colour, "quantity": 4})

    assert [row["id"] for row in client.get("/items?colour=blue&quantity__gte=2").json()["results"]] == [3]
