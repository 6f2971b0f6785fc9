"""What is looked at in the database before the first request: orderings without an index, missing schemas."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from lightapi import ConfigurationError, Field, Filtering, LightApi, Pagination, RestEndpoint
from tests.support import foreign
from tests.support.hosts import Api, Database

Engines = Callable[..., Engine | AsyncEngine]


class Song(RestEndpoint):
    """Ordered by what has an index and by what has none."""

    title: str = Field(index=True)
    code: str = Field(unique=True)
    plays: int = 0

    class Meta:
        filtering = Filtering(ordering=["id", "title", "code", "plays"])
        pagination = Pagination(style="cursor")


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was warned about indexes."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.hosts("asgi", "wsgi-direct")
def test_an_ordering_without_an_index_is_pointed_out_at_start(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    api({"/songs": Song}).get("/songs")

    (warning,) = warnings_of(caplog)
    assert "Song: no index of table 'songs' begins with 'plays'" in warning
    assert "(plays, id)" in warning


@pytest.mark.hosts("asgi")
def test_a_column_that_the_table_lacks_is_pointed_out_at_start(
    api: Api, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    foreign.execute(database.admin_engine(), "CREATE TABLE songs (id integer PRIMARY KEY, title varchar(50))")

    api({"/songs": type("Song", (RestEndpoint,), {"__annotations__": {"title": str, "plays": int}})}).get("/readyz")

    (warning,) = warnings_of(caplog)
    assert "Song: table 'songs' has no column 'plays', 'version', 'created_at', 'updated_at'" in warning


@pytest.mark.hosts("asgi")
def test_a_table_that_nobody_makes_is_pointed_out_at_start(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    api({"/songs": Song}, create_tables=False).get("/readyz")

    assert warnings_of(caplog) == ["Song: there is no table 'songs', and create_tables is False"]


@pytest.mark.hosts("asgi")
def test_an_index_that_somebody_else_made_is_seen(
    api: Api, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    foreign.create(database.admin_engine(), foreign.RAILS)
    foreign.execute(database.admin_engine(), "CREATE INDEX by_title ON line_items (title, id)")
    meta: dict[str, Any] = {"filtering": Filtering(ordering=["title"]), "pagination": Pagination()}
    body = {"Meta": type("Meta", (), {"reflect": True, "table": "line_items", **meta})}

    api({"/items": type("Item", (RestEndpoint,), body)}).get("/items")

    assert warnings_of(caplog) == []


@pytest.mark.hosts("asgi")
def test_a_list_without_pages_needs_no_index(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    class Whole(RestEndpoint):
        plays: int

        class Meta:
            filtering = Filtering(ordering=["plays"])

    api({"/whole": Whole}).get("/whole")

    assert warnings_of(caplog) == []


@pytest.mark.engines("postgres-sync")
def test_a_schema_that_is_not_there_is_a_configuration_error(make_engine: Engines) -> None:
    class Placed(RestEndpoint):
        name: str

        class Meta:
            schema = "publik"

    app = LightApi(engine=make_engine())
    app.register({"/placed": Placed})

    with pytest.raises(
        ConfigurationError, match=r"Placed\.Meta\.schema: .* no schema 'publik'; did you mean 'public'\?"
    ):
        app.build_app()
