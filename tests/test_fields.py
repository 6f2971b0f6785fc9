"""Every type and every Field option: the column, the schema, and the value that comes back."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, ClassVar, Literal, Optional
from uuid import UUID

import pydantic
import pytest
from pydantic import AnyUrl, BaseModel, ConfigDict, EmailStr
from sqlalchemy import BigInteger, Text, Uuid, insert, inspect, make_url, text

from lightapi import Field, RestEndpoint
from tests.support.hosts import Api, Client, Database

INT32 = 2**31
INT64 = 2**63


class Colour(Enum):
    """Stored and answered by value."""

    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    """An enumeration of numbers."""

    LOW = 1
    HIGH = 2


class Address(BaseModel):
    """A nested model, stored as JSON."""

    street: str
    number: int = 1


class Everything(RestEndpoint):
    """One optional field of every type."""

    a_str: Optional[str] = None
    a_int: Optional[int] = None
    a_big: Optional[int] = Field(default=None, sa_type=BigInteger)
    a_float: Optional[float] = None
    a_bool: Optional[bool] = None
    a_datetime: Optional[datetime] = None
    a_decimal: Optional[Decimal] = Field(default=None, decimal_places=2)
    a_uuid: Optional[UUID] = None
    a_date: Optional[date] = None
    a_time: Optional[time] = None
    a_timedelta: Optional[timedelta] = None
    a_enum: Optional[Colour] = None
    a_level: Optional[Level] = None
    a_literal: Optional[Literal["x", "y"]] = None
    a_bytes: Optional[bytes] = None
    a_list: Optional[list[int]] = None
    a_dict: Optional[dict[str, Any]] = None
    a_model: Optional[Address] = None
    a_email: Optional[EmailStr] = None
    a_url: Optional[AnyUrl] = None
    a_text: Optional[str] = Field(default=None, sa_type=Text)


ACCEPTED: list[tuple[str, str, Any, Any]] = [
    ("str", "a_str", "text", "text"),
    ("str empty", "a_str", "", ""),
    ("str blanks", "a_str", " a \n\t ", " a \n\t "),
    ("str unicode", "a_str", "Größe 漢字 🙂 \u200d\u2028", "Größe 漢字 🙂 \u200d\u2028"),
    ("str quotes", "a_str", "it's \"%_\\ :x", "it's \"%_\\ :x"),
    ("str long", "a_str", "x" * 5000, "x" * 5000),
    ("text", "a_text", "long", "long"),
    ("int", "a_int", 5, 5),
    ("int lax str", "a_int", "5", 5),
    ("int lax float", "a_int", 5.0, 5),
    ("int max", "a_int", INT32 - 1, INT32 - 1),
    ("int min", "a_int", -INT32, -INT32),
    ("bigint max", "a_big", INT64 - 1, INT64 - 1),
    ("bigint min", "a_big", -INT64, -INT64),
    ("float", "a_float", 0.1, 0.1),
    ("float digits", "a_float", 2.220446049250313e-16, 2.220446049250313e-16),
    ("float large", "a_float", 1.7976931348623157e308, 1.7976931348623157e308),
    ("float from int", "a_float", 3, 3.0),
    ("bool", "a_bool", True, True),
    ("bool false", "a_bool", False, False),
    ("bool lax", "a_bool", "yes", True),
    ("datetime utc", "a_datetime", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
    ("datetime naive", "a_datetime", "2024-01-02T03:04:05", "2024-01-02T03:04:05Z"),
    ("datetime offset", "a_datetime", "2024-01-02T03:04:05+03:00", "2024-01-02T00:04:05Z"),
    ("datetime micro", "a_datetime", "2024-01-02T03:04:05.123456Z", "2024-01-02T03:04:05.123456Z"),
    ("datetime number", "a_datetime", 1700000000, "2023-11-14T22:13:20Z"),
    ("datetime old", "a_datetime", "1066-10-14T09:00:00Z", "1066-10-14T09:00:00Z"),
    ("decimal", "a_decimal", "9.90", "9.90"),
    ("decimal padded", "a_decimal", "9.9", "9.90"),
    ("decimal whole", "a_decimal", "7", "7.00"),
    ("decimal number", "a_decimal", 9.9, "9.90"),
    ("decimal int", "a_decimal", 7, "7.00"),
    ("decimal exponent", "a_decimal", "1E+2", "100.00"),
    ("decimal zero", "a_decimal", "0", "0.00"),
    ("decimal negative", "a_decimal", "-0.05", "-0.05"),
    ("decimal large", "a_decimal", "1234567890.12", "1234567890.12"),
    (
        "uuid",
        "a_uuid",
        "123E4567E89B12D3A456426614174000",
        "123e4567-e89b-12d3-a456-426614174000",
    ),
    ("date", "a_date", "2024-02-29", "2024-02-29"),
    ("time", "a_time", "12:34:56", "12:34:56"),
    ("time micro", "a_time", "12:34:56.000001", "12:34:56.000001"),
    ("timedelta", "a_timedelta", "P1DT2H", "P1DT2H"),
    ("timedelta seconds", "a_timedelta", 90, "PT1M30S"),
    ("timedelta negative", "a_timedelta", "-PT1M", "-PT1M"),
    ("enum", "a_enum", "blue", "blue"),
    ("int enum", "a_level", 2, 2),
    ("literal", "a_literal", "y", "y"),
    ("bytes", "a_bytes", "data", "data"),
    ("list", "a_list", [1, 2, 3], [1, 2, 3]),
    ("list empty", "a_list", [], []),
    ("dict", "a_dict", {"b": [1, {"c": None}], "a": 1.5}, {"b": [1, {"c": None}], "a": 1.5}),
    ("model", "a_model", {"street": "s"}, {"street": "s", "number": 1}),
    ("email", "a_email", "ann@example.com", "ann@example.com"),
    ("url", "a_url", "https://example.com/x?y=1", "https://example.com/x?y=1"),
]

REFUSED: list[tuple[str, str, Any]] = [
    ("str number", "a_str", 5),
    ("str nul", "a_str", "a\x00b"),
    ("text nul", "a_text", "a\x00b"),
    ("int text", "a_int", "x"),
    ("int fraction", "a_int", 1.5),
    ("int above", "a_int", INT32),
    ("int below", "a_int", -INT32 - 1),
    ("int far above", "a_int", 10**30),
    ("bigint above", "a_big", INT64),
    ("bigint below", "a_big", -INT64 - 1),
    ("float text", "a_float", "x"),
    ("float nan text", "a_float", "nan"),
    ("float infinity text", "a_float", "Infinity"),
    ("bool", "a_bool", "maybe"),
    ("datetime", "a_datetime", "yesterday"),
    ("datetime month", "a_datetime", "2024-13-01T00:00:00Z"),
    ("decimal places", "a_decimal", "9.999"),
    ("decimal places number", "a_decimal", 9.999),
    ("decimal nan", "a_decimal", "NaN"),
    ("decimal infinity", "a_decimal", "Infinity"),
    ("decimal text", "a_decimal", "x"),
    ("uuid", "a_uuid", "123"),
    ("date", "a_date", "2023-02-29"),
    ("time", "a_time", "25:00"),
    ("timedelta", "a_timedelta", "soon"),
    ("timedelta beyond Python", "a_timedelta", "-P999999999DT1S"),
    ("timedelta number beyond Python", "a_timedelta", -86399999913601),
    ("timedelta beyond the column", "a_timedelta", "P999999999D"),
    ("enum", "a_enum", "green"),
    ("int enum", "a_level", 3),
    ("literal", "a_literal", "z"),
    ("list item", "a_list", ["x"]),
    ("list object", "a_list", {}),
    ("dict list", "a_dict", []),
    ("model missing", "a_model", {"number": 1}),
    ("email", "a_email", "ann"),
    ("url", "a_url", "not a url"),
]


@pytest.fixture
def client(api: Api) -> Client:
    return api({"/things": Everything})


@pytest.mark.hosts("asgi")
@pytest.mark.parametrize(("name", "sent", "answered"), [case[1:] for case in ACCEPTED], ids=[c[0] for c in ACCEPTED])
def test_a_value_comes_back_the_same_from_every_verb(client: Client, name: str, sent: Any, answered: Any) -> None:
    created = client.post("/things", json={name: sent})
    retrieved = client.get("/things/1")

    assert created.status_code == 201
    assert created.json()[name] == answered
    assert type(created.json()[name]) is type(answered)
    assert retrieved.content == created.content
    assert client.get("/things").content == b'{"results":[' + created.content + b"]}"
    for verb in ("PATCH", "PUT"):
        body = {name: answered, "version": client.get("/things/1").json()["version"]}
        rewritten = client.request(verb, "/things/1", json=body)
        assert rewritten.status_code == 200
        assert json.dumps(rewritten.json()[name]) == json.dumps(created.json()[name])


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync", "postgres-async")
@pytest.mark.parametrize(("name", "sent"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_value_of_the_wrong_type_is_422(client: Client, name: str, sent: Any) -> None:
    client.post("/things", json={})

    created = client.post("/things", json={name: sent})
    patched = client.patch("/things/1", json={name: sent, "version": 1})

    for response in (created, patched):
        assert response.status_code == 422
        assert response.json()["detail"][0]["loc"][0] == name
        assert all(list(entry) == ["type", "loc", "msg"] for entry in response.json()["detail"])


class Plan(RestEndpoint):
    """Durations inside a JSON value."""

    breaks: list[timedelta] = Field(default_factory=list)


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
def test_a_duration_inside_a_value_that_python_can_not_hold_is_422(api: Api) -> None:
    client = api({"/plans": Plan})

    response = client.post("/plans", json={"breaks": ["PT5M", "-P999999999DT1S"]})

    assert response.status_code == 422
    assert [(each["type"], each["loc"]) for each in response.json()["detail"]] == [("timedelta_range", ["breaks"])]
    assert client.post("/plans", json={"breaks": ["PT5M"]}).json()["breaks"] == ["PT5M"]


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("raw", [b"NaN", b"Infinity", b"-Infinity", b"1e400"])
def test_a_float_is_finite(client: Client, raw: bytes) -> None:
    response = client.post("/things", content=b'{"a_float": ' + raw + b"}")

    assert response.status_code == 422


@pytest.mark.hosts("asgi")
@pytest.mark.parametrize(
    "raw",
    [b'{"x": NaN}', b'{"x": 1e400}', b'{"x": "\\u0000"}', b'{"\\u0000": 1}', b'{"x": 1e308}'],
)
def test_a_row_that_was_accepted_can_be_read_back(client: Client, raw: bytes) -> None:
    response = client.post("/things", content=b'{"a_dict": ' + raw + b"}")

    assert response.status_code in (201, 422)
    assert client.get("/things").status_code == 200
    if response.status_code == 201:
        assert client.get("/things/1").content == response.content


@pytest.mark.hosts("asgi")
def test_decimals_keep_every_digit(client: Client) -> None:
    digits = "123456789012345678.91"

    response = client.post("/things", json={"a_decimal": digits})

    assert response.status_code in (201, 422)
    if response.status_code == 201:
        assert client.get("/things/1").json()["a_decimal"] == digits


def test_an_aware_instant_is_stored_in_utc(client: Client, database: Database) -> None:
    client.post("/things", json={"a_datetime": "2024-01-02T03:04:05+03:00"})

    with database.admin_engine().connect() as connection:
        connection.execute(text("SELECT 1"))
        if database.kind.startswith("postgres"):
            connection.execute(text("SET TIME ZONE 'UTC'"))
        stored = connection.scalar(text("SELECT CAST(a_datetime AS VARCHAR) FROM everythings"))

    assert str(stored).startswith("2024-01-02 00:04:05")


# the column that each annotation makes


class Columns(RestEndpoint):
    """The documented types, required."""

    a_str: str
    a_int: int
    a_float: float
    a_bool: bool
    a_datetime: datetime
    a_decimal: Decimal = Field(decimal_places=3)
    a_uuid: UUID
    o_str: Optional[str]
    o_int: int | None
    d_str: str = "d"


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
class TestColumns:
    """What the SQLAlchemy table of a class looks like."""

    @pytest.mark.parametrize(
        ("name", "kind", "nullable"),
        [
            ("a_str", "VARCHAR", False),
            ("a_int", "INTEGER", False),
            ("a_float", "FLOAT", False),
            ("a_bool", "BOOLEAN", False),
            ("a_datetime", "DATETIME", False),
            ("a_decimal", "NUMERIC", False),
            ("o_str", "VARCHAR", True),
            ("o_int", "INTEGER", True),
            ("d_str", "VARCHAR", False),
        ],
    )
    def test_type_and_nullability(self, api: Api, name: str, kind: str, nullable: bool) -> None:
        table = api({"/columns": Columns}).app.metadata.tables["columnss"]

        column = table.c[name]
        assert column.type.compile().startswith(kind)
        assert column.nullable is nullable

    def test_uuid_is_the_databases_own(self, api: Api) -> None:
        column = api({"/columns": Columns}).app.metadata.tables["columnss"].c.a_uuid

        assert column.type.compile(dialect=make_url("postgresql+psycopg://").get_dialect()()) == "UUID"
        assert isinstance(column.type, Uuid)

    def test_decimal_places_are_the_scale(self, api: Api) -> None:
        column = api({"/columns": Columns}).app.metadata.tables["columnss"].c.a_decimal
        kind: Any = column.type

        assert getattr(kind, "impl", kind).scale == 3

    def test_automatic_columns(self, api: Api) -> None:
        columns = api({"/columns": Columns}).app.metadata.tables["columnss"].c

        assert columns.id.primary_key
        assert columns.id.type.compile() == "INTEGER"
        assert columns.version.type.compile() == "INTEGER"
        assert columns.created_at.type.compile().startswith("DATETIME")
        assert columns.updated_at.type.compile().startswith("DATETIME")

    def test_a_custom_column_type(self, api: Api) -> None:
        columns = api({"/things": Everything}).app.metadata.tables["everythings"].c

        assert isinstance(columns.a_big.type, BigInteger)
        assert isinstance(columns.a_text.type, Text)


@pytest.mark.hosts("asgi")
def test_rows_of_other_programs_need_no_timestamps(api: Api, database: Database) -> None:
    client = api({"/stamped": Stamped})
    client.get("/stamped")
    table = client.app.metadata.tables["stampeds"]
    with database.admin_engine().begin() as connection:
        connection.execute(text(f"INSERT INTO {table.name} (title, version) VALUES ('t', 1)"))

    response = client.get("/stamped/1")

    assert response.status_code == 200
    assert response.json()["title"] == "t"


class Stamped(RestEndpoint):
    """One plain column beside the automatic ones."""

    title: str


# required, optional, nullable, default


class Presence(RestEndpoint):
    """Every way to be optional."""

    required: str
    nullable: Optional[str]
    optional: Optional[str] = None
    plain: int = 3
    given: int = Field(default=4, ge=0)
    made: list[int] = Field(default_factory=lambda: [1])


@pytest.mark.hosts("asgi")
class TestPresence:
    """What may be left out, and what may be null."""

    @pytest.fixture
    def client(self, api: Api) -> Client:
        return api({"/presences": Presence})

    def test_fields_without_a_default_are_required(self, client: Client) -> None:
        response = client.post("/presences", json={})

        assert response.status_code == 422
        assert [(e["type"], e["loc"]) for e in response.json()["detail"]] == [
            ("missing", ["required"]),
            ("missing", ["nullable"]),
        ]

    def test_defaults_fill_in(self, client: Client) -> None:
        response = client.post("/presences", json={"required": "r", "nullable": None})

        assert response.status_code == 201
        expected = {"nullable": None, "optional": None, "plain": 3, "given": 4, "made": [1]}
        assert response.json() | expected == response.json()

    @pytest.mark.parametrize("name", ["required", "plain", "given", "made"])
    def test_null_is_refused_where_the_type_is_not_optional(self, client: Client, name: str) -> None:
        body = {"required": "r", "nullable": "n"}
        client.post("/presences", json=body)

        created = client.post("/presences", json=body | {name: None})
        patched = client.patch("/presences/1", json={name: None, "version": 1})

        for response in (created, patched):
            assert response.status_code == 422
            assert response.json()["detail"][0]["loc"] == [name]

    @pytest.mark.parametrize("name", ["nullable", "optional"])
    def test_null_in_patch_clears_an_optional_field(self, client: Client, name: str) -> None:
        client.post("/presences", json={"required": "r", "nullable": "n", "optional": "o"})

        response = client.patch("/presences/1", json={name: None, "version": 1})

        assert response.status_code == 200
        assert response.json()[name] is None

    def test_put_returns_omitted_fields_to_their_defaults(self, client: Client) -> None:
        body = {"required": "r", "nullable": "n", "optional": "o", "plain": 1, "made": []}
        client.post("/presences", json=body)

        kept = {"required": "r", "nullable": None}
        response = client.put("/presences/1", json=kept | {"version": 1})

        expected = kept | {"optional": None, "plain": 3, "given": 4, "made": [1]}
        assert response.json() | expected == response.json()

    def test_patch_leaves_omitted_fields_alone(self, client: Client) -> None:
        client.post("/presences", json={"required": "r", "nullable": "n", "plain": 1})

        response = client.patch("/presences/1", json={"optional": "o", "version": 1})

        assert (response.json()["nullable"], response.json()["plain"]) == ("n", 1)


# the options of Field


class Author(RestEndpoint):
    """What other rows point at."""

    name: str = Field(unique=True, max_length=20, index=True)


class Essay(RestEndpoint):
    """Every LightAPI option of Field."""

    title: str = Field(min_length=2, max_length=5, pattern="^[a-z]+$")
    slug: Optional[str] = Field(default=None, unique=True)
    author_id: Optional[int] = Field(default=None, foreign_key="authors.id")
    year: int = Field(default=2000, ge=1900, le=2100, index=True)
    secret: str = Field(default="s", exclude=True)
    price: Decimal = Field(default=Decimal(1), ge=0, decimal_places=2)
    status: str = Field(default="draft", server_default="draft")


ESSAYS = {"/authors": Author, "/essays": Essay}


class PydanticField(RestEndpoint):
    """The same options through pydantic's own Field."""

    name: str = pydantic.Field(min_length=2, json_schema_extra={"unique": True, "index": True})
    price: Decimal = pydantic.Field(json_schema_extra={"decimal_places": 1})


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
class TestFieldOptions:
    """What each option of Field does to the column and the schema."""

    def test_the_options_are_kept_flat_and_apart_from_pydantics(self) -> None:
        field: Any = Field(min_length=1, unique=True, index=True, foreign_key="a.id")

        assert field.json_schema_extra["unique"] is True
        assert field.json_schema_extra["index"] is True
        assert field.json_schema_extra["foreign_key"] == "a.id"
        assert "min_length" not in field.json_schema_extra

    def test_the_options_do_not_leak_into_json_schema(self) -> None:
        schema = json.dumps(Essay.__schema_create__.model_json_schema())

        for option in ("unique", "foreign_key", "index", "exclude", "decimal_places", "sa_type"):
            assert f'"{option}"' not in schema
        assert '"minLength": 2' in schema

    def test_foreign_key_makes_a_constraint(self, api: Api) -> None:
        table = api(ESSAYS).app.metadata.tables["essays"]

        keys = [key.target_fullname for key in table.c.author_id.foreign_keys]
        assert keys == ["authors.id"]

    def test_unique_makes_a_constraint_in_the_database(self, api: Api, database: Database) -> None:
        client = api(ESSAYS)
        client.get("/essays")

        inspector = inspect(database.admin_engine())
        constraints = inspector.get_unique_constraints("essays")
        indexes = [index for index in inspector.get_indexes("essays") if index["unique"]]
        assert [each["column_names"] for each in [*constraints, *indexes]] == [["slug"]]

    def test_index_makes_an_index_in_the_database(self, api: Api, database: Database) -> None:
        api(ESSAYS).get("/essays")

        indexes = inspect(database.admin_engine()).get_indexes("essays")
        assert ["year"] in [index["column_names"] for index in indexes]

    def test_an_excluded_field_has_no_column_and_no_place_in_the_schemas(self, api: Api) -> None:
        client = api(ESSAYS)

        response = client.post("/essays", json={"title": "abc", "secret": "mine"})

        assert "secret" not in client.app.metadata.tables["essays"].c
        assert "secret" not in Essay.__schema_create__.model_fields
        assert "secret" not in Essay.__schema_read__.model_fields
        assert "secret" not in response.json()

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            ({"title": "a"}, "string_too_short"),
            ({"title": "abcdef"}, "string_too_long"),
            ({"title": "ABC"}, "string_pattern_mismatch"),
            ({"title": "abc", "year": 1800}, "greater_than_equal"),
            ({"title": "abc", "year": 2200}, "less_than_equal"),
            ({"title": "abc", "price": "-1"}, "greater_than_equal"),
            ({"title": "abc", "price": "1.001"}, "decimal_max_places"),
        ],
    )
    def test_pydantics_constraints_hold(self, api: Api, body: dict[str, Any], kind: str) -> None:
        response = api(ESSAYS).post("/essays", json=body)

        assert response.status_code == 422
        assert [entry["type"] for entry in response.json()["detail"]] == [kind]

    def test_a_default_obeys_decimal_places_too(self, api: Api) -> None:
        response = api(ESSAYS).post("/essays", json={"title": "abc"})

        assert response.json()["price"] == "1.00"

    def test_server_default_is_the_databases(self, api: Api, database: Database) -> None:
        client = api(ESSAYS)
        client.get("/essays")
        with database.admin_engine().begin() as connection:
            connection.execute(text("INSERT INTO essays (title, year, price, version) VALUES ('abc', 2000, 1, 1)"))

        assert client.get("/essays/1").json()["status"] == "draft"

    def test_pydantics_own_field_works_the_same(self, api: Api) -> None:
        client = api({"/plain": PydanticField})

        made = client.post("/plain", json={"name": "ab", "price": "1"})
        again = client.post("/plain", json={"name": "ab", "price": "1"})
        places = client.post("/plain", json={"name": "cd", "price": "1.25"})

        assert made.json()["price"] == "1.0"
        assert again.status_code == 409
        assert places.status_code == 422


@pytest.mark.hosts("asgi")
def test_a_unique_optional_field_may_be_null_often(api: Api) -> None:
    client = api(ESSAYS)

    statuses = [client.post("/essays", json={"title": "abc"}).status_code for _ in range(2)]

    assert statuses == [201, 201]


# what is a field


@pytest.fixture
def bare() -> type[Any]:
    class Bare(RestEndpoint):
        title: str
        registry: str = "a field name like any other"
        metadata: str = "and this"
        limit: ClassVar[int] = 5
        _private: int = 3
        model_config = ConfigDict(str_strip_whitespace=True)

    return Bare


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
class TestWhatIsAField:
    """Which names of the class body become columns."""

    def test_private_names_and_class_variables_are_no_fields(self, api: Api, bare: type[Any]) -> None:
        client = api({"/bares": bare})

        columns = set(client.app.metadata.tables["bares"].c.keys())
        assert not columns & {"limit", "_private", "model_config"}
        assert list(bare.__schema_create__.model_fields) == ["title", "registry", "metadata"]
        assert bare.limit == 5

    def test_model_config_applies_to_input(self, api: Api, bare: type[Any]) -> None:
        response = api({"/bares": bare}).post("/bares", json={"title": "  t  "})

        assert response.json()["title"] == "t"

    def test_answers_are_ordered_as_declared(self, api: Api, bare: type[Any]) -> None:
        response = api({"/bares": bare}).post("/bares", json={"metadata": "m", "title": "t"})

        automatic = ["version", "created_at", "updated_at"]
        assert list(response.json()) == ["id", "title", "registry", "metadata", *automatic]


@pytest.mark.hosts("asgi")
def test_a_wrongly_typed_value_of_another_program_does_not_break_the_list(api: Api, database: Database) -> None:
    client = api({"/things": Everything})
    client.get("/things")
    table = client.app.metadata.tables["everythings"]
    with database.admin_engine().begin() as connection:
        connection.execute(insert(table).values(a_email="not an address", a_int=5, version=1))

    response = client.get("/things")

    assert response.status_code == 200
    assert response.json()["results"][0]["a_email"] == "not an address"
