"""The OpenAPI document: what it says of verbs, bodies, parameters, refusals and who may call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from openapi_spec_validator import validate
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient

from lightapi import (
    AllowAny,
    Authentication,
    BaseAuthentication,
    BaseFilter,
    ConfigurationError,
    Field,
    Filtering,
    HttpMethod,
    LightApi,
    Pagination,
    RestEndpoint,
    SearchFilter,
)
from tests.support.rich import MAPPING, login

Document = dict[str, Any]


def document_of(mapping: Mapping[str, type[RestEndpoint]], **options: Any) -> Document:
    """Return the document of an app with these endpoints."""
    app = LightApi(database_url="sqlite://", **options)
    app.register(mapping)
    return app.openapi()


@pytest.fixture
def rich(monkeypatch: pytest.MonkeyPatch) -> Document:
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", "x" * 40)
    return document_of(MAPPING, login_validator=login, title="Rich", version="3.2.1", description="*Things.*")


def schema_of(document: Document, name: str) -> Document:
    found: Document = document["components"]["schemas"][name]
    return found


def parameters_of(document: Document, path: str) -> dict[str, Document]:
    return {parameter["name"]: parameter for parameter in document["paths"][path]["get"]["parameters"]}


def test_the_document_is_valid(rich: Document) -> None:
    validate(rich)

    assert rich["openapi"].startswith("3.1.")
    assert rich["info"] == {"title": "Rich", "version": "3.2.1", "description": "*Things.*"}


def test_every_verb_of_every_path_has_an_operation(rich: Document) -> None:
    verbs = {
        path: sorted(item.keys() - {"parameters"}) for path, item in rich["paths"].items() if not path.startswith("/a")
    }

    assert verbs == {
        "/things": ["get", "post"],
        "/things/{id}": ["delete", "get", "patch", "put"],
        "/owners": ["get", "post"],
        "/owners/{id}": ["delete", "get", "patch", "put"],
        "/v1/events": ["get", "post"],
        "/v1/events/{id}": ["get"],
        "/reports": ["get", "post"],
        "/reports/{id}": ["get"],
    }
    identifiers = [
        operation["operationId"]
        for item in rich["paths"].values()
        for verb, operation in item.items()
        if verb != "parameters"
    ]
    assert len(set(identifiers)) == len(identifiers)
    assert {"list_v1_events", "retrieve_v1_events", "replace_things", "update_things"} <= set(identifiers)


def test_every_verb_has_a_body_of_its_own(rich: Document) -> None:
    create, replace, patch = (schema_of(rich, f"ThingEndpoint{use}") for use in ("Create", "Replace", "Patch"))

    assert create["required"] == ["name", "price"]
    assert replace["required"] == ["name", "price", "version"]
    assert patch["required"] == ["version"]
    assert replace["properties"]["version"] == {"type": "integer", "minimum": 1}
    assert "version" not in create["properties"]
    assert "default" not in patch["properties"]["amount"]
    assert create["properties"]["amount"]["default"] == 1
    assert {"id", "created_at"}.isdisjoint(create["properties"])


def test_constraints_descriptions_and_examples_of_fields_are_shown(rich: Document) -> None:
    name = schema_of(rich, "ThingEndpointCreate")["properties"]["name"]

    assert name.pop("pattern")
    assert name == {
        "type": "string",
        "minLength": 1,
        "maxLength": 40,
        "description": "What it is called",
        "examples": ["spoon"],
    }
    assert "unique" not in schema_of(rich, "OwnerEndpointCreate")["properties"]["name"]
    assert "foreign_key" not in str(rich)
    assert "sa_type" not in str(rich)


def test_answers_hold_every_column_that_the_serializer_shows(rich: Document) -> None:
    thing = schema_of(rich, "ThingEndpointRead")

    assert thing["required"] == list(thing["properties"])
    columns = list(thing["properties"])
    assert [columns[0], *columns[-3:]] == ["id", "version", "created_at", "updated_at"]
    assert thing["properties"]["price"]["type"] == "string"
    assert list(schema_of(rich, "OwnerEndpointRead")["properties"]) == ["id", "name"]
    assert list(schema_of(rich, "OwnerEndpointWritten")["properties"]) == ["id", "name", "version"]
    ok = rich["paths"]["/owners"]["post"]["responses"]["201"]
    assert ok["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/OwnerEndpointWritten"}
    assert "Location" in ok["headers"]


def test_only_what_is_used_is_defined(rich: Document) -> None:
    assert {name for name in rich["components"]["schemas"] if name.startswith("Event")} == {
        "EventEndpointCreate",
        "EventEndpointRead",
    }


def test_filters_have_the_types_of_their_columns(rich: Document) -> None:
    found = {name: parameter["schema"] for name, parameter in parameters_of(rich, "/things").items()}

    assert found["amount"]["type"] == "integer"
    assert found["price__lt"] == {"type": "number"}
    assert found["sold"] == {"type": "boolean"}
    assert found["seen_at__isnull"] == {"type": "boolean"}
    assert found["seen_at__gte"]["format"] == "date-time"
    assert found["code"] == {"type": "string", "format": "uuid"}
    assert (found["colour"]["type"], found["colour"]["enum"]) == ("string", ["red", "blue"])
    assert found["name__in"]["type"] == "array"
    assert (found["amount__range"]["minItems"], found["amount__range"]["maxItems"]) == (2, 2)
    assert found["ordering"]["items"]["examples"] == ["name", "-name", "amount", "-amount", "seen_at", "-seen_at"]
    assert found["search"]["type"] == "string"
    assert "name__exact" not in found


def test_a_list_in_one_parameter_has_commas(rich: Document) -> None:
    for name in ("name__in", "amount__range", "ordering"):
        parameter = parameters_of(rich, "/things")[name]
        assert (parameter["style"], parameter["explode"]) == ("form", False)


@pytest.mark.parametrize(
    ("pagination", "parameters", "keys"),
    [
        (None, [], ["results"]),
        (Pagination(), ["page"], ["count", "pages", "next", "previous", "results"]),
        (Pagination(count=False, max_page_size=90), ["page", "page_size"], ["next", "previous", "results"]),
        (
            Pagination(style="limit_offset", max_page_size=90),
            ["offset", "limit"],
            ["count", "next", "previous", "results"],
        ),
        (Pagination(style="cursor"), ["cursor"], ["next", "previous", "results"]),
    ],
    ids=["none", "page_number", "uncounted", "limit_offset", "cursor"],
)
def test_pages_are_described_by_their_style(
    pagination: Pagination | None, parameters: list[str], keys: list[str]
) -> None:
    class Note(RestEndpoint):
        text: str

    listing = document_of({"/notes": Note}, default_pagination=pagination)["paths"]["/notes"]["get"]

    assert [parameter["name"] for parameter in listing.get("parameters", [])] == parameters
    page = listing["responses"]["200"]["content"]["application/json"]["schema"]
    assert (list(page["properties"]), page["required"]) == (keys, keys)


def test_refusals_are_those_that_the_verb_can_meet(rich: Document) -> None:
    def statuses(path: str, verb: str) -> set[str]:
        return set(rich["paths"][path][verb]["responses"])

    assert statuses("/things", "get") == {"200", "422", "503"}
    assert statuses("/things/{id}", "get") == {"200", "404", "503"}
    assert statuses("/things/{id}", "patch") == {"200", "400", "404", "409", "413", "415", "422", "503"}
    assert statuses("/things/{id}", "delete") == {"204", "404", "409", "503"}
    assert statuses("/owners", "get") == {"200", "422", "503"}
    assert statuses("/owners", "post") >= {"401", "403"}
    refusal = rich["components"]["responses"]["InvalidInput"]["content"]["application/json"]["schema"]
    assert refusal == {"$ref": "#/components/schemas/LightAPI.InvalidInput"}
    assert set(rich["components"]["responses"]["Unauthorized"]["headers"]) == {"WWW-Authenticate"}


def test_security_follows_the_backends(rich: Document) -> None:
    both: list[dict[str, list[str]]] = [{"JWTAuthentication": []}, {"BasicAuthentication": []}]

    assert rich["components"]["securitySchemes"] == {
        "JWTAuthentication": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "BasicAuthentication": {"type": "http", "scheme": "basic"},
    }
    assert rich["paths"]["/owners"]["post"]["security"] == both
    assert rich["paths"]["/owners"]["get"]["security"] == [*both, {}]
    assert rich["paths"]["/v1/events"]["get"]["security"] == [{"JWTAuthentication": []}]
    assert "security" not in rich["paths"]["/things"]["get"]


class Key(BaseAuthentication):
    """Reads a header of its own."""

    openapi_scheme: ClassVar[dict[str, str]] = {"type": "apiKey", "in": "header", "name": "X-Key"}

    def authenticate(self, request: Request) -> bool:
        """Refuse."""
        return False


class Digest(BaseAuthentication):
    """Says only what it answers."""

    challenge = 'Digest realm="api"'

    def authenticate(self, request: Request) -> bool:
        """Refuse."""
        return False


def test_an_own_backend_may_say_its_scheme() -> None:
    class Note(RestEndpoint):
        text: str

        class Meta:
            authentication = Authentication(backend=[Key, Digest])

    document = document_of({"/notes": Note})

    validate(document)
    assert document["components"]["securitySchemes"] == {
        "Key": {"type": "apiKey", "in": "header", "name": "X-Key"},
        "Digest": {"type": "http", "scheme": "digest"},
    }


def test_the_login_routes_are_described(rich: Document) -> None:
    login_route = rich["paths"]["/auth/login"]["post"]

    body = login_route["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["username", "password"]
    answer = login_route["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["required"] == ["token", "user"]
    assert set(login_route["responses"]) == {"200", "400", "401", "413", "415", "422", "429"}
    assert rich["paths"].keys() >= {"/auth/token"}


def test_tags_are_the_classes_and_say_their_docstrings(rich: Document) -> None:
    tags = {tag["name"]: tag.get("description") for tag in rich["tags"]}

    assert tags["Thing"] == "Things of every type.\n\nThe second paragraph of their description."
    assert rich["paths"]["/things/{id}"]["put"]["tags"] == ["Thing"]


def test_the_docstring_of_a_base_is_used_and_ours_is_not() -> None:
    class Note(RestEndpoint):
        text: str

    document = document_of({"/notes": Note})

    assert document["tags"] == [{"name": "Note"}]


def test_annotated_overrides_are_described_by_their_annotations(rich: Document) -> None:
    listing = rich["paths"]["/reports"]["get"]

    assert (listing["summary"], listing["description"]) == ("Sum up.", "Everything there is.")
    schema = listing["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Summary"}
    assert schema_of(rich, "Summary")["required"] == ["total", "names"]


def test_what_other_overrides_send_and_answer_is_shown_but_not_promised(rich: Document) -> None:
    creation = rich["paths"]["/reports"]["post"]

    sent = creation["requestBody"]["content"]["application/json"]["schema"]
    assert sent == {"anyOf": [{"$ref": "#/components/schemas/ReportEndpointCreate"}, {"type": "object"}]}
    assert {} in creation["responses"]["201"]["content"]["application/json"]["schema"]["anyOf"]
    assert "default" in creation["responses"]


class Order(BaseModel):
    """What a client sends."""

    reference: str


class OrderEndpoint(RestEndpoint, HttpMethod.POST, HttpMethod.DELETE):
    """Takes a model and answers one."""

    text: str

    def create(self, data: Order) -> Order:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take it."""
        return data

    def destroy(self, request: Request, pk: str) -> Response:
        """Answer nothing."""
        return Response(status_code=204)


def test_a_model_of_an_override_is_its_body() -> None:
    document = document_of({"/orders": OrderEndpoint})

    creation = document["paths"]["/orders"]["post"]
    reference = {"$ref": "#/components/schemas/Order"}
    assert creation["requestBody"]["content"]["application/json"]["schema"] == reference
    assert creation["responses"]["201"]["content"]["application/json"]["schema"] == reference
    assert set(document["paths"]["/orders/{id}"]["delete"]["responses"]) == {"204", "404", "409", "503", "default"}


class Mine(BaseFilter):
    """Reads parameters of its own."""

    parameters = ("mine",)

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> Any:
        """Keep everything."""
        return queryset


def test_the_parameters_of_an_own_filter_backend_are_shown() -> None:
    class Note(RestEndpoint):
        text: str

        class Meta:
            filtering = Filtering(backends=[Mine])

    document = document_of({"/notes": Note})

    assert set(parameters_of(document, "/notes")) == {"mine"}


def test_names_of_paths_and_classes_never_clash() -> None:
    def note() -> type[RestEndpoint]:
        class Note(RestEndpoint):
            text: str

            class Meta:
                table = f"notes_{len(made)}"

        made.append(Note)
        return Note

    made: list[type[RestEndpoint]] = []
    document = document_of({"/a/b": note(), "/a_b": note(), "/": note()})

    validate(document)
    assert document["paths"]["/a_b"]["get"]["operationId"] == "list_a_b_2"
    assert document["paths"]["/"]["get"]["operationId"] == "list_root"
    assert "/{id}" in document["paths"]


def test_public_endpoints_need_no_scheme() -> None:
    class Note(RestEndpoint):
        text: str

        class Meta:
            authentication = Authentication(permission=AllowAny)

    document = document_of({"/notes": Note})

    assert "securitySchemes" not in document["components"]


@pytest.mark.parametrize("option", ["openapi_url", "docs_url"])
@pytest.mark.parametrize("given", ["docs", "", "/", 5, "/a b"])
def test_a_page_is_at_a_path_or_nowhere(option: str, given: Any) -> None:
    with pytest.raises(ConfigurationError):
        LightApi(database_url="sqlite://", **{option: given})


def test_a_field_of_any_name_and_type_is_described() -> None:
    class Odd(RestEndpoint):
        schema_: str = Field(default="x", json_schema_extra={"x-mine": 1})
        blob: bytes
        mapping: dict[str, Any]

    document = document_of({"/odd": Odd})

    validate(document)
    assert schema_of(document, "OddCreate")["properties"]["schema_"]["x-mine"] == 1


class Problem(BaseModel):
    """A name that one of our own schemas could have."""

    code: int


class Late(BaseModel):
    """Can't be completed."""

    x: "Nowhere"  # type: ignore[name-defined]  # noqa: F821, UP037  # pyright: ignore[reportUndefinedVariable]


class Noted(RestEndpoint):
    """Uses both."""

    problem: Problem
    limit: list[float] = Field(default_factory=list, examples=[[float("inf")]])

    def list(self, request: Request) -> Late:
        """Answer something."""
        raise NotImplementedError

    class Meta:
        filtering = Filtering(backends=[Mine, Mine, SearchFilter], search=[], strict=True)


def test_names_of_users_and_ours_never_meet_and_what_has_no_schema_may_be_anything() -> None:
    app = LightApi(database_url="sqlite://")
    app.register({"/noted": Noted})
    client = TestClient(app.build_app())

    text = client.get("/openapi.json").text
    document = json.loads(text, parse_constant=pytest.fail)

    validate(document)
    assert schema_of(document, "Problem-Input")["required"] == ["code"]
    listing = document["paths"]["/noted"]["get"]
    assert listing["responses"]["200"]["content"]["application/json"]["schema"] == {}
    assert "422" in listing["responses"]
    assert [parameter["name"] for parameter in listing["parameters"]] == ["mine"]
    assert client.get("/docs").status_code == 200


@pytest.mark.parametrize("option", ["title", "version", "description"])
@pytest.mark.parametrize("given", [None, 5, "\ud800"], ids=["None", "number", "surrogate"])
def test_texts_of_the_document_are_text(option: str, given: Any) -> None:
    with pytest.raises(ConfigurationError, match=option):
        LightApi(database_url="sqlite://", **{option: given})


def test_a_backend_of_any_name_has_a_scheme() -> None:
    class Note(RestEndpoint):
        text: str

        class Meta:
            authentication = Authentication(backend=type("Ä uth", (Digest,), {}))

    validate(document_of({"/notes": Note}))
