"""The schemas of requests say what is accepted: what they let pass is accepted, what they refuse is refused."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Optional

import jsonschema_rs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, ValidationError

from lightapi import Field, LightApi, RestEndpoint
from lightapi.openapi.lax import whole_numbers

FIELDS: dict[str, tuple[Any, Any]] = {
    "int": (int, Field()),
    "int from 1": (int, Field(ge=1)),
    "int from 3 to 412": (int, Field(ge=3, lt=413)),
    "even int": (int, Field(multiple_of=2, ge=-8, le=100)),
    "float": (float, Field()),
    "positive float": (float, Field(gt=0)),
    "percentage": (float, Field(ge=-0.5, le=99.5)),
    "bool": (bool, Field()),
    "decimal": (Decimal, Field(decimal_places=2, max_digits=6)),
    "positive decimal": (Decimal, Field(decimal_places=2, gt=0, le=10)),
    "price": (Decimal, Field(decimal_places=2, ge=0)),
    "wide price": (Decimal, Field(decimal_places=2, max_digits=10, ge=0)),
    "discount": (Decimal, Field(decimal_places=3, ge=-5, le=1)),
    "tenths": (Decimal, Field(decimal_places=1, ge=0, le=10)),
    "date": (date, Field()),
    "datetime": (datetime, Field()),
    "time": (time, Field()),
    "timedelta": (timedelta, Field()),
    "str": (str, Field(min_length=1)),
    "optional int": (Optional[int], Field()),
    "list of int": (list[int], Field()),
}


def _endpoint(kind: str, *, strict: bool = False) -> tuple[Any, dict[str, Any]]:
    annotation, field = FIELDS[kind]
    body = {"__annotations__": {"value": annotation}, "value": field, "model_config": ConfigDict(strict=strict)}
    cls: Any = type("Probe", (RestEndpoint,), body)
    app = LightApi(database_url="sqlite://")
    app.register({"/probes": cls})
    schemas = app.openapi()["components"]["schemas"]
    return cls, {**schemas["ProbeCreate"], "components": {"schemas": schemas}}


def _accepts(cls: Any, body: dict[str, Any]) -> bool:
    try:
        cls.__schema_create__.model_validate_json(json.dumps(body))
    except ValidationError:
        return False
    return True


NUMBERS = st.one_of(
    st.integers(-1000, 1000),
    st.integers(-(10**12), 10**12),
    st.floats(-1000, 1000, allow_nan=False).map(lambda value: round(value, 3)),
    st.sampled_from([0, 1, 86399, 86400, -86400, 172800, 2**31, -(2**31) - 1, 253402214399999, 253402214400000]),
)
TEMPORAL = ("date", "datetime", "time", "timedelta")
"""What is text there has a format, which is not checked."""
VALUES = st.one_of(
    NUMBERS,
    st.booleans(),
    st.none(),
    st.integers(-2000, 2000).map(str),
    st.sampled_from(
        [
            "yes",
            "off",
            "true",
            "0",
            "1",
            "2",
            "-0",
            "+5",
            "007",
            "a",
            "1.5",
            "10.00",
            "10.01",
            "0.001",
            "-0.5",
            "0.5",
            "-4.999",
        ]
    ),
    st.lists(st.one_of(st.integers(0, 9), st.booleans(), st.sampled_from(["3", "x"])), max_size=2),
)


@pytest.mark.parametrize("kind", FIELDS)
def test_what_the_schema_says_is_what_is_accepted(kind: str) -> None:
    cls, schema = _endpoint(kind)
    validator = jsonschema_rs.Draft202012Validator(schema)

    @settings(max_examples=150)
    @given(VALUES)
    @example(value="")
    @example(value=False)
    @example(value=0.5)
    @example(value={})
    def agree(value: Any) -> None:
        body = {"value": value}
        if validator.is_valid(body):
            assert _accepts(cls, body) or (kind in TEMPORAL and isinstance(value, str))
        elif not isinstance(value, str):
            assert not _accepts(cls, body) or _near(kind, value)

    agree()


@pytest.mark.parametrize(
    ("kind", "last", "beyond"),
    [
        ("datetime", 253402214399999.97, 253402214400000),
        ("datetime", -62135510400000, -62135510400000.01),
        ("time", 86399.999999, 86400),
        ("time", 0, -0.001),
        ("timedelta", 9223372036854.775, 9223372036854.777),
        ("timedelta", -9223372036854.775, -9223372036854.777),
    ],
)
def test_fractions_count_at_the_ends(kind: str, last: float, beyond: float) -> None:
    cls, schema = _endpoint(kind)
    validator = jsonschema_rs.Draft202012Validator(schema)

    assert [validator.is_valid({"value": each}) for each in (last, beyond)] == [True, False]
    assert [_accepts(cls, {"value": each}) for each in (last, beyond)] == [True, False]


def _near(kind: str, value: Any) -> bool:
    """What a document leaves out on purpose: see lax."""
    return kind == "date" and value > 2 * 10**10


@pytest.mark.parametrize("kind", ["price", "wide price", "decimal"])
def test_the_texts_that_are_answered_are_accepted(kind: str) -> None:
    _, schema = _endpoint(kind)
    validator = jsonschema_rs.Draft202012Validator(schema)

    assert [validator.is_valid({"value": text}) for text in ("12.50", "0.00", "3", "1.234", "x")] == [
        *(True, True, True),
        *(False, False),
    ]


@pytest.mark.parametrize("kind", ["int", "float", "bool"])
def test_a_strict_class_says_the_plain_type(kind: str) -> None:
    _, schema = _endpoint(kind, strict=True)

    assert schema["properties"]["value"]["type"] == {"int": "integer", "float": "number", "bool": "boolean"}[kind]


@given(st.integers(-(10**8), 10**8), st.integers(0, 10**6), st.data())
def test_the_pattern_of_a_range_matches_its_numbers(low: int, width: int, data: st.DataObject) -> None:
    high = low + width
    pattern = re.compile(f"({'|'.join(whole_numbers(low, high))})")
    edges = [low - 1, low, high, high + 1, -1, 0, 1]

    for number in [*edges, *data.draw(st.lists(st.integers(low - 99, high + 99), max_size=20))]:
        assert (pattern.fullmatch(str(number)) is not None) is (low <= number <= high)
