"""pydantic's and SQLAlchemy's validators in the body of a class: they hold, or the class is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Final, Optional

import pytest
from pydantic import (
    Base64Bytes,
    Base64Str,
    ConfigDict,
    NaiveDatetime,
    PlainSerializer,
    computed_field,
    field_serializer,
    field_validator,
    model_validator,
)
from sqlalchemy.orm import validates

from lightapi import ConfigurationError, Field, RestEndpoint
from tests.support.foreign import execute
from tests.support.hosts import Api, Database


class Named(RestEndpoint):
    """Has a rule that others inherit."""

    name: str

    @field_validator("name", mode="before")
    @classmethod
    def stripped(cls, value: Any) -> Any:
        return value.strip() if isinstance(value, str) else value


class Guest(Named):
    """Has a rule for two fields, one of them called like a method of pydantic's."""

    age: int = 20
    copy: str = "x"

    @field_validator("age", "copy")
    @classmethod
    def lucky(cls, value: Any) -> Any:
        if value in (13, "bad"):
            raise ValueError("unlucky")
        return value


class Span(RestEndpoint):
    """Has a rule for the whole row, and no PATCH."""

    low: int
    high: int = 10

    @model_validator(mode="after")
    def ordered(self) -> Any:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self

    class Meta:
        methods = ("GET", "POST", "PUT")


class Loud(RestEndpoint):
    """Is checked and changed by SQLAlchemy."""

    name: str

    @validates("name")
    def upper(self, _key: str, value: str) -> str:
        if value == "bad":
            raise ValueError("name must not be bad")
        return value.upper()


def test_field_validators_hold_for_every_body(api: Api) -> None:
    client = api({"/guests": Guest})
    made = client.post("/guests", json={"name": " ann "})

    assert made.json()["name"] == "ann"
    for verb, body in (
        ("POST", {"name": "b", "age": 13}),
        ("PUT", {"name": "b", "age": 13, "version": 1}),
        ("PATCH", {"age": 13, "version": 1}),
    ):
        refused = client.request(verb, "/guests" if verb == "POST" else "/guests/1", json=body)
        assert refused.status_code == 422
        assert refused.json()["detail"] == [{"type": "value_error", "loc": ["age"], "msg": "Value error, unlucky"}]
    assert client.patch("/guests/1", json={"copy": "bad", "version": 1}).json()["detail"][0]["loc"] == ["copy"]
    assert client.patch("/guests/1", json={"name": " bea ", "version": 1}).json()["name"] == "bea"


def test_model_validators_hold_for_whole_bodies(api: Api) -> None:
    client = api({"/spans": Span})

    assert client.post("/spans", json={"low": 11}).json()["detail"] == [
        {"type": "value_error", "loc": [], "msg": "Value error, low is above high"}
    ]
    assert client.post("/spans", json={"low": 1}).status_code == 201
    assert client.put("/spans/1", json={"low": 3, "high": 2, "version": 1}).status_code == 422


def test_what_sqlalchemys_validators_refuse_is_the_clients_mistake(api: Api) -> None:
    client = api({"/louds": Loud})
    problem = {"type": "value_error", "loc": ["name"], "msg": "Value error, name must not be bad"}

    assert client.post("/louds", json={"name": "bad"}).json() == {"detail": [problem]}
    assert client.post("/louds", json={"name": "good"}).json()["name"] == "GOOD"
    assert client.patch("/louds/1", json={"name": "bad", "version": 1}).json() == {"detail": [problem]}
    assert [row["name"] for row in client.get("/louds").json()["results"]] == ["GOOD"]


@pytest.mark.hosts("asgi")
def test_validators_hold_for_columns_of_the_database(api: Api, database: Database) -> None:
    execute(database.admin_engine(), "CREATE TABLE people (login VARCHAR(20) PRIMARY KEY, name VARCHAR(20))")

    class Person(RestEndpoint):
        @field_validator("login")
        @classmethod
        def short(cls, value: str) -> str:
            if len(value) > 3:
                raise ValueError("too long")
            return value

        class Meta:
            reflect = True
            table = "people"

    client = api({"/people": Person})

    assert client.post("/people", json={"login": "anna"}).json()["detail"][0]["loc"] == ["login"]
    assert client.post("/people", json={"login": "ann"}).status_code == 201


def test_a_validator_of_no_column_is_refused_when_the_table_is_read(api: Api, database: Database) -> None:
    execute(database.admin_engine(), "CREATE TABLE people (login VARCHAR(20) PRIMARY KEY, name VARCHAR(20))")

    class Person(RestEndpoint):
        @field_validator("loginn")
        @classmethod
        def short(cls, value: str) -> str:
            return value

        class Meta:
            reflect = True
            table = "people"

    with pytest.raises(ConfigurationError, match=r"Person.short: there is no field 'loginn'.*did you mean 'login'"):
        api({"/people": Person})


def _checked(cls: Any, value: Any) -> Any:
    return value


def _shown(self: Any, value: Any = None) -> Any:
    return value


Loose: Any = Field


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (field_validator("numbr")(classmethod(_checked)), "there is no field 'numbr'.*did you mean 'number'"),
        (model_validator(mode="after")(lambda self: self), "PATCH sends parts.*Meta.methods without PATCH"),
        (field_serializer("number")(_shown), "@field_serializer has no effect"),
        (computed_field(property(_shown)), "@computed_field has no effect"),
    ],
    ids=["field", "model", "serializer", "computed"],
)
def test_what_would_have_no_effect_is_refused(method: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"Thing\.checked: .*{message}"):
        type("Thing", (RestEndpoint,), {"__annotations__": {"number": int}, "checked": method})


@pytest.mark.parametrize(
    ("annotation", "field", "message"),
    [
        (Final[int], 3, r"Thing\.field: Final can't be stored"),
        (str, Loose(default_factory=5), r"Thing\.field: default_factory=5 given; allowed: a function"),
        (str, Field(max_length=-1), r"Thing\.field: max_length=-1 given; allowed: a whole number"),
        (Decimal, Field(decimal_places=-1), r"Thing\.field: decimal_places=-1 given; allowed: a whole number"),
        (Decimal, Loose(decimal_places="2"), r"Thing\.field: decimal_places='2' given; allowed: a whole"),
    ],
    ids=["final", "factory", "length", "places", "text"],
)
def test_a_wrong_field_says_what_was_given(annotation: Any, field: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        type("Thing", (RestEndpoint,), {"__annotations__": {"field": annotation}, "field": field})


def test_the_configuration_of_a_model_is_no_field() -> None:
    with pytest.raises(ConfigurationError, match="'model_config' is an attribute of RestEndpoint"):
        type("Thing", (RestEndpoint,), {"__annotations__": {"model_config": int}})


class Encoded(RestEndpoint):
    """Is answered otherwise than it is stored."""

    text: Base64Str
    data: Base64Bytes
    loud: Annotated[str, PlainSerializer(lambda value: value.upper())]
    maybe: Optional[Annotated[str, PlainSerializer(lambda value: value and value.upper())]] = None


def test_what_a_type_serialises_is_answered_and_taken_again(api: Api) -> None:
    client = api({"/encoded": Encoded})
    made = client.post("/encoded", json={"text": "YWJjZA==", "data": "aGk=", "loud": "a"}).json()

    assert (made["text"], made["data"], made["loud"], made["maybe"]) == ("YWJjZA==", "aGk=", "A", None)
    assert client.get("/encoded").json()["results"] == [made]
    again = client.put("/encoded/1", json=made).json()
    assert [again[name] for name in ("text", "data", "loud")] == ["YWJjZA==", "aGk=", "A"]


def test_a_type_that_refuses_its_own_answer_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"Thing\.at: NaiveDatetime .*write datetime"):
        type("Thing", (RestEndpoint,), {"__annotations__": {"at": NaiveDatetime}})


class Strict(RestEndpoint):
    """Takes JSON's types as they are."""

    model_config = ConfigDict(strict=True)
    price: Optional[Decimal] = None


@pytest.mark.parametrize(("given", "shown"), [("1.5", "1.5"), (1.5, "1.5"), (2, "2"), (None, None)])
def test_a_strict_decimal_takes_what_json_has_for_it(given: Any, shown: Any, api: Api) -> None:
    client = api({"/strict": Strict})
    made = client.post("/strict", json={"price": given}).json()

    assert made["price"] == shown
    assert client.put("/strict/1", json=made).status_code == 200
    assert client.post("/strict", json={"price": "x"}).status_code == 422
    assert client.post("/strict", json={"price": True}).status_code == 422
