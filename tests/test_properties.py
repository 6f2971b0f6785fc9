"""Whatever a schema accepts comes back as it was answered, for any value at all."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Optional
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine
from starlette.testclient import TestClient

from lightapi import Field, LightApi, RestEndpoint

FIRST, LAST = datetime.fromisoformat("1000-01-01"), datetime.fromisoformat("9998-01-01")
JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


class Anything(RestEndpoint):
    """A field of each type whose values a generator can make."""

    text: Optional[str] = None
    short: Optional[str] = Field(default=None, min_length=2, max_length=5)
    number: Optional[int] = None
    ratio: Optional[float] = None
    price: Optional[Decimal] = Field(default=None, decimal_places=2)
    moment: Optional[datetime] = None
    key: Optional[UUID] = None
    flag: Optional[bool] = None
    data: Optional[dict[str, Any]] = None


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    path: Path = tmp_path_factory.mktemp("properties") / "test.db"
    app = LightApi(engine=create_engine(f"sqlite:///{path}"))
    app.register({"/anything": Anything})
    with TestClient(app.build_app(), raise_server_exceptions=False) as client:
        yield client


def _post(client: TestClient, body: Any) -> Any:
    """Post a body; whatever is accepted must read back the same, and nothing may be a 500."""
    response = client.post("/anything", content=json.dumps(body).encode("utf-8", "surrogatepass"))
    assert response.status_code in (201, 422), response.text
    if response.status_code == 422:
        assert all(list(entry) == ["type", "loc", "msg"] for entry in response.json()["detail"])
        return None
    assert client.get(response.headers["location"]).content == response.content
    return response.json()


@settings(max_examples=60)
@given(text=st.text())
@example(text="\x00")
@example(text="\ud800")
@example(text="'\"\\%_;--")
def test_any_text_comes_back(client: TestClient, text: str) -> None:
    row = _post(client, {"text": text})

    storable = "\x00" not in text and not any("\ud800" <= each <= "\udfff" for each in text)
    assert (row is not None) == storable
    assert row is None or row["text"] == text


@settings(max_examples=40)
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=8))
def test_lengths_are_counted_in_characters(client: TestClient, text: str) -> None:
    assert (_post(client, {"short": text}) is not None) == (2 <= len(text) <= 5)


@settings(max_examples=60)
@given(number=st.integers(min_value=-(2**33), max_value=2**33) | st.integers())
@example(number=2**31 - 1)
@example(number=-(2**31))
@example(number=2**31)
def test_integers_keep_their_value_within_32_bits(client: TestClient, number: int) -> None:
    row = _post(client, {"number": number})

    assert (row is not None) == (-(2**31) <= number < 2**31)
    assert row is None or row["number"] == number


@settings(max_examples=60)
@given(ratio=st.floats())
@example(ratio=-0.0)
@example(ratio=5e-324)
def test_finite_floats_keep_every_bit(client: TestClient, ratio: float) -> None:
    row = _post(client, {"ratio": ratio})

    assert (row is not None) == math.isfinite(ratio)
    assert row is None or row["ratio"] == ratio


@settings(max_examples=60)
@given(price=st.decimals(min_value=-(10**12), max_value=10**12, places=2) | st.decimals())
def test_decimals_are_padded_and_never_rounded(client: TestClient, price: Decimal) -> None:
    row = _post(client, {"price": str(price)})

    if row is not None:
        assert Decimal(row["price"]) == price
        assert Decimal(row["price"]).as_tuple().exponent == -2
    else:
        exponent = price.as_tuple().exponent
        assert not isinstance(exponent, int) or exponent < -2 or abs(price) > 10**12


@settings(max_examples=60)
@given(
    moment=st.datetimes(min_value=FIRST, max_value=LAST),
    offset=st.none() | st.integers(min_value=-23 * 60, max_value=23 * 60),
)
def test_datetimes_keep_their_instant(client: TestClient, moment: datetime, offset: int | None) -> None:
    zone = timezone.utc if offset is None else timezone(timedelta(minutes=offset))
    sent = moment if offset is None else moment.replace(tzinfo=zone)

    row = _post(client, {"moment": sent.isoformat()})

    assert row["moment"].endswith("Z")
    assert datetime.fromisoformat(row["moment"].replace("Z", "+00:00")) == moment.replace(tzinfo=zone)


@settings(max_examples=30)
@given(key=st.uuids())
def test_uuids_come_back(client: TestClient, key: UUID) -> None:
    assert _post(client, {"key": str(key)})["key"] == str(key)


@settings(max_examples=60)
@given(data=st.dictionaries(st.text(), JSON_VALUES, max_size=4))
@example(data={"\x00": "\x00"})
@example(data={"big": 10**400})
@example(data={"negative zero": -0.0})
def test_json_that_is_accepted_comes_back(client: TestClient, data: dict[str, Any]) -> None:
    row = _post(client, {"data": data})

    assert row is None or row["data"] == data


@settings(max_examples=100)
@given(body=JSON_VALUES)
def test_no_json_is_ever_a_500(client: TestClient, body: Any) -> None:
    _post(client, body)


@settings(max_examples=100)
@given(
    body=st.dictionaries(
        st.sampled_from(["text", "number", "ratio", "price", "moment", "key", "flag", "data"]),
        JSON_VALUES,
        min_size=1,
    )
)
def test_no_value_of_the_wrong_type_is_ever_a_500(client: TestClient, body: dict[str, Any]) -> None:
    _post(client, body)


@settings(max_examples=100)
@given(body=st.binary(max_size=60))
def test_no_bytes_are_ever_a_500(client: TestClient, body: bytes) -> None:
    response = client.post("/anything", content=body)

    assert response.status_code in (201, 422)


@settings(max_examples=60)
@given(key=st.text(min_size=1, max_size=12))
def test_no_key_is_ever_a_500(client: TestClient, key: str) -> None:
    path = "".join(f"%{byte:02X}" for byte in key.encode("utf-8", "surrogatepass"))

    assert client.get(f"/anything/{path}").status_code in (200, 404)
