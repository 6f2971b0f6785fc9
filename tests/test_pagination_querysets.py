"""Pages of querysets: their rows, their order and their count, whatever they select and whoever listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Optional

import pytest
from sqlalchemy import desc, event, func, insert, select, text, true
from sqlalchemy.orm import aliased
from starlette.requests import Request

from lightapi import Field, Filtering, LightApi, Pagination, RestEndpoint
from tests.support.hosts import Api, Client, Database

pytestmark = pytest.mark.slow  # every shape of queryset in every style

STYLES: dict[str, Pagination] = {
    "page_number": Pagination(page_size=2),
    "limit_offset": Pagination(style="limit_offset", page_size=2),
    "cursor": Pagination(style="cursor", page_size=2, backwards=True),
}


class Author(RestEndpoint):
    """What a text may belong to."""

    name: str

    class Meta:
        table = "authors"


class Columns(RestEndpoint):
    """A text, listed in the shape that is asked for."""

    title: str
    rank: Optional[int] = None
    author_id: Optional[int] = Field(default=None, foreign_key="authors.id")

    def queryset(self, request: Request) -> Any:
        return SHAPES[request.query_params["shape"]](type(self)._model_class)


FILTERING = Filtering(fields=["title__in", "rank"], search=["title"], ordering=["title"])


class Plain(Columns):
    """Read as columns."""

    class Meta:
        table = "plain"
        filtering = FILTERING


class Heard(Columns):
    """Read as entities, for somebody listens to the mapper."""

    class Meta:
        table = "heard"
        filtering = FILTERING


class Waiting(Columns):
    """Its queryset is a coroutine."""

    async def queryset(self, request: Request) -> Any:
        return super().queryset(request)

    class Meta:
        table = "waiting"
        filtering = FILTERING


loaded: list[str] = []
MAPPING = {"/authors": Author, "/plain": Plain, "/heard": Heard, "/waiting": Waiting}
ROWS = [("a", 2, 1), ("b", None, 1), ("c", 1, 2), ("d", None, None), ("e", 2, 2)]
author: Any = Author


def _note(target: Heard, _context: object) -> None:
    loaded.append(target.title)


def _grouped(model: Any) -> Any:
    size = func.count(author.id).label("size")
    return select(model, size).outerjoin(author, author.id >= model.author_id).group_by(model.id).order_by(desc("size"))


def _weighed(model: Any) -> Any:
    weight = func.coalesce(model.rank, 0).label("weight")
    return select(model, weight).order_by(weight.desc())


def _aliased(model: Any) -> Any:
    other = aliased(model)
    return select(other).order_by(other.title.desc())


def _placed(model: Any) -> Any:
    return select(model, func.row_number().over(order_by=model.title.desc()).label("place")).order_by("place")


def _united(model: Any) -> Any:
    return select(model).where(model.rank == 2).union(select(model).where(model.title == "b")).order_by(desc("title"))


def _from_text(model: Any) -> Any:
    return select(model).from_statement(text(f"SELECT * FROM {model.__table__.name} WHERE title <> 'c'"))


SHAPES: dict[str, Callable[[Any], Any]] = {
    "everything": select,
    "where": lambda model: select(model).where(model.rank.is_not(None)),
    "join": lambda model: select(model).join(author, author.id == model.author_id).order_by(author.name.desc()),
    "outer join": lambda model: (
        select(model)
        .outerjoin(author, author.id == model.author_id)
        .order_by(author.name.desc().nulls_last(), model.title.desc())
    ),
    "distinct": lambda model: select(model).join(author, true()).distinct().order_by(model.title.desc()),
    "group": _grouped,
    "limit": lambda model: select(model).order_by(model.title.desc()).limit(3),
    "limit and offset": lambda model: select(model).order_by(model.title.desc()).limit(3).offset(1),
    "union": _united,
    "text": _from_text,
    "alias": _aliased,
    "order in text": lambda model: select(model).order_by(text("title DESC")),
    "order by expression": lambda model: select(model).order_by(func.lower(model.title).desc()),
    "order by label": _weighed,
    "order by name of label": lambda model: _weighed(model).order_by(None).order_by("weight"),
    "order by place": _placed,
    "nulls last": lambda model: select(model).order_by(model.rank.desc().nulls_last(), model.title.desc()),
    "nulls first": lambda model: select(model).order_by(model.rank.asc().nulls_first()),
}
EXPECTED = {
    "everything": "abcde",
    "where": "ace",
    "join": "ceab",
    "outer join": "ecbad",
    "distinct": "edcba",
    "group": "abced",
    "limit": "edc",
    "limit and offset": "dcb",
    "union": "eba",
    "text": "abde",
    "alias": "edcba",
    "order in text": "edcba",
    "order by expression": "edcba",
    "order by label": "aecbd",
    "order by name of label": "bdcae",
    "order by place": "edcba",
    "nulls last": "eacdb",
    "nulls first": "bdcae",
}
LABELS = {"group": "size", "order by label": "weight", "order by place": "place"}


@pytest.fixture(params=STYLES)
def style(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def client(api: Api, database: Database, style: str) -> Client:
    def listen(_app: LightApi) -> None:
        if not event.contains(Heard, "load", _note):
            event.listen(Heard, "load", _note)

    client = api(MAPPING, listen, default_pagination=STYLES[style])
    client.get("/authors")
    tables = client.app.metadata.tables
    with database.admin_engine().begin() as connection:
        connection.execute(insert(tables["authors"]), [{"name": name, "version": 1} for name in ("ann", "bob")])
        for name in ("plain", "heard", "waiting"):
            rows = [{"title": title, "rank": rank, "author_id": by, "version": 1} for title, rank, by in ROWS]
            connection.execute(insert(tables[name]), rows)
    return client


def _walk(client: Client, style: str, path: str, **query: str) -> tuple[list[Any], list[Any]]:
    """Return the pages as the links of ``next`` give them, and those of ``previous`` from the last one back."""
    there = [_body(client, path, **query)]
    while there[-1]["next"]:
        there.append(_follow(client, style, path, there[-1]["next"], query))
    back = [there[-1]]
    while back[-1]["previous"]:
        back.append(_follow(client, style, path, back[-1]["previous"], query))
    return there, back[::-1]


def _follow(client: Client, style: str, path: str, target: str, query: dict[str, str]) -> Any:
    return _body(client, path, **query, cursor=target) if style == "cursor" else _body(client, target)


def _body(client: Client, path: str, **query: str) -> Any:
    response = client.get(path, params=query or None)
    assert response.status_code == 200, response.text
    return response.json()


def _titles(bodies: list[Any]) -> str:
    return "".join(row["title"] for body in bodies for row in body["results"])


@pytest.mark.hosts("asgi")
@pytest.mark.parametrize("shape", EXPECTED)
def test_pages_of_a_queryset_are_its_rows_in_its_order(client: Client, style: str, shape: str) -> None:
    label = LABELS.get(shape)

    for path in ("/plain", "/heard", *(["/waiting"] if style == "cursor" else [])):
        loaded.clear()
        there, back = _walk(client, style, path, shape=shape)

        assert _titles(there) == EXPECTED[shape], path
        assert [body["results"] for body in back] == [body["results"] for body in there]
        assert all(len(body["results"]) == 2 for body in there[:-1])
        assert {body.get("count", len(EXPECTED[shape])) for body in there} == {len(EXPECTED[shape])}
        assert all(label is None or label in row for body in there for row in body["results"])
        assert bool(loaded) is (path == "/heard")


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync", "postgres-sync")
@pytest.mark.parametrize("shape", EXPECTED)
def test_filters_and_order_apply_to_the_rows_of_a_queryset(client: Client, style: str, shape: str) -> None:
    query = {"shape": shape, "title__in": "a,b,d,e", "ordering": "-title"}
    wanted = "".join(sorted(set(EXPECTED[shape]) - {"c"}, reverse=True))

    for path in ("/plain", "/heard"):
        there, _ = _walk(client, style, path, **query)
        assert _titles(there) == wanted
        assert there[0].get("count", len(wanted)) == len(wanted)
        assert _titles([_body(client, path, shape=shape, search="E")]) == "e" * ("e" in wanted)


@pytest.mark.hosts("asgi")
@pytest.mark.parametrize("style", ["cursor"])
@pytest.mark.parametrize("other", ["order by label", "nulls last", "order by expression", "everything"])
def test_a_cursor_of_another_querysets_order_is_refused(client: Client, style: str, other: str) -> None:
    for path in ("/plain", "/heard"):
        cursor = _body(client, path, shape="join")["next"]

        response = client.get(path, params={"shape": other, "cursor": cursor})

        assert response.status_code == 422
        assert [error["loc"] for error in response.json()["detail"]] == [["query", "cursor"]]


@pytest.mark.hosts("asgi")
def test_a_page_past_the_end_still_counts(client: Client, style: str) -> None:
    if style != "cursor":
        for shape, titles in EXPECTED.items():
            body = _body(client, "/plain", shape=shape, page="9", offset="16")
            assert (body["count"], body["results"]) == (len(titles), [])
