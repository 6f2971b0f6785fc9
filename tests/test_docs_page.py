"""The documentation page: where it is, what a browser is told about it, and what our own page says."""

from __future__ import annotations

import json
import logging
import re
import shlex
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from lightapi import ConfigurationError, LightApi
from lightapi.pages.curl import example_of
from lightapi.pages.files import accepts_gzip
from lightapi.pages.html import element
from lightapi.pages.plain import plain_page
from lightapi.pages.words import text_of, type_of
from tests.support.endpoints import Book
from tests.support.hosts import Api, Client
from tests.support.mounts import in_bare_wsgi, in_django, in_fastapi, in_flask, in_starlette
from tests.support.processes import ROOT
from tests.support.rich import MAPPING, EventEndpoint, login
from tests.support.transports import AsgiTransport, WsgiTransport

everywhere = pytest.mark.engines("sqlite-sync")
on_one_host = pytest.mark.hosts("asgi")
GOOD = (200, 201, 204, 403, 404, 409)
FOREVER = "public, max-age=31536000, immutable"
EVIL = "</title></p><script src=//evil.example></script>\"'&"


def loaded(page: str) -> list[str]:
    """Return what a page loads: the URLs of its scripts and stylesheets."""
    return re.findall(r'(?:src|href)="(\./[^"]*\?v=[0-9a-f]+)"', page)


@pytest.fixture
def client(api: Api) -> Client:
    return api({"/books": Book})


class TestServed:
    """What any client gets, on every host."""

    pytestmark = everywhere

    @pytest.mark.parametrize("path", ["/docs", "/docs/"])
    def test_all_that_the_page_names_is_there(self, client: Client, path: str) -> None:
        page = client.get(path)

        assert page.headers["content-type"] == "text/html; charset=utf-8"
        urls = loaded(page.text)
        assert {Path(url).name.partition("?")[0] for url in urls} == {
            "swagger-ui-bundle.js",
            "swagger-ui.css",
            "interactive.js",
            "interactive.css",
        }
        for url in urls:
            found = client.get(page.url.join(url))
            assert (found.status_code, found.headers["cache-control"]) == (200, FOREVER)
            kind = "text/css" if ".css" in url else "text/javascript"
            assert found.headers["content-type"] == f"{kind}; charset=utf-8"
            assert found.headers["x-content-type-options"] == "nosniff"

    @pytest.mark.parametrize("path", ["/docs", "/docs/"])
    def test_the_document_is_named_as_seen_from_the_page(self, client: Client, path: str) -> None:
        page = client.get(path)

        (reference,) = re.findall(r'data-url="(.*?)"', page.text)
        assert page.url.join(reference).path == "/openapi.json"

    def test_the_policy_lets_nothing_in_from_elsewhere(self, client: Client) -> None:
        headers = client.get("/docs").headers

        assert headers["content-security-policy"] == (
            "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'; script-src 'self'; connect-src 'self'"
        )
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"

    def test_a_page_that_the_client_has_is_not_sent_again(self, client: Client) -> None:
        first = client.get("/docs")

        again = client.get("/docs", headers={"if-none-match": first.headers["etag"]})

        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert first.headers["cache-control"] == again.headers["cache-control"] == "no-cache"

    def test_head_tells_the_length(self, client: Client) -> None:
        plain = {"accept-encoding": "identity"}

        assert client.head("/docs", headers=plain).headers["content-length"] == str(
            len(client.get("/docs", headers=plain).content)
        )

    def test_the_files_of_the_other_page_are_not_there(self, client: Client) -> None:
        assert client.get("/docs/plain.css").status_code == 404

    def test_other_verbs_are_refused(self, client: Client) -> None:
        assert client.post("/docs").status_code == 405

    @pytest.mark.parametrize(("coding", "packed"), [("gzip", True), ("gzip;q=0", False)])
    def test_files_are_compressed_for_who_takes_it(self, client: Client, coding: str, packed: bool) -> None:
        url = next(url for url in loaded(client.get("/docs").text) if "bundle" in url)

        answer = client.get(url, headers={"accept-encoding": coding})

        assert answer.headers["vary"] == "Accept-Encoding"
        assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
        assert b"SwaggerUIBundle" in answer.content
        assert (int(answer.headers["content-length"]) < len(answer.content) / 3) is packed


@everywhere
@on_one_host
class TestOptions:
    """What the app was told."""

    @pytest.mark.parametrize("path", ["/openapi.json", "/healthz", "/auth/login"])
    def test_a_path_of_another_page_is_refused(self, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LIGHTAPI_JWT_SECRET", "0123456789abcdef0123456789abcdef")
        app = LightApi(database_url="sqlite://", docs_url=path)
        app.register({"/events": EventEndpoint})

        with pytest.raises(ConfigurationError, match=path):
            app.build_app()

    def test_a_file_asked_for_under_another_hash_is_not_kept(self, client: Client) -> None:
        assert client.get("/docs/interactive.js?v=0123456789abcdef").headers["cache-control"] == "no-cache"

    def test_the_page_moves(self, api: Api) -> None:
        client = api({"/books": Book}, docs_url="/about/the:api", openapi_url="/schema/v1.json")

        page = client.get("/about/the:api")

        assert [client.get(page.url.join(url)).status_code for url in loaded(page.text)] == [200] * 4
        (reference,) = re.findall(r'data-url="(.*?)"', page.text)
        assert page.url.join(reference).path == "/schema/v1.json"
        assert client.get("/docs").status_code == 404

    @pytest.mark.parametrize("options", [{"docs_url": None}, {"openapi_url": None}], ids=["docs", "document"])
    def test_the_page_is_turned_off_with_all_its_files(self, api: Api, options: dict[str, Any]) -> None:
        client = api({"/books": Book}, **options)

        assert [client.get(path).status_code for path in ("/docs", "/docs/interactive.js")] == [404, 404]

    def test_an_endpoint_of_the_same_path_has_it_for_itself(self, api: Api, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.WARNING, "lightapi")
        client = api({"/docs": Book})
        assert "an endpoint has the route /docs: LightAPI's own page of that path is not served" in caplog.text
        client.post("/docs", json={"title": "Emma", "author": "Jane Austen"})

        assert client.get("/docs").json()["results"][0]["title"] == "Emma"
        assert client.get("/docs/1").json()["title"] == "Emma"
        # An id of that endpoint, and no file of the page.
        assert client.get("/docs/interactive.js").status_code == 404

    def test_an_endpoint_in_the_place_of_a_file_leaves_no_half_page(self, api: Api) -> None:
        client = api({"/docs/plain.css": Book})

        assert client.get("/docs/plain.css").json() == {"results": []}
        assert [client.get(path).status_code for path in ("/docs", "/docs/interactive.js")] == [404, 404]

    def test_requests_may_be_tried_where_the_links_lead(self, api: Api) -> None:
        client = api({"/books": Book}, base_url="https://name:secret@api.example.com:8443/v1")

        policy = client.get("/docs").headers["content-security-policy"]

        assert policy.endswith("connect-src 'self' https://api.example.com:8443")

    def test_the_title_is_no_markup(self, api: Api) -> None:
        page = api({"/books": Book}, title=EVIL).get("/docs").text

        assert "evil.example></script>" not in page
        assert "<title>&lt;/title&gt;" in page


@pytest.mark.parametrize("mount", [in_starlette, in_fastapi, in_flask, in_django, in_bare_wsgi])
def test_the_page_is_whole_below_a_mount(mount: Callable[[LightApi], Any], tmp_path: Path, loop_thread: Any) -> None:
    app = LightApi(database_url=f"sqlite:///{tmp_path / 'test.db'}")
    app.register({"/books": Book})
    outer = mount(app)
    is_asgi = mount in (in_starlette, in_fastapi)
    transport: httpx.BaseTransport = AsgiTransport(outer, loop_thread.run) if is_asgi else WsgiTransport(outer)

    with httpx.Client(transport=transport, base_url="http://testserver") as client:
        page = client.get("/api/docs")
        files = [client.get(page.url.join(url)) for url in loaded(page.text)]

    assert [file.status_code for file in files] == [200] * 4
    assert {file.url.path.rpartition("/")[0] for file in files} == {"/api/docs"}


def test_neither_the_package_nor_flask_is_imported() -> None:
    code = """
import sys
from starlette.testclient import TestClient
from lightapi import LightApi, RestEndpoint
app = LightApi(database_url="sqlite://")
app.register({"/books": type("Book", (RestEndpoint,), {"__annotations__": {"title": str}})})
client = TestClient(app)
assert "swagger-ui-bundle.js" in client.get("/docs").text
assert client.get("/docs/swagger-ui.css").status_code == 200
print(sorted({"flask", "jinja2", "flask_swagger_ui"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("fields", "accepted"),
    [
        ([], False),
        ([""], False),
        (["gzip"], True),
        (["GZip, deflate, br"], True),
        (["br", "gzip;q=0.1"], True),
        (["gzip; Q=0"], False),
        (["gzip;q=0.000, *"], False),
        (["x-gzip"], True),
        (["*"], True),
        (["*;q=0"], False),
        (["identity"], False),
        (["gzip;q=much"], False),
        (["gzip;q=nan"], False),
        (["gzip;level=9"], False),
    ],
    ids=str,
)
def test_gzip_is_sent_to_who_accepts_it(fields: list[str], accepted: bool) -> None:
    assert accepts_gzip(fields) is accepted


DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": EVIL, "version": EVIL, "description": EVIL},
    "tags": [{"name": EVIL, "description": EVIL}],
    "paths": {
        "/books/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
            "patch": {
                "operationId": "change",
                "tags": [EVIL],
                "summary": EVIL,
                "description": EVIL,
                "security": [{"token": []}],
                "parameters": [
                    {"name": EVIL, "in": "query", "description": EVIL, "schema": {"enum": [EVIL], "default": EVIL}}
                ],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Book"}}}},
                "responses": {"200": {"description": EVIL}, "409": {"$ref": "#/components/responses/Stale"}},
            },
        },
    },
    "components": {
        "responses": {"Stale": {"description": "stale"}},
        "schemas": {
            "Book": {
                "description": EVIL,
                "required": ["version"],
                "type": "object",
                "properties": {
                    "title": {"type": "string", "description": EVIL, "pattern": EVIL, "examples": [EVIL]},
                    "version": {"type": "integer", "minimum": 1},
                },
            }
        },
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    },
}


@pytest.fixture(scope="module")
def page() -> str:
    """Give our own page, from a document made by hand."""
    return plain_page(DOCUMENT, sheet="./plain.css", openapi="./openapi.json", site="http://localhost:8000").decode()


class TestPlainPage:
    """Our own page, from a document full of markup."""

    def test_text_is_never_markup(self, page: str) -> None:
        assert "<script" not in page
        assert page.count("&lt;script") > 10

    def test_it_says_what_an_operation_takes_and_answers(self, page: str) -> None:
        (article,) = re.findall(r'<article id="change">.*?</article>', page, re.DOTALL)

        text = re.sub(r"<[^>]*>", " ", article)
        assert "a bearer token" in text
        for part in ("PATCH", "/books/{id}", "integer", "required", "200", "409", "stale"):
            assert part in text
        assert 'href="#schema-Book"' in article

    def test_anchors_lead_somewhere(self, page: str) -> None:
        targets = set(re.findall(r'href="#(.*?)"', page))

        assert targets == {"change", "schema-Book"}
        assert all(f'id="{target}"' in page for target in targets)

    def test_the_curl_line_survives_the_shell(self, page: str) -> None:
        (line,) = re.findall(r"<pre><code>(.*?)</code></pre>", page, re.DOTALL)

        words = shlex.split(unescape(line))
        assert words[:3] == ["curl", "-X", "PATCH"]
        assert words[-1] == "http://localhost:8000/books/1"
        assert EVIL in json.loads(words[words.index("-d") + 1])["title"]

    def test_it_names_the_extra(self, page: str) -> None:
        assert "pip install &quot;lightapi[docs]&quot;" in page


@everywhere
@on_one_host
def test_the_curl_lines_are_understood(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", "0123456789abcdef0123456789abcdef")
    client = api(MAPPING, login_validator=login)
    token = client.post("/auth/login", json={"username": "ada", "password": "open sesame"}).json()["token"]
    known = {
        "$TOKEN": token,
        "$NAME": "ada",
        "$PASSWORD": "open sesame",
        '"password": "text"': '"password": "open sesame"',
    }
    made = plain_page(client.app.openapi(), sheet="./plain.css", openapi="./openapi.json", site="").decode()
    lines = [unescape(line) for line in re.findall(r"<pre><code>(.*?)</code></pre>", made, re.DOTALL)]

    answers = {line: client.send(asked(client, line, known)) for line in lines}

    assert len(answers) > 15
    # A row that is not there, or not in that version, is no mistake of the line; nor is a verb that nobody may call.
    assert [(line, answer.text) for line, answer in answers.items() if answer.status_code not in GOOD] == []


def asked(client: Client, line: str, known: dict[str, str]) -> httpx.Request:
    """Return the request that a curl line sends."""
    for name, value in known.items():
        line = line.replace(name, value)
    method, content, headers = "GET", None, {}
    words = shlex.split(line)
    for flag, value in pairwise(words):
        if flag == "-X":
            method = value
        elif flag == "-d":
            content = value
        elif flag == "-u":
            headers["Authorization"] = f"Basic {b64encode(value.encode()).decode()}"
        elif flag == "-H":
            name, _, text = value.partition(": ")
            headers[name] = text
    return client.build_request(method, words[-1], content=content, headers=headers)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (True, "anything"),
        (False, "nothing"),
        ({"type": ["string", "null"]}, "string or null"),
        ({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}, "integer (≥\N{NO-BREAK SPACE}1) or null"),
        ({"type": "array", "items": {"type": "string", "format": "uuid"}}, "array of string (uuid)"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "object of number"),
        ({"type": "object", "additionalProperties": True}, "object"),
        ({"type": "object", "properties": {"a": {"type": "boolean"}}}, "{a: boolean}"),
        ({"enum": ["a", 1]}, "<code>&quot;a&quot;</code> or <code>1</code>"),
        ({"const": None}, "<code>null</code>"),
        ({"$ref": "#/components/schemas/A B"}, '<a href="#schema-A%20B">A B</a>'),
        ({}, "anything"),
    ],
    ids=str,
)
def test_types_in_words(schema: Any, said: str) -> None:
    assert type_of(schema) == said


@pytest.mark.parametrize(
    ("description", "said"),
    [("`a` is <b>", "<code>a</code> is &lt;b&gt;"), ("an ` alone", "an ` alone"), ("", "")],
    ids=["closed", "open", "none"],
)
def test_backquotes_are_code(description: str, said: str) -> None:
    assert text_of(description) == said


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "exclusiveMinimum": 9}, 10),
        ({"type": "number", "exclusiveMaximum": 0}, -1),
        ({"type": "string", "minLength": 6}, "textxx"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "pattern": r"^\d+$"}, "1"),
        ({"type": "string", "pattern": r"\p{Greek}"}, "text"),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, True),
        ({"type": "string", "examples": ["Ada"]}, "Ada"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        (
            {"type": "object", "properties": {"a": {"type": "null"}, "b": {"enum": ["x"]}}, "required": ["b"]},
            {"b": "x"},
        ),
        ({"$ref": "#/components/schemas/Node"}, {"next": {"next": {"next": None}}}),
    ],
    ids=str,
)
def test_examples_are_made_up_from_schemas(schema: Any, value: Any) -> None:
    node = {"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#/components/schemas/Node"}}}
    document = {"components": {"schemas": {"Node": node}}}

    made = example_of(schema, document)

    assert made == value


def test_attributes_are_escaped_too() -> None:
    assert element("a", "<", href='"<') == '<a href="&quot;&lt;">&lt;</a>'
