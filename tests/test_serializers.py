"""``Meta.serializer``: what answers show, verb by verb; what is selected for them; and that input is never limited."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import pytest
from sqlalchemy import event, func, select
from starlette.requests import Request

from lightapi import (
    ConfigurationError,
    Field,
    Filtering,
    LightApi,
    Pagination,
    RestEndpoint,
    Serializer,
)
from tests.support.hosts import Api, Client

KEYS = ["id", "name", "secret", "version", "created_at", "updated_at"]
SENT = {"name": "n", "secret": "s"}


class PublicSerializer(Serializer):
    """Form 4 of the specification."""

    read = ["id", "name", "created_at"]  # noqa: RUF012  written as in the specification
    write = ["id", "name"]  # noqa: RUF012


class NameSerializer(Serializer):
    """The same for every verb, as an attribute."""

    fields: ClassVar[Any] = ("name",)


class PublicChild(PublicSerializer):
    """Takes one half over, changes the other."""

    write = ["version"]  # noqa: RUF012


class Note(RestEndpoint):
    """Form 1: everything is shown."""

    name: str = Field(min_length=1)
    secret: str = "hidden"


def showing(serializer: Any, **options: Any) -> type[RestEndpoint]:
    """Return an endpoint with this serializer."""
    return type("Shown", (Note,), {"Meta": type("Meta", (), {"serializer": serializer, **options})})


FORMS: dict[str, tuple[Any, list[str], list[str]]] = {
    "default": (Serializer(), KEYS, KEYS),
    "fields": (Serializer(fields=["id", "name"]), ["id", "name"], ["id", "name"]),
    "positional": (Serializer(["name"]), ["name"], ["name"]),
    "read and write": (Serializer(read=["id", "name"], write=["version"]), ["id", "name"], ["version"]),
    "read only": (Serializer(read=["name"]), ["name"], KEYS),
    "write only": (Serializer(write=("id", "version")), KEYS, ["id", "version"]),
    "class": (PublicSerializer, ["id", "name", "created_at"], ["id", "name"]),
    "instance of a class": (PublicSerializer(), ["id", "name", "created_at"], ["id", "name"]),
    "fields of a class": (NameSerializer, ["name"], ["name"]),
    "class of a class": (PublicChild, ["id", "name", "created_at"], ["version"]),
    "arguments win": (PublicSerializer(fields=["secret"]), ["secret"], ["secret"]),
    "order of the fields": (Serializer(fields=["updated_at", "name", "id"]), ["id", "name", "updated_at"], []),
}


def keys(client: Client, path: str = "/notes") -> tuple[list[str], list[str]]:
    """Return what reading verbs show, and what writing verbs show, when all of a kind agree."""
    written = client.post(path, json=SENT)
    item = written.headers["location"]
    reads = [client.get(path).json()["results"][0], client.get(item).json()]
    writes = [
        written.json(),
        client.put(item, json=SENT | {"version": 1}).json(),
        client.patch(item, json={"version": 2}).json(),
    ]
    assert list(reads[0]) == list(reads[1])
    assert list(writes[0]) == list(writes[1]) == list(writes[2])
    return list(reads[0]), list(writes[0])


# on every host and engine


@pytest.mark.parametrize("form", ["default", "fields", "read and write", "class"])
def test_the_four_forms_shape_answers(api: Api, form: str) -> None:
    serializer, read, write = FORMS[form]
    client = api({"/notes": showing(serializer)})

    assert keys(client) == (read, write)


def test_input_is_never_limited(api: Api) -> None:
    client = api({"/notes": showing(Serializer(read=["id", "secret"], write=["id"]))})

    item = client.post("/notes", json=SENT).headers["location"]
    created = client.get(item).json()["secret"]
    client.patch(item, json={"secret": "patched", "version": 1})
    patched = client.get(item).json()["secret"]
    client.put(item, json={"name": "n", "secret": "put", "version": 2})

    assert [created, patched, client.get(item).json()["secret"]] == ["s", "patched", "put"]
    assert client.patch(item, json={"secret": "x"}).json()["detail"][0]["loc"] == ["version"]
    assert client.patch(item, json={"secret": "x", "version": 2}).status_code == 409
    assert client.post("/notes", json={}).json()["detail"][0]["loc"] == ["name"]


# declarations


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync", "postgres-sync")
@pytest.mark.parametrize("form", FORMS)
def test_every_form_shows_what_it_names(api: Api, form: str) -> None:
    serializer, read, write = FORMS[form]
    client = api({"/notes": showing(serializer)})

    assert keys(client) == (read, write or read)


class Parent(Note):
    """Shows little."""

    class Meta:
        serializer = PublicSerializer


FORBIDDING = {"extra": "forbid"}
INHERITED = {
    "itself": Parent,
    "no Meta": type("Child", (Parent,), {}),
    "a Meta about something else": type("Child", (Parent,), {"Meta": type("Meta", (), FORBIDDING)}),
    "a Meta of its Meta": type("Child", (Note,), {"Meta": type("Meta", (Parent.Meta,), FORBIDDING)}),
}


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("endpoint", INHERITED.values(), ids=INHERITED)
def test_a_serializer_is_inherited(api: Api, endpoint: type[RestEndpoint]) -> None:
    assert keys(api({"/notes": endpoint})) == (["id", "name", "created_at"], ["id", "name"])


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
def test_a_subclass_may_have_a_serializer_of_its_own(api: Api) -> None:
    child = type("Child", (Parent,), {"Meta": type("Meta", (Parent.Meta,), {"serializer": Serializer()})})

    assert keys(api({"/parents": Parent, "/notes": child})) == (KEYS, KEYS)


@pytest.mark.parametrize(
    ("serializer", "said"),
    [
        (Serializer(fields=["id", "nmae"]), ["Shown.Meta.serializer", "'nmae'", "id, name, secret", "mean 'name'?"]),
        (Serializer(read=["secrets"]), ["Shown.Meta.serializer", "read", "'secrets'", "did you mean 'secret'?"]),
        (Serializer(write=["Version"]), ["Shown.Meta.serializer", "write", "'Version'", "did you mean 'version'?"]),
        (Serializer(fields=["letters"]), ["'letters'", "allowed: "]),
    ],
    ids=["fields", "read", "write", "label"],
)
def test_an_unknown_name_is_refused_at_registration(serializer: Serializer, said: list[str]) -> None:
    app = LightApi(database_url="sqlite://")

    with pytest.raises(ConfigurationError) as caught:
        app.register({"/notes": showing(serializer)})

    assert [part for part in said if part not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fields": ["id"], "read": ["id"]}, "fields together with read or write"),
        ({"fields": ["id"], "write": ["id"]}, "fields together with read or write"),
        ({"fields": "name"}, r"Serializer\(.*\): 'name' given; allowed: a list of field names"),
        ({"read": []}, r"Serializer\(read=...\): \[\] given; allowed"),
        ({"write": [1]}, r"Serializer\(write=...\): \[1\] given; allowed"),
        ({"write": {"id": True}}, r"Serializer\(write=...\)"),
        ({"read": ["id", "id"]}, "'id' is named twice"),
    ],
)
def test_a_wrong_option_is_refused_at_once(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Serializer(**options)


class Mixed(PublicSerializer):
    """Both forms at once."""

    fields: ClassVar[Any] = ["id"]


@pytest.mark.parametrize("given", [Mixed, ["id"], Note, "PublicSerializer", None])
def test_meta_takes_nothing_but_one_good_serializer(given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"serializer|Mixed"):
        showing(given)


# what is selected

Heard = Callable[[], AbstractContextManager[list[str]]]


@pytest.fixture
def listen(engine_kind: str, request: pytest.FixtureRequest) -> Callable[[Client], Heard]:
    """Give a function that hears every statement of a client: in the database's own log where it has one."""
    if engine_kind.startswith("postgres"):
        log = request.getfixturevalue("postgres_log")
        return lambda client: log.statements

    def heard(client: Client) -> Heard:
        everything: list[str] = []
        engine = getattr(client.engine, "sync_engine", client.engine)
        event.listen(engine, "before_cursor_execute", lambda *said: everything.append(said[2]))

        @contextlib.contextmanager
        def statements() -> Iterator[list[str]]:
            everything.clear()
            yield everything

        return statements

    return heard


SELECTED: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "list": ("GET", "/notes", None),
    "filtered list": ("GET", "/notes?secret=s&search=s&ordering=secret", None),
    "retrieve": ("GET", "/notes/1", None),
    "create": ("POST", "/notes", {"name": "m"}),
    "put": ("PUT", "/notes/1", {"name": "m", "version": 1}),
    "patch": ("PATCH", "/notes/1", {"name": "m", "version": 1}),
}


@pytest.mark.hosts("asgi")
@pytest.mark.parametrize("case", SELECTED.values(), ids=SELECTED)
def test_only_what_is_answered_is_selected(
    api: Api, listen: Callable[[Client], Heard], case: tuple[str, str, dict[str, Any] | None]
) -> None:
    filtering = Filtering(fields=["secret"], search=["secret"], ordering=["secret"])
    client = api({"/notes": showing(Serializer(fields=["id", "name"]), filtering=filtering)})
    client.post("/notes", json=SENT)
    method, url, body = case

    with listen(client)() as statements:
        answer = client.request(method, url, json=body)

    assert answer.status_code in (200, 201)
    (statement,) = [said for said in statements if not said.startswith(("PRAGMA", "BEGIN", "COMMIT"))]
    answered = statement.partition("RETURNING")[2] or statement.partition(" \nFROM")[0]
    assert "name" in answered
    assert not any(hidden in answered for hidden in ("secret", "created_at", "updated_at", "version"))


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync", "postgres-async")
@pytest.mark.parametrize("style", ["page_number", "limit_offset", "cursor"])
def test_pages_show_what_the_serializer_names(api: Api, style: Any) -> None:
    pagination, filtering = Pagination(style=style, page_size=2), Filtering(ordering=["secret"])
    client = api({"/notes": showing(Serializer(fields=["name"]), pagination=pagination, filtering=filtering)})
    for number in range(5):
        client.post("/notes", json={"name": str(number), "secret": str(9 - number)})

    answer = client.get("/notes?ordering=secret")
    found = answer.json()["results"]
    while "next" in answer.links:
        answer = client.get(answer.links["next"]["url"])
        found += answer.json()["results"]

    assert found == [{"name": name} for name in "43210"]


@pytest.mark.hosts("asgi", "wsgi-direct")
@pytest.mark.engines("sqlite-sync", "postgres-async")
def test_location_is_right_when_the_key_is_not_answered(api: Api) -> None:
    client = api({"/notes": showing(Serializer(fields=["name"]))})
    client.post("/notes", json=SENT)

    second = client.post("/notes", json={"name": "second"})

    assert (second.headers["location"], second.json()) == ("/notes/2", {"name": "second"})
    assert client.get("/notes/2").json() == {"name": "second"}


# querysets and hooks


class Labelled(Note):
    """A queryset that adds labels, one of them named like a field that is not shown."""

    def queryset(self, request: Request) -> Any:
        model: Any = type(self)._model_class
        return select(model, func.length(model.name).label("letters"), func.upper(model.name).label("secret"))

    class Meta:
        serializer = Serializer(fields=["id", "name"])
        pagination = Pagination()


class Partial(Note):
    """A queryset of some columns, of which one is not shown."""

    def queryset(self, request: Request) -> Any:
        model: Any = type(self)._model_class
        return select(model.name, model.secret, model.id).order_by(model.id.desc())

    class Meta:
        serializer = Serializer(fields=["id", "name", "created_at"])


@pytest.mark.hosts("asgi", "wsgi-direct")
def test_labels_of_a_queryset_appear_in_lists(api: Api) -> None:
    client = api({"/labelled": Labelled, "/partial": Partial})
    for path in ("/labelled", "/partial"):
        client.post(path, json={"name": "abc"})

    assert client.get("/labelled").json()["results"] == [{"id": 1, "name": "abc", "letters": 3, "secret": "ABC"}]
    assert client.get("/labelled/1").json() == {"id": 1, "name": "abc"}
    assert client.get("/partial").json()["results"] == [{"id": 1, "name": "abc"}]


def note(**values: Any) -> Any:
    """Return an entity that no database has seen."""
    model: Any = Hooked
    return model(**values)


class Hooked(Note):
    """Hooks that return entities, and hooks that call their base."""

    def list(self, request: Request) -> Any:
        if "super" in request.query_params:
            return super().list(request)
        return [note(id=7, name="one", secret="s"), note(id=8, name="two", secret="s")]

    def retrieve(self, request: Request, pk: Any) -> Any:
        return {"found": note(id=int(pk), name="one", secret="s")}

    def create(self, data: Any) -> Any:
        return super().create(data) if data["name"] == "super" else note(id=9, version=3, **data)

    async def update(self, data: Any, pk: Any, partial: bool = False) -> Any:
        return note(id=int(pk), name="one", version=4)

    class Meta:
        serializer = Serializer(read=["id", "name"], write=["version"])


@pytest.mark.hosts("asgi", "wsgi-direct")
@pytest.mark.engines("sqlite-sync", "postgres-async")
def test_entities_that_hooks_return_are_shaped_too(api: Api) -> None:
    client = api({"/notes": Hooked})

    assert client.get("/notes").json() == [{"id": 7, "name": "one"}, {"id": 8, "name": "two"}]
    assert client.get("/notes/3").json() == {"found": {"id": 3, "name": "one"}}
    assert client.post("/notes", json=SENT).json() == {"version": 3}
    assert client.patch("/notes/3", json={"version": 1}).json() == {"version": 4}


@pytest.mark.hosts("asgi", "wsgi-direct")
@pytest.mark.engines("sqlite-sync", "postgres-async")
def test_what_the_base_answers_to_a_hook_is_shaped(api: Api) -> None:
    client = api({"/notes": Hooked})

    created = client.post("/notes", json={"name": "super"})

    assert (created.json(), created.headers["location"]) == ({"version": 1}, "/notes/1")
    assert client.get("/notes?super=1").json() == {"results": [{"id": 1, "name": "super"}]}


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync", "postgres-async")
@pytest.mark.parametrize("form", ["fields", "read and write", "class"])
def test_endpoints_with_listeners_show_the_same(api: Api, form: str) -> None:
    serializer, read, write = FORMS[form]
    endpoint = showing(serializer)
    heard: list[str] = []

    def listen_to(app: LightApi) -> None:
        event.listen(endpoint, "before_insert", lambda mapper, connection, entity: heard.append(entity.secret))

    assert keys(api({"/notes": endpoint}, prepare=listen_to)) == (read, write)
    assert heard == ["s"]


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync", "postgres-sync")
def test_head_and_get_agree(api: Api) -> None:
    client = api({"/notes": showing(Serializer(fields=["name"]))})
    item = client.post("/notes", json=SENT).headers["location"]

    assert client.head(item).headers["content-length"] == str(len(client.get(item).content))
