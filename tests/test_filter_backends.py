"""Filter backends: those given act, users write their own, and all act on the rows of a queryset."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Select, select
from sqlalchemy.orm import aliased
from starlette.requests import Request

from lightapi import (
    BaseFilter,
    FieldFilter,
    OrderingFilter,
    SearchFilter,
    col,
)
from lightapi.exceptions import InvalidInput
from tests.support.hosts import Api
from tests.support.things import ids, locs, serving


class Cheap(BaseFilter):
    """Things below a limit, by a parameter of its own."""

    parameters = ("cheaper_than",)

    def __init__(self, limit: int = 10) -> None:
        self.limit = limit

    def filter_queryset(self, request: Request, queryset: Select[Any], view: Any) -> Any:
        limit = int(request.query_params.get("cheaper_than", self.limit))
        return queryset.where(col(type(view).price) < limit)


class Waiting(Cheap):
    """The same, from async code."""

    async def filter_queryset(self, request: Request, queryset: Select[Any], view: Any) -> Any:
        return super().filter_queryset(request, queryset, view)


BACKENDS = ["class", "instance", "async class", "async instance", "duck"]


class DuckTyped:
    """A subclass of nothing."""

    def filter_queryset(self, request: Request, queryset: Select[Any], view: Any) -> Any:
        return queryset.where(col(view._model_class.price) < 10)


@pytest.mark.engines("sqlite-sync", "postgres-async")
@pytest.mark.parametrize("backend", [Cheap, Cheap(10), Waiting, Waiting(10), DuckTyped], ids=BACKENDS)
def test_a_backend_of_ones_own_narrows_the_list(api: Api, backend: Any) -> None:
    client = serving(api, backends=[FieldFilter, backend, OrderingFilter], fields=["stock"], ordering=["stock"])

    assert ids(client, "") == [1]
    assert ids(client, "stock=7&ordering=stock") == []
    assert client.get("/things/2").status_code == 200


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-async", "postgres-sync")
def test_strict_lets_the_parameters_of_a_backend_pass(api: Api) -> None:
    client = serving(api, backends=[Cheap], strict=True)

    assert ids(client, "cheaper_than=20") == [1, 2]
    assert client.get("/things?cheaper=20").json()["detail"][0]["msg"].endswith("allowed: cheaper_than")


class LooseFields(FieldFilter):
    """Hides things without stock, whatever is asked."""

    def filter_queryset(self, request: Request, queryset: Select[Any], view: Any) -> Any:
        return super().filter_queryset(request, queryset, view).where(col(type(view).stock).is_not(None))


class LongSearch(SearchFilter):
    """Refuses to look for one letter."""

    def filter_queryset(self, request: Request, queryset: Select[Any], view: Any) -> Any:
        if len(request.query_params.get("search", "")) == 1:
            raise InvalidInput([{"type": "too_short", "loc": ["query", "search"], "msg": "Search for more"}])
        return super().filter_queryset(request, queryset, view)


class LatestFirst(OrderingFilter):
    """Has an order of its own when none is asked for."""

    async def filter_queryset(self, request: Request, queryset: Select[Any], view: Any) -> Any:
        return super().filter_queryset(request, queryset.order_by(col(type(view).id).desc()), view)


SUBCLASSED: dict[str, Any] = {
    "backends": [LooseFields, LongSearch, LatestFirst],
    "fields": {"stock": ["exact", "in"], "made": ["gte"], "note": ["isnull"]},
    "search": ["name", "note"],
    "ordering": ["stock"],
}


@pytest.mark.hosts("asgi", "wsgi-direct")
def test_a_subclass_of_a_filter_may_call_its_base(api: Api) -> None:
    client = serving(api, **SUBCLASSED, strict=True)

    assert ids(client, "") == [2, 1]
    assert ids(client, "ordering=stock") == [1, 2]
    assert ids(client, "stock__in=5,6") == [1]
    assert ids(client, "made__gte=2024-06-01T02:00:00+02:00") == [2]
    assert ids(client, "note__isnull=true") == []
    assert ids(client, "search=CLAIR&stock=5") == [1]
    assert [locs(client, query) for query in ("search=x", "stock=x", "ordering=name", "price=1")] == [
        ["search"],
        ["stock"],
        ["ordering"],
        ["price"],
    ]


@pytest.mark.hosts("asgi")
def test_a_filter_and_its_subclass_may_act_together(api: Api) -> None:
    client = serving(api, **{**SUBCLASSED, "backends": [LooseFields, FieldFilter, LongSearch, SearchFilter]})

    assert ids(client, "stock__in=5,6&made__gte=2024-01-01&search=clair") == [1]
    assert ids(client, "stock__in=5,6&made__gte=2024-06-01") == []


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync", "postgres-sync")
@pytest.mark.parametrize(
    ("backends", "found"),
    [
        ([FieldFilter], [1]),
        ([SearchFilter], [2]),
        ([OrderingFilter], [3, 2, 1]),
        ([FieldFilter(), SearchFilter()], []),
        ([], [1, 2, 3]),
        (None, []),
    ],
    ids=["fields", "search", "ordering", "instances", "none", "omitted"],
)
def test_only_the_backends_given_act(api: Api, backends: Any, found: list[int]) -> None:
    client = serving(api, backends=backends, fields=["stock"], search=["name"], ordering=["id"])

    assert ids(client, "stock=5&search=under&ordering=-id") == found


class SameFields(FieldFilter):
    """Changes nothing."""


class SameOrdering(OrderingFilter):
    """Changes nothing."""


SHAPES: dict[str, Any] = {
    "scoped": lambda model: select(model).where(model.stock > 0).order_by(model.id.desc()),
    "alias": lambda model: select(aliased(model)).order_by("id"),
    "table": lambda model: select(model.__table__),
    "limited": lambda model: select(model).order_by(model.id).limit(2),
}
LISTED = {"scoped": [[2, 1], [2], [1, 2]], "limited": [[1, 2], [2], [2, 1]]}


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync", "postgres-async")
@pytest.mark.parametrize("backends", [[FieldFilter, OrderingFilter], [SameFields, SameOrdering]], ids=["ours", "sub"])
@pytest.mark.parametrize("shape", SHAPES)
def test_filters_act_on_the_rows_of_the_queryset(api: Api, shape: str, backends: Any) -> None:
    client = serving(api, SHAPES[shape], backends=backends, fields={"stock": ["gt"]}, ordering=["id", "stock"])

    queries = ("", "stock__gt=5", "ordering=stock" if shape == "scoped" else "ordering=-id")

    assert [ids(client, query) for query in queries] == LISTED.get(shape, [[1, 2, 3], [2], [3, 2, 1]])


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync", "postgres-sync")
@pytest.mark.parametrize("backends", [[FieldFilter], [SameFields]], ids=["ours", "sub"])
def test_filters_act_after_the_limit_of_the_queryset(api: Api, backends: Any) -> None:
    client = serving(api, lambda model: select(model).order_by(model.id).limit(1), backends=backends, fields=["stock"])

    assert [ids(client, query) for query in ("stock=5", "stock=7")] == [[1], []]


@pytest.mark.hosts("asgi")
@pytest.mark.parametrize("query", ["stock=5", "ordering=stock", "search=x"])
def test_what_a_queryset_does_not_select_is_not_filtered_by(api: Api, query: str) -> None:
    client = serving(
        api,
        lambda model: select(model.id, model.price),
        fields=["stock", "price"],
        search=["note"],
        ordering=["stock", "price"],
    )

    assert client.get(f"/things?{query}").status_code == 422
    assert [row["id"] for row in client.get("/things?price=10&ordering=price").json()["results"]] == [2]
