"""``queryset_scope = "all"``: no shape of queryset, and no mistake in one, opens rows outside of it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import aliased
from starlette.requests import Request

from lightapi import RestEndpoint
from tests.support.hosts import Api, Client


class Note(RestEndpoint):
    """Scoped as the request asks."""

    text: str

    class Meta:
        queryset_scope = "all"

    def queryset(self, request: Request) -> Any:
        return SHAPES[request.headers.get("x-shape", "all")]()


def _mine() -> Any:
    note: Any = aliased(Note)
    return select(note).where(note.text == "mine")


def _texts(text: str) -> Any:
    table: Any = vars(Note)["__table__"]
    return select(table).where(table.c.text == text)


SHAPES: dict[str, Any] = {
    "all": lambda: select(Note),
    "aliased": _mine,
    "limited": lambda: select(Note).order_by(Note.text).limit(1),
    "union": lambda: _texts("mine").union(_texts("nobody's")),
    "forgotten": lambda: None,
    "write": lambda: update(Note).values(text="gone"),
}


@pytest.fixture
def client(api: Api) -> Client:
    client = api({"/notes": Note})
    for text in ("other", "mine"):
        client.post("/notes", json={"text": text})
    return client


@pytest.mark.hosts("asgi", "wsgi-direct")
@pytest.mark.parametrize("shape", ["aliased", "limited", "union"])
def test_single_rows_are_those_of_the_list(client: Client, shape: str) -> None:
    headers = {"x-shape": shape}

    assert [row["id"] for row in client.get("/notes", headers=headers).json()["results"]] == [2]
    assert client.get("/notes/2", headers=headers).status_code == 200
    assert client.get("/notes/1", headers=headers).status_code == 404
    assert client.patch("/notes/1", json={"version": 1}, headers=headers).status_code == 404
    assert client.delete("/notes/1", headers=headers).status_code == 404


@pytest.mark.hosts("asgi", "wsgi-direct")
@pytest.mark.parametrize("shape", ["forgotten", "write"])
def test_a_queryset_that_is_no_select_opens_nothing(client: Client, shape: str) -> None:
    headers = {"x-shape": shape}

    assert client.get("/notes", headers=headers).status_code == 500
    assert client.get("/notes/1", headers=headers).status_code == 500
    assert client.delete("/notes/1", headers=headers).status_code == 500
    assert [row["text"] for row in client.get("/notes").json()["results"]] == ["other", "mine"]
