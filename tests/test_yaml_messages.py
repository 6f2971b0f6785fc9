"""What is said of wrong YAML files: everything, with file, line and column, and never a secret or a traceback."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from lightapi import ConfigurationError, LightApi
from lightapi.cli.main import main
from lightapi.declarative.json_schema import json_schema
from lightapi.declarative.load import problems_in

WRONG = """\
database: { url: "sqlite://" }
defaults:
  authentication: { backend: JWTAuthenticaton }
  paginaton: { page_size: 5 }
endpoints:
  - route: /products
    fields:
      name: { type: strr, max_lenght: 200 }
      price: { type: float }
      price: { type: int }
      id: { type: int }
    meta:
      methods: [GET, PSOT]
  - route: /products
    fields: { a: { type: str, min_length: -1 } }
  - rout: /x
  - { route: /y, class: "nowhere.main:Thing" }
  - route: /z
    fields: { b: { type: str } }
    meta: { filtering: { fields: [c] } }
titel: Shop
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lightapi.yaml"


def told(file: Path, text: str) -> str:
    """Return what loading a text says."""
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        LightApi.from_config(file)
    return str(caught.value)


def test_every_problem_is_told_at_once_where_it_stands(file: Path) -> None:
    message = told(file, WRONG)

    places = [line.split(": ")[0:2] for line in message.splitlines() if line.startswith(str(file))]
    assert [(place.removeprefix(f"{file}:"), path) for place, path in places] == [
        ("3:30", "defaults.authentication.backend"),
        ("4:3", "defaults.paginaton"),
        ("8:21", "endpoints[0].fields.name.type"),
        ("8:27", "endpoints[0].fields.name.max_lenght"),
        ("10:7", "endpoints[0].fields.price"),
        ("11:11", "endpoints[0].fields.id"),
        ("13:22", "endpoints[0].meta.methods[1]"),
        ("14:12", "endpoints[1].route"),
        ("15:43", "endpoints[1].fields.a.min_length"),
        ("16:5", "endpoints[2]"),
        ("16:5", "endpoints[2].rout"),
        ("17:25", "endpoints[3].class"),
        ("20:35", "endpoints[4].meta.filtering.fields[0]"),
        ("21:1", "titel"),
    ]
    for hint in ("JWTAuthentication", "pagination", "max_length", "POST", "route", "title"):
        assert f"did you mean '{hint}'?" in message


def test_each_shows_its_line_and_a_caret(file: Path) -> None:
    message = told(file, "database: { url: 'sqlite://' }\nendpoints:\n  - route: /x\n    feilds: {}\n")

    allowed = "route, class, name, description, fields, reflect, table, meta"
    assert message.splitlines() == [
        f"{file}:4:5: endpoints[0].feilds: unknown key; allowed: {allowed}; did you mean 'fields'?",
        "      feilds: {}",
        "      ^",
    ]


PAIRS = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "f")]
BROKEN = {
    "empty": ("", "the file is empty"),
    "comment": ("# nothing\n", "the file is empty"),
    "list": ("- a\n", "a list given; allowed: a mapping"),
    "text": ("hello\n", "text given; allowed: a mapping"),
    "syntax": ("a: [1, 2\nb: 3\n", ":2:2: no valid YAML"),
    "tab": ("a:\n\tb: 1\n", "indent with spaces"),
    "tag": ("a: !!python/object/apply:os.system ['true']\n", "is not allowed; leave it out"),
    "control": ("a: \x01\n", "is not allowed in YAML"),
    "documents": ("a: 1\n---\nb: 2\n", "a second document"),
    "alias": ("a: *b\n", "names no anchor"),
    "recursive": ("a: &x [*x]\n", "stands inside what it names"),
    "key": ("? [a]\n: 1\n", "can't be a key"),
    "deep": ("a: " + "[" * 60 + "]" * 60 + "\n", "levels deep"),
    "laughs": (
        "x-a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(f"x-{y}: &{y} [{','.join([f'*{x}'] * 10)}]\n" for x, y in PAIRS),
        "once the aliases are written out",
    ),
    "verbs": ("endpoints: [{ route: /x, fields: {}, meta: { methods: GET } }]", "a list of verbs"),
    "boolean": ("create_tables: yes please\n", "true or false expected"),
    "word": ("create_tables: yes\n", "write true"),
    "reflect": (
        "endpoints: [{ route: /x, reflect: yes }]\n",
        "one of true, false, 'partial' expected; 'yes' given; write true, without quotes",
    ),
    "short field": ("endpoints: [{ route: /x, fields: { name: str } }]\n", "write { type: str }"),
    "number": ("title: 5\n", "put it into quotes"),
    "route": ("endpoints: [{ route: x, fields: {} }]\n", "a path, as in /books"),
    "formula": (
        "endpoints: [{ route: /x, fields: {}, meta: { authentication: { permission: 'AllowAny &' } } }]\n",
        "can't be read at the end",
    ),
    "default": ("endpoints: [{ route: /x, fields: { a: { type: int, default: b } } }]\n", "the default 'b'"),
    "table": (
        "endpoints: [{ route: /x, reflect: true, table: nothing }]\n",
        "table 'nothing' does not exist",
    ),
    "names": (
        "endpoints: [{ route: /a-b, fields: {} }, { route: /a_b, fields: {} }]\n",
        "makes the class 'ABEndpoint'",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_told_with_a_place(file: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_DATABASE_URL", "sqlite://")
    text, reason = BROKEN[kind]

    message = told(file, text)

    assert message.startswith(f"{file}:")
    assert reason in message


def test_what_is_no_file_or_no_text_is_told(file: Path, tmp_path: Path) -> None:
    file.write_bytes(b"title: \xff\n")

    for path, reason in ((file, "no UTF-8"), (tmp_path, "can't be read"), (tmp_path / "no.yaml", "no such file")):
        with pytest.raises(ConfigurationError, match=reason):
            LightApi.from_config(path)


def test_unset_variables_are_told(file: Path) -> None:
    message = told(file, 'database: { url: "${NO_SUCH}" }\ntitle: "${NO SUCH}"\nversion: "${HOMEE}"\n')

    assert f"{file}:1:18: database.url: the environment variable 'NO_SUCH' is not set" in message
    assert f"{file}:2:8: title: '${{NO SUCH}}' given; allowed:" in message
    assert "No database" not in message


@pytest.mark.parametrize(
    "line",
    [
        'database: { url: "postgresql+nodriver://me:hunter22@localhost/x" }',
        'database: { url: "${SECRET_URL}" }',
        'database: { url: "sqlite://" }\nmax_body_size: "${SECRET_TEXT}"',
        'base_url: "x${SECRET_TEXT}x"',
        'max_body_size: "${SECRET_WORDS}"',
        'defaults: { authentication: { permission: "AllowAny & ${SECRET_WORDS}" } }',
        'database: { url: "foo://me:correct hunter22@localhost/x" }',
        "password: correct hunter22",
        "database: {url: postgresql://me:correct: hunter22@localhost/x}",
        'database: { url: "sqlite://", password: hunter22 }',
        'database: { url: "postgresql+nodriver://me:a\'hunter22@localhost/x" }',
    ],
    ids=["url", "variable", "text", "inside", "words", "formula", "space", "unknown", "syntax", "key", "quote"],
)
def test_no_secret_is_shown(file: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_URL", "postgresql+nodriver://me:hunter22@localhost/x")
    monkeypatch.setenv("SECRET_TEXT", "hunter22")
    monkeypatch.setenv("SECRET_WORDS", "correct hunter22")
    monkeypatch.setenv("LIGHTAPI_DATABASE_URL", "sqlite://")

    assert "hunter22" not in told(file, f"{line}\n")


def test_the_command_shows_problems_and_ends_with_2(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(WRONG)
    assert main(["config", "check", str(file)]) == 2
    assert capsys.readouterr().out.count(f"{file}:") == 14

    file.write_text("database: { url: 'sqlite://' }\nendpoints: [{ route: /x, fields: {} }]\n")
    assert main(["config", "check", str(file)]) == 0


def test_a_check_finds_what_only_the_start_would(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIGHTAPI_JWT_SECRET", raising=False)
    file.write_text(
        "database: { url: 'sqlite://' }\n"
        "endpoints: [{ route: /x, fields: {}, meta: { authentication: { backend: JWTAuthentication } } }]\n"
    )

    (problem,) = problems_in(file, LightApi)

    assert problem.startswith(f"{file}:2:")
    assert "set LIGHTAPI_JWT_SECRET" in problem


def test_the_schema_is_printed_and_takes_the_files_that_load(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    validator = jsonschema_rs.Draft202012Validator(schema)
    example = (Path(__file__).parent.parent / "examples" / "lightapi.yaml").read_text()

    assert validator.is_valid(yaml.safe_load(example))
    assert not validator.is_valid(yaml.safe_load(WRONG))
    assert schema["properties"]["endpoints"]["items"]


@pytest.mark.parametrize("kind", ["verbs", "boolean", "number", "route"])
def test_the_schema_refuses_what_has_a_wrong_shape(kind: str) -> None:
    assert not jsonschema_rs.Draft202012Validator(json_schema()).is_valid(yaml.safe_load(BROKEN[kind][0]))


def assert_loaded_or_refused(file: Path) -> None:
    """Nothing but a ConfigurationError that names the file may be raised."""
    try:
        LightApi.from_config(file, database_url="sqlite://")
    except ConfigurationError as error:
        message = str(error)
    else:
        message = str(file)
    assert message.startswith(str(file))


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(["", "GET", "/x", "str", "${X}", "a:b"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.sampled_from(["route", "fields", "type", "meta", "methods", "authentication", "GET", "name", "class"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["endpoints", "defaults", "auth", "middleware", "title"]), VALUES))
def test_no_document_is_anything_but_loaded_or_refused(file: Path, document: dict[str, Any]) -> None:
    entry = {"route": "/ok", **document["endpoints"]} if isinstance(document.get("endpoints"), dict) else None
    file.write_text(yaml.safe_dump({**document, **({"endpoints": [entry]} if entry else {})}))

    assert_loaded_or_refused(file)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="ab: -[]{}&*!'\"\n\t#|>%@`\x00é${}", max_size=40))
def test_no_text_is_anything_but_loaded_or_refused(file: Path, text: str) -> None:
    file.write_text(text, newline="")

    assert_loaded_or_refused(file)


PARTS = """
from lightapi import RestEndpoint
five = 5
text = "x"
def login(username, password): ...
class Plain:
    def has_permission(self, request):
        return True
"""
AUTH = "endpoints: [{{ route: /x, fields: {{}}, meta: {{ authentication: {{ permission: '{}' }} }} }}]"
FIELD = "endpoints: [{{ route: /x, fields: {{ {} }} }}]"
NAMED = {
    "routes": ("routes: parts:five", "routes", "allowed: a list of"),
    "route": ("routes: parts:text", "routes", "allowed: a list of"),
    "asgi": ("asgi_middleware: parts:five", "asgi_middleware", "allowed: a list of"),
    "lifespan": ("lifespan: parts:five", "lifespan", "allowed: an async context manager"),
    "and": (AUTH.format("parts:text & parts:text"), "endpoints[0].meta.authentication.permission", "no method"),
    "not": (AUTH.format("~parts:login"), "endpoints[0].meta.authentication.permission", "no method"),
    "long": (AUTH.format("~" * 5000 + "AllowAny"), "endpoints[0].meta.authentication.permission", "5001 words"),
    "base": (
        FIELD.format("a: { type: str, sa_type: TypeEngine }"),
        "endpoints[0].fields.a.sa_type",
        "can't be a column",
    ),
    "list": (
        FIELD.format("a: { type: str, sa_type: 'String([1])' }"),
        "endpoints[0].fields.a.sa_type",
        "numbers, text",
    ),
    "twice": (
        "auth: { auth_path: /a }\nauth_path: /b",
        "auth_path",
        "stands in auth.auth_path, too; say it once",
    ),
    "validator": ("login_validator: parts:nothing", "login_validator", "has no 'nothing'"),
    "middlewares": ("middlewares: [parts:nothing]", "middlewares[0]", "has no 'nothing'"),
    "middleware": ("middleware: [CORSMidleware]", "middleware[0]", "did you mean 'CORSMiddleware'?"),
    "page": (
        "default_pagination: { page_size: 5, max_page_size: 2 }",
        "default_pagination.max_page_size",
        "max_page_size",
    ),
    "misplaced": ("authentication: { backend: JWTAuthentication }", "authentication", "did you mean 'default_auth"),
    "pattern": (FIELD.format("a: { type: str, pattern: '(' }"), "endpoints[0].fields.a", "unclosed group"),
    "bound": (FIELD.format("a: { type: int, gt: [1] }"), "endpoints[0].fields.a.gt", "allowed: a number"),
    "private": (FIELD.format("_a: { type: str }"), "endpoints[0].fields._a", "begins with a letter"),
    "special": (FIELD.format("__init__: { type: str }"), "endpoints[0].fields.__init__", "begins with a letter"),
    "config": (FIELD.format("model_config: { type: str }"), "endpoints[0].fields.model_config", "use another name"),
    "taken": (FIELD.format("list: { type: str }"), "endpoints[0].fields.list", "is an attribute of RestEndpoint"),
    "operator": (
        "endpoints: [{ route: /x, fields: { a: { type: str } }, meta: { filtering: { fields: { a: [exat] } } } }]",
        "endpoints[0].meta.filtering.fields.a",
        "did you mean 'exact'?",
    ),
    "verb": (
        "endpoints: [{ route: /x, fields: {}, meta: { methods: { PSOT: } } }]",
        "endpoints[0].meta.methods.PSOT",
        "did you mean 'POST'?",
    ),
}


@pytest.mark.parametrize("kind", NAMED)
def test_what_does_not_fit_is_told_once_where_it_stands(file: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (file.parent / "parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(file.parent)
    monkeypatch.delitem(sys.modules, "parts", raising=False)
    monkeypatch.setenv("LIGHTAPI_DATABASE_URL", "sqlite://")
    text, path, reason = NAMED[kind]

    (first, *_) = lines = [line for line in told(file, text).splitlines() if line.startswith(str(file))]
    assert len(lines) == 1
    assert first.split(": ")[1] == path
    assert reason in first


def test_an_argument_that_is_none_is_no_fault_of_the_file(file: Path) -> None:
    file.write_text("database: { url: 'sqlite://' }\nendpoints: []\n")
    with pytest.raises(ConfigurationError, match=r"^LightApi: unknown option 'nope'"):
        LightApi.from_config(file, nope=1)


def test_permissions_without_operators_of_their_own_combine(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file.parent / "parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(file.parent)
    monkeypatch.delitem(sys.modules, "parts", raising=False)
    file.write_text(AUTH.format("parts:Plain | ~parts:Plain & parts:Plain"))

    (row, *_) = LightApi.from_config(file, database_url="sqlite://").describe()
    assert row.permission == "(Plain | (~Plain & Plain))"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite+aiosqlite://"])
def test_what_only_the_start_finds_is_told_where_it_stands(file: Path, url: str) -> None:
    text = FIELD.format("a: { type: int, foreign_key: nope.id }")
    file.write_text(f"database: {{ url: '{url}' }}\n{text}")
    app = LightApi.from_config(file)

    with pytest.raises(ConfigurationError) as caught, TestClient(app.build_app()):
        pass
    (first, *_) = str(caught.value).splitlines()
    assert first.startswith(f"{file}:2:{text.index('nope') + 1}: endpoints[0].fields.a.foreign_key: ")
    assert "there is no table 'nope'" in first


def test_an_endpoint_on_the_logins_route_is_told_where_it_stands(file: Path) -> None:
    file.write_text(
        "database_url: 'sqlite://'\n"
        "endpoints: [{ route: /auth/login, fields: {}, meta: { authentication: { backend: BasicAuthentication } } }]\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        LightApi.from_config(file).build_app()
    assert str(caught.value).startswith(f"{file}:2:22: endpoints[0].route: route '/auth/login' is the login's")


def test_what_only_the_start_finds_beside_is_told_with_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIGHTAPI_JWT_SECRET", raising=False)
    file.write_text(
        "database: { url: 'sqlite://' }\n"
        "endpoints:\n"
        "  - { route: /x, fields: { a: { type: int, foreign_key: nope.id } } }\n"
        "  - { route: /y, fields: {}, meta: { authentication: { backend: JWTAuthentication } } }\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        LightApi.from_config(file).build_app()
    first, second = caught.value.problems
    assert first.startswith(f"{file}:3:")
    assert second.startswith(f"{file}:4:")
    assert str(caught.value) == f"{first}\n{second}"


def test_looking_for_a_table_makes_no_database(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("database: { url: 'sqlite:///no.db' }\nendpoints: [{ route: /x, reflect: true, table: t }]\n")

    assert main(["config", "check", str(file)]) == 2
    assert "endpoints[0].table: XEndpoint: table 't' does not exist: there is no file" in capsys.readouterr().out
    assert [each.name for each in file.parent.iterdir()] == [file.name]
