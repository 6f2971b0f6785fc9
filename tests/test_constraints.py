"""A constraint either fits its type or is refused when the class is made: no value finds out later."""

from __future__ import annotations

import contextlib
import ipaddress
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Optional, TypedDict
from uuid import UUID

import pytest
from pydantic import AnyUrl, BaseModel, EmailStr, ValidationError

from lightapi import ConfigurationError, Field, RestEndpoint


class Colour(Enum):
    """Stored by its value."""

    RED = "red"


class Point(BaseModel):
    """Stored as JSON."""

    x: int


class Row(TypedDict):
    """Stored as JSON too."""

    x: int


SAMPLES: dict[str, tuple[Any, Any]] = {
    "str": (str, "abc"),
    "email": (EmailStr, "a@example.com"),
    "url": (AnyUrl, "http://example.com"),
    "address": (ipaddress.IPv4Address, "127.0.0.1"),
    "int": (int, 3),
    "float": (float, 3.5),
    "decimal": (Decimal, "3.5"),
    "bool": (bool, True),
    "date": (date, "2024-01-01"),
    "datetime": (datetime, "2024-01-01T00:00:00Z"),
    "time": (time, "12:00:00"),
    "timedelta": (timedelta, "PT1H"),
    "uuid": (UUID, "12345678-1234-5678-1234-567812345678"),
    "bytes": (bytes, "abc"),
    "list": (list, [1]),
    "list of int": (list[int], [1]),
    "dict": (dict[str, int], {"a": 1}),
    "optional": (Optional[list[int]], [1]),
    "enum": (Colour, "red"),
    "literal": (Literal["a", "b"], "a"),
    "numbers": (Literal[1, 2], 1),
    "model": (Point, {"x": 1}),
    "typed dict": (Row, {"x": 1}),
}
CONSTRAINTS = {
    "min_length": 1,
    "max_length": 1,
    "pattern": "^a",
    "multiple_of": 2,
    "max_digits": 2,
    "decimal_places": 1,
    "ge": 1,
    "gt": "a",
    "lt": date(2024, 1, 1),
    "le": datetime(2024, 1, 1, tzinfo=timezone.utc),
}


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("kind", SAMPLES)
def test_a_constraint_is_refused_or_decides_about_every_value(kind: str, constraint: str) -> None:
    annotation, sample = SAMPLES[kind]
    options: dict[str, Any] = {constraint: CONSTRAINTS[constraint]}
    namespace = {"__annotations__": {"it": annotation}, "it": Field(**options)}

    with contextlib.suppress(ConfigurationError, ValidationError):
        endpoint: Any = type("Thing", (RestEndpoint,), namespace)
        endpoint.__schema_create__.model_validate({"it": sample})


@pytest.mark.parametrize(
    ("annotation", "options"),
    [
        (list[int], {"min_length": 1}),
        (dict[str, int], {"max_length": 5}),
        (str, {"ge": "a"}),
        (date, {"gt": date(2020, 1, 1)}),
        (timedelta, {"lt": timedelta(days=1)}),
        (Decimal, {"max_digits": 5, "ge": 0}),
        (bytes, {"max_length": 9}),
        (Optional[int], {"multiple_of": 5}),
    ],
    ids=str,
)
def test_a_constraint_that_fits_is_taken(annotation: Any, options: dict[str, Any]) -> None:
    namespace = {"__annotations__": {"it": annotation}, "it": Field(**options)}

    endpoint: Any = type("Thing", (RestEndpoint,), namespace)

    assert [*endpoint._fields] == ["it"]
