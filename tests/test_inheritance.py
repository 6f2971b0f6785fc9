"""Bases, mixins and endpoints of endpoints: what is inherited, and what never is."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

import pytest
from sqlalchemy import select
from starlette.requests import Request

from lightapi import Field, HttpMethod, RestEndpoint
from tests.support.declared_elsewhere import Moody
from tests.support.hosts import Api

pytestmark = [
    pytest.mark.hosts("asgi"),
    pytest.mark.engines("sqlite-sync", "postgres-async"),
]


class Named:
    """A plain mixin with a field."""

    name: str = Field(min_length=2)


class Base(RestEndpoint):
    """Registered by some tests, and a base in all of them."""

    title: str = Field(min_length=1)
    kind: str = "base"

    class Meta:
        extra = "forbid"
        table = "base_rows"


class Child(Base):
    """One more field; everything else is its base's."""

    pages: int = 1


class Grandchild(Child, HttpMethod.GET, HttpMethod.POST):
    """Changes a field and the verbs."""

    title: str = Field(min_length=3)

    class Meta(Base.Meta):
        extra = "ignore"


class WithMixin(Named, RestEndpoint):
    """The mixin first."""

    size: int = 0


class MixinLast(RestEndpoint, Named):
    """The mixin last."""

    size: int = 0


class Abstract(RestEndpoint):
    """Never registered: fields and a hook for others."""

    owner: str = "nobody"

    def list(self, request: Request) -> Any:
        return {"listed by": type(self).__name__}


class Concrete(Abstract):
    """Registered."""

    title: str


class Elsewhere(Moody):
    """Its base's annotations belong to another module."""

    since: datetime | None = None


class Scoped(RestEndpoint):
    """A queryset for its subclasses."""

    title: str = Field(min_length=1)
    shown: bool = True

    def queryset(self, request: Request) -> Any:
        model = type(self)._model_class
        return select(model).where(model.shown.is_(True))


class ScopedChild(Scoped):
    """Scoped by its base's queryset over its own table."""

    more: str = ""


AUTOMATIC = ["version", "created_at", "updated_at"]


@pytest.mark.parametrize("both", [True, False], ids=["base registered", "base not registered"])
def test_an_endpoint_of_an_endpoint_has_its_fields_and_a_table_of_its_own(api: Api, both: bool) -> None:
    client = api({"/bases": Base, "/children": Child} if both else {"/children": Child})

    made = client.post("/children", json={"title": "t"})

    assert made.status_code == 201
    assert list(made.json()) == ["id", "title", "kind", "pages", *AUTOMATIC]
    assert "childs" in client.app.metadata.tables
    if both:
        assert client.get("/bases").json() == {"results": []}


def test_meta_is_inherited_option_by_option_except_the_table(api: Api) -> None:
    client = api({"/bases": Base, "/children": Child, "/grandchildren": Grandchild})

    body = {"title": "ttt", "unknown": 1}
    statuses = [client.post(f"/{path}", json=body).status_code for path in ("bases", "children", "grandchildren")]

    assert statuses == [422, 422, 201]
    assert set(client.app.metadata.tables) == {"base_rows", "childs", "grandchilds"}


def test_a_field_declared_again_replaces_its_bases(api: Api) -> None:
    client = api({"/children": Child, "/grandchildren": Grandchild})

    assert client.post("/grandchildren", json={"title": "tt"}).status_code == 422
    assert client.post("/children", json={"title": "tt"}).status_code == 201


def test_verbs_of_a_subclass_are_its_own(api: Api) -> None:
    client = api({"/children": Child, "/grandchildren": Grandchild})

    assert client.delete("/grandchildren/1").status_code == 405
    assert client.delete("/children/1").status_code == 404


@pytest.mark.parametrize("endpoint", [WithMixin, MixinLast], ids=["first", "last"])
def test_a_plain_mixin_gives_its_fields(api: Api, endpoint: type[RestEndpoint]) -> None:
    client = api({"/items": endpoint})

    assert client.post("/items", json={"name": "n"}).status_code == 422
    assert client.post("/items", json={"name": "nn"}).json()["name"] == "nn"


def test_hooks_are_inherited(api: Api) -> None:
    client = api({"/concretes": Concrete})

    assert client.get("/concretes").json() == {"listed by": "Concrete"}
    assert client.post("/concretes", json={"title": "t"}).json()["owner"] == "nobody"


def test_an_inherited_queryset_scopes_the_subclasss_rows(api: Api) -> None:
    client = api({"/scoped": Scoped, "/children": ScopedChild})
    client.post("/scoped", json={"title": "base"})
    client.post("/children", json={"title": "hidden", "shown": False})
    client.post("/children", json={"title": "shown"})

    assert [row["title"] for row in client.get("/children").json()["results"]] == ["shown"]
    assert [row["title"] for row in client.get("/scoped").json()["results"]] == ["base"]


def test_annotations_resolve_in_the_module_that_wrote_them(api: Api) -> None:
    client = api({"/elsewhere": Elsewhere})

    made = client.post("/elsewhere", json={"mood": "bad", "since": "2024-01-01T00:00:00Z"})

    assert (made.status_code, made.json()["mood"]) == (201, "bad")
    assert client.post("/elsewhere", json={"mood": "so-so"}).status_code == 422


def test_annotations_resolve_inside_a_function(api: Api) -> None:
    class Size(Enum):
        SMALL = "s"

    class Local(RestEndpoint):
        size: Size = Size.SMALL
        sizes: list[Size] | None = None

    client = api({"/locals": Local})

    assert client.post("/locals", json={"sizes": ["s"]}).json()["sizes"] == ["s"]


def test_two_sub_endpoints_do_not_share_rows(api: Api) -> None:
    class Left(Base):
        pass

    class Right(Base):
        pass

    client = api({"/lefts": Left, "/rights": Right})
    client.post("/lefts", json={"title": "l"})

    assert client.get("/rights").json() == {"results": []}
