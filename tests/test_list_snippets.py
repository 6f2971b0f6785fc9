"""The documentation's code on serializers, filtering, pagination and reflection, run as it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lightapi import ConfigurationError, LightApi
from tests.support import foreign
from tests.support.hosts import Api, Database
from tests.support.snippets import Run, run

__all__ = ["run"]

ONE_HOST = pytest.mark.hosts("asgi")

SERIALIZERS = """\
from lightapi import RestEndpoint, Serializer, Field

# Form 1 — all verbs, all fields (default)
class Ep1(RestEndpoint):
    name: str = Field(min_length=1)

# Form 2 — restrict to a subset for all verbs
class Ep2(RestEndpoint):
    name: str = Field(min_length=1)
    internal_code: str = Field(min_length=1)

    class Meta:
        serializer = Serializer(fields=["id", "name"])

# Form 3 — different fields for reads vs writes
class Ep3(RestEndpoint):
    name: str = Field(min_length=1)

    class Meta:
        serializer = Serializer(
            read=["id", "name", "created_at", "version"],
            write=["id", "name"],
        )

# Form 4 — reusable subclass, shared across endpoints
class PublicSerializer(Serializer):
    read = ["id", "name", "created_at"]
    write = ["id", "name"]

class Ep4(RestEndpoint):
    name: str = Field(min_length=1)

    class Meta:
        serializer = PublicSerializer

class Ep5(RestEndpoint):
    name: str = Field(min_length=1)

    class Meta:
        serializer = PublicSerializer   # reused
"""

WHOLE = {"id", "name", "version", "created_at", "updated_at"}


@pytest.mark.parametrize(
    ("name", "read", "written"),
    [
        ("Ep1", WHOLE, WHOLE),
        ("Ep2", {"id", "name"}, {"id", "name"}),
        ("Ep3", {"id", "name", "created_at", "version"}, {"id", "name"}),
        ("Ep4", {"id", "name", "created_at"}, {"id", "name"}),
        ("Ep5", {"id", "name", "created_at"}, {"id", "name"}),
    ],
)
@ONE_HOST
def test_serializer_forms(run: Run, api: Api, name: str, read: set[str], written: set[str]) -> None:
    client = api({"/rows": getattr(run(SERIALIZERS), name)})

    made = client.post("/rows", json={"name": "a", "internal_code": "x"})
    changed = client.put("/rows/1", json={"name": "b", "internal_code": "y", "version": 1})
    patched = client.patch("/rows/1", json={"name": "c", "version": 2})

    assert set(made.json()) == set(changed.json()) == set(patched.json()) == written
    assert set(client.get("/rows/1").json()) == set(client.get("/rows").json()["results"][0]) == read


FILTERING = """\
from lightapi import RestEndpoint, Filtering, Field
from lightapi.filters import FieldFilter, SearchFilter, OrderingFilter

class ArticleEndpoint(RestEndpoint):
    title: str = Field(min_length=1)
    category: str = Field(min_length=1)
    author: str = Field(min_length=1)

    class Meta:
        filtering = Filtering(
            backends=[FieldFilter, SearchFilter, OrderingFilter],
            fields=["category"],            # ?category=news  (exact match)
            search=["title", "author"],     # ?search=python  (case-insensitive LIKE)
            ordering=["title", "author"],   # ?ordering=title or ?ordering=-title
        )
"""


def test_filtering_and_its_query_parameters(run: Run, api: Api) -> None:
    client = api({"/articles": run(FILTERING).ArticleEndpoint})
    for title, category, author in (
        ("Python 4", "news", "ann"),
        ("Snakes", "news", "PYTHON lover"),
        ("Cats", "news", "bob"),
        ("Python 3", "old", "cid"),
    ):
        client.post("/articles", json={"title": title, "category": category, "author": author})

    def titles(query: str) -> list[str]:
        return [row["title"] for row in client.get(f"/articles?{query}").json()["results"]]

    assert titles("category=news") == ["Python 4", "Snakes", "Cats"]
    assert titles("search=python") == ["Python 4", "Snakes", "Python 3"]
    assert titles("ordering=-title") == ["Snakes", "Python 4", "Python 3", "Cats"]
    assert titles("category=news&search=python&ordering=-title") == ["Snakes", "Python 4"]
    assert titles("author=bob") == titles("")


PAGINATION = """\
from lightapi import RestEndpoint, Pagination, Field

class PostEndpoint(RestEndpoint):
    title: str = Field(min_length=1)
    body: str = Field(min_length=1)

    class Meta:
        pagination = Pagination(style="page_number", page_size=20)
"""


@ONE_HOST
def test_pages_as_the_documentation_counts_them(run: Run, api: Api, database: Database) -> None:
    client = api({"/posts": run(PAGINATION).PostEndpoint})
    client.post("/posts", json={"title": "t", "body": "b"})
    values = ", ".join(["('t', 'b')"] * 149)
    foreign.execute(database.admin_engine(), f"INSERT INTO postendpoints (title, body) VALUES {values}")

    page = client.get("/posts?page=2").json()

    assert list(page) == ["count", "pages", "next", "previous", "results"]
    assert (page["count"], page["pages"], len(page["results"])) == (150, 8, 20)
    assert (page["next"], page["previous"]) == ("/posts?page=3", "/posts?page=1")
    assert page["results"][0]["id"] == 21


@ONE_HOST
def test_cursors_as_the_documentation_shows_them(run: Run, api: Api) -> None:
    source = PAGINATION.replace('"page_number", page_size=20', '"cursor", page_size=2')
    client = api({"/posts": run(source).PostEndpoint})
    for number in range(5):
        client.post("/posts", json={"title": str(number), "body": "b"})

    first = client.get("/posts").json()
    second = client.get(f"/posts?cursor={first['next']}").json()

    assert list(first) == ["next", "previous", "results"] == list(second)
    assert (first["previous"], second["previous"]) == (None, None)
    assert [row["title"] for row in (*first["results"], *second["results"])] == ["0", "1", "2", "3"]
    assert client.get(f"/posts?cursor={second['next']}").json()["next"] is None


REFLECTION = """\
from lightapi import RestEndpoint, Field

class LegacyUserEndpoint(RestEndpoint):
    class Meta:
        reflect = True
        table = "legacy_users"   # existing table name in the database

class ExtendedEndpoint(RestEndpoint):
    new_field: str = Field(min_length=1)

    class Meta:
        reflect = "partial"
        table = "existing_table"  # reflect + add new_field column
"""


def test_reflection(run: Run, api: Api, database: Database) -> None:
    serial = "serial" if database.kind.startswith("postgres") else "integer"
    for name in ("legacy_users", "existing_table"):
        foreign.execute(database.admin_engine(), f"CREATE TABLE {name} (id {serial} PRIMARY KEY, name text NOT NULL)")
    snippet = run(REFLECTION)

    client = api({"/users": snippet.LegacyUserEndpoint, "/extended": snippet.ExtendedEndpoint})

    assert client.post("/users", json={"name": "ann"}).json() == {"id": 1, "name": "ann"}
    row = {"name": "bob", "new_field": "x"}
    assert client.post("/extended", json=row).json() == {"id": 1, **row}


@ONE_HOST
def test_reflection_of_a_missing_table(run: Run, make_engine: Callable[..., Any]) -> None:
    app = LightApi(engine=make_engine())

    with pytest.raises(ConfigurationError, match="table 'legacy_users' does not exist"):
        app.register({"/users": run(REFLECTION).LegacyUserEndpoint})
