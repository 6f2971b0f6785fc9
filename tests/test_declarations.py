"""Wrong declarations fail before a request is served, and say what, where and what instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Optional, Union

import pytest

from lightapi import ConfigurationError, Field, RestEndpoint
from tests.support.hosts import Api

pytestmark = [pytest.mark.hosts("asgi"), pytest.mark.engines("sqlite-sync")]


class Thing:
    """No type a database can store."""


def _refused(api: Api, declare: Callable[[], type[Any]]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        api({"/wrong": declare()})
    return str(caught.value)


def _with_field(annotation: Any, name: str = "field", **namespace: Any) -> Callable[[], type[Any]]:
    def declare() -> type[Any]:
        body = {"__annotations__": {name: annotation}, "__module__": __name__} | namespace
        return type("Wrong", (RestEndpoint,), body)

    return declare


@pytest.mark.parametrize(
    "annotation",
    [set[int], tuple[int, str], Union[int, str], Optional[Union[int, str]], Thing, object, complex],
    ids=str,
)
def test_a_type_that_cannot_be_stored_is_named_with_class_and_field(api: Api, annotation: Any) -> None:
    message = _refused(api, _with_field(annotation))

    assert "Wrong.field" in message


def test_what_can_be_stored_is_said(api: Api) -> None:
    message = _refused(api, _with_field(Thing))

    assert "sa_type" in message
    assert "str" in message


def test_an_annotation_that_does_not_resolve_is_named(api: Api) -> None:
    message = _refused(api, _with_field("Missing[int]"))

    assert "Wrong.field" in message
    assert "Missing" in message


@pytest.mark.parametrize("name", ["id", "created_at", "updated_at", "version"])
def test_an_automatic_column_is_never_declared(api: Api, name: str) -> None:
    assert f"Wrong.{name}" in _refused(api, _with_field(int, name))


@pytest.mark.parametrize(
    "name",
    [
        *("list", "retrieve", "create", "update", "destroy", "queryset", "background"),
        *("get", "post", "put", "patch", "delete"),
    ],
)
def test_a_field_never_hides_an_attribute_of_the_base(api: Api, name: str) -> None:
    assert f"Wrong.{name}" in _refused(api, _with_field(str, name))


def test_a_misspelt_field_option_names_the_nearest(api: Api) -> None:
    wrong: Any = {"min_lenght": 1}

    message = _refused(api, _with_field(str, field=Field(**wrong)))

    assert "Wrong.field" in message
    assert re.search("min_lenght.*min_length", message)


def test_a_misspelt_meta_option_names_the_nearest(api: Api) -> None:
    meta = type("Meta", (), {"queryset_scop": "all"})

    message = _refused(api, _with_field(str, Meta=meta))

    assert "Wrong.Meta" in message
    assert re.search("queryset_scop'.*did you mean 'queryset_scope'", message)


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [("queryset_scope", "al", "all"), ("extra", "forbidden", "forbid"), ("table", 5, "table")],
)
def test_a_wrong_meta_value_names_what_is_allowed(api: Api, option: str, value: Any, allowed: str) -> None:
    message = _refused(api, _with_field(str, Meta=type("Meta", (), {option: value})))

    assert f"Wrong.Meta.{option}" in message
    assert repr(value) in message
    assert allowed in message


def test_a_foreign_key_to_no_table_names_the_nearest(api: Api) -> None:
    class Author(RestEndpoint):
        name: str

    class Essay(RestEndpoint):
        author_id: int = Field(foreign_key="author.id")

    with pytest.raises(ConfigurationError) as caught:
        api({"/authors": Author, "/essays": Essay}).get("/essays")

    assert "Essay.author_id" in str(caught.value)
    assert "authors" in str(caught.value)


@pytest.mark.parametrize("target", ["authors", ""])
def test_a_foreign_key_is_a_table_and_a_column(api: Api, target: str) -> None:
    namespace = {"field": Field(foreign_key=target)}

    assert "Wrong.field" in _refused(api, _with_field(int, **namespace))
