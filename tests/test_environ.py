"""A WSGI environ becomes an ASGI scope and a body, or a 400 that says what is wrong."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from lightapi.adapters.environ import Body, build_scope, content_length, read_body
from lightapi.exceptions import BadRequest, NotFound, PayloadTooLarge


def environ(body: bytes = b"", /, **changes: Any) -> dict[str, Any]:
    """Return what a WSGI server passes; a value of None takes its key away."""
    made = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/books",
        "QUERY_STRING": "",
        "SERVER_NAME": "example.org",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        **{key.replace("wsgi_", "wsgi."): value for key, value in changes.items()},
    }
    return {key: value for key, value in made.items() if value is not None}


def dressed(raw: bytes) -> str:
    """Return bytes as PEP 3333 passes them."""
    return raw.decode("latin-1")


class Trickle(io.BytesIO):
    """A stream that gives one byte at a time, as raw streams may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(1, size or 0))


class Broken:
    """A stream whose server lost the connection, with an error of the server's own."""

    def read(self, size: int) -> bytes:
        raise LookupError("bad chunk")


def test_a_scope_says_what_the_environ_says() -> None:
    given_environ = environ(
        REQUEST_METHOD="POST",
        SCRIPT_NAME="/api",
        QUERY_STRING="a=1&b=%20",
        REMOTE_ADDR="10.0.0.1",
        REMOTE_PORT=4711,
        CONTENT_TYPE="application/json",
        CONTENT_LENGTH="2",
        HTTP_X_TRACE="7",
        wsgi_url_scheme="https",
    )

    scope = build_scope(given_environ)

    assert scope.pop("wsgi_environ") is given_environ
    assert sorted(scope.pop("headers")) == [
        (b"content-length", b"2"),
        (b"content-type", b"application/json"),
        (b"x-trace", b"7"),
    ]
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": "/api/books",
        "root_path": "/api",
        "query_string": b"a=1&b=%20",
        "client": ("10.0.0.1", 4711),
        "server": ("example.org", 8000),
        "state": {},
        "extensions": {},
    }


@pytest.mark.parametrize(
    ("protocol", "version"),
    [("HTTP/1.0", "1.0"), ("HTTP/1.1", "1.1"), ("HTTP/2.0", "2"), ("HTTP/2", "2"), ("HTTP/3", "3"), ("", "1.0")],
)
def test_http_versions_are_spelt_as_asgi_does(protocol: str, version: str) -> None:
    assert build_scope(environ(SERVER_PROTOCOL=protocol))["http_version"] == version


def test_a_client_without_a_port_is_still_a_client() -> None:
    client = Request(build_scope(environ(REMOTE_ADDR="10.0.0.1"))).client

    assert client is not None
    assert (client.host, client.port) == ("10.0.0.1", 0)


@pytest.mark.parametrize("address", [None, ""], ids=["absent", "unix socket"])
def test_without_an_address_there_is_no_client(address: str | None) -> None:
    assert build_scope(environ(REMOTE_ADDR=address))["client"] is None


def test_a_unix_socket_server_has_no_port() -> None:
    assert build_scope(environ(SERVER_NAME="/run/app.sock", SERVER_PORT=""))["server"] == ("/run/app.sock", None)


def test_an_empty_path_is_the_root() -> None:
    assert build_scope(environ(PATH_INFO=""))["path"] == "/"
    assert build_scope(environ(SCRIPT_NAME="/api", PATH_INFO=""))["path"] == "/api"


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_any_utf8_path_arrives_as_text(root: str, path: str) -> None:
    scope = build_scope(environ(SCRIPT_NAME=dressed(root.encode()), PATH_INFO=dressed(b"/" + path.encode())))

    assert scope["path"] == f"{root}/{path}"
    assert scope["root_path"] == root


@given(st.binary())
def test_any_path_is_read_as_asgi_servers_read_it(raw: bytes) -> None:
    assert build_scope(environ(PATH_INFO=dressed(b"/" + raw)))["path"] == unquote("/" + quote(raw))


def test_a_prefix_that_is_none_belongs_to_the_path() -> None:
    scope = build_scope(environ(SCRIPT_NAME="/bo", PATH_INFO="oks/1"))

    assert (scope["root_path"], scope["path"]) == ("", "/books/1")


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "PATH_INFO"])
def test_a_path_that_is_not_dressed_as_pep_3333_says_is_a_404(name: str) -> None:
    with pytest.raises(NotFound):
        build_scope(environ(**{name: "/\u20ac"}))


@given(st.binary())
def test_any_raw_query_becomes_ascii_that_means_the_same(raw: bytes) -> None:
    query: bytes = build_scope(environ(QUERY_STRING=dressed(raw)))["query_string"]

    assert query.isascii()
    assert unquote_to_bytes(query) == unquote_to_bytes(raw)


@given(st.text(st.characters(max_codepoint=127)))
def test_an_ascii_query_is_left_alone(query: str) -> None:
    assert build_scope(environ(QUERY_STRING=query))["query_string"] == query.encode()


def test_a_raw_utf8_query_reads_like_the_encoded_one() -> None:
    raw = Request(build_scope(environ(QUERY_STRING=dressed("q=naïve €".encode())))).query_params
    encoded = Request(build_scope(environ(QUERY_STRING="q=" + quote("naïve €")))).query_params

    assert raw["q"] == encoded["q"] == "naïve €"


def test_a_query_that_the_server_decoded_is_encoded_again() -> None:
    assert build_scope(environ(QUERY_STRING="q=€"))["query_string"] == b"q=%E2%82%AC"


def test_content_type_and_length_come_from_their_own_keys_and_not_when_empty() -> None:
    scope = build_scope(environ(CONTENT_TYPE="", CONTENT_LENGTH="", HTTP_CONTENT_LENGTH="7", HTTP_CONTENT_TYPE="x"))

    assert scope["headers"] == []


def test_header_bytes_survive() -> None:
    assert build_scope(environ(HTTP_X_NAME="caf\xe9"))["headers"] == [(b"x-name", b"caf\xe9")]


def test_an_empty_header_is_kept() -> None:
    assert build_scope(environ(HTTP_X_NAME=""))["headers"] == [(b"x-name", b"")]


@pytest.mark.parametrize("header", [{"HTTP_X": "€"}, {"HTTP_€": "x"}], ids=["value", "name"])
def test_a_header_beyond_latin1_is_a_400(header: dict[str, str]) -> None:
    with pytest.raises(BadRequest, match="a header is not valid Latin-1"):
        build_scope(environ(**header))


@pytest.mark.parametrize("text", ["abc", "-1", "+5", "5_0", " 5", "5 ", "5.0", "0x5", "٣", "\xb2", "1,1"])
def test_a_content_length_that_is_not_plain_digits_is_a_400(text: str) -> None:
    with pytest.raises(BadRequest, match="Content-Length is not a number"):
        build_scope(environ(CONTENT_LENGTH=text))


@given(st.integers(min_value=0, max_value=10**30), st.integers(min_value=0, max_value=5000))
def test_content_lengths_are_read_whatever_their_size(number: int, zeros: int) -> None:
    assert content_length({"CONTENT_LENGTH": "0" * zeros + str(number)}) == min(number, 10**18)


def test_an_endless_content_length_is_huge_and_not_an_error() -> None:
    assert content_length({"CONTENT_LENGTH": "9" * 10_000}) == 10**18


@pytest.mark.parametrize("given_environ", [{}, {"CONTENT_LENGTH": ""}], ids=["absent", "empty"])
def test_there_need_be_no_content_length(given_environ: dict[str, Any]) -> None:
    assert content_length(given_environ) is None


STREAMS = st.sampled_from([io.BytesIO, Trickle])


@given(st.binary(max_size=300), st.binary(max_size=30), STREAMS)
def test_a_declared_body_is_read_up_to_its_length(body: bytes, following: bytes, kind: type[io.BytesIO]) -> None:
    stream = kind(body + following)

    assert read_body(environ(CONTENT_LENGTH=str(len(body)), wsgi_input=stream), 300) == body
    assert stream.read(1) == following[:1]


@given(st.binary(max_size=300), STREAMS)
def test_a_chunked_body_is_read_to_its_end(body: bytes, kind: type[io.BytesIO]) -> None:
    assert read_body(environ(wsgi_input=kind(body), wsgi_input_terminated=True), 300) == body


@given(st.binary(max_size=300), st.integers(min_value=1, max_value=10**9))
def test_a_body_that_ends_early_is_a_400(body: bytes, missing: int) -> None:
    with pytest.raises(BadRequest, match="ended before its declared length"):
        read_body(environ(body, CONTENT_LENGTH=str(len(body) + missing)), 2 * 10**9)


def test_a_body_without_length_or_end_is_empty() -> None:
    assert read_body(environ(b"unread"), 100) == b""


def test_a_request_without_input_has_no_body() -> None:
    assert read_body(environ(wsgi_input=None, CONTENT_LENGTH="5"), 100) == b""


@pytest.mark.parametrize("framing", [{"CONTENT_LENGTH": "100"}, {"wsgi_input_terminated": True}])
def test_the_limit_itself_is_allowed_and_one_byte_more_is_not(framing: dict[str, Any]) -> None:
    body = b"x" * 100

    assert read_body(environ(body, **framing), 100) == body
    with pytest.raises(PayloadTooLarge, match="limit 99 bytes"):
        read_body(environ(body, **framing), 99)


def test_a_body_declared_too_large_is_not_read() -> None:
    stream = io.BytesIO(b"x" * 100)

    with pytest.raises(PayloadTooLarge):
        read_body(environ(CONTENT_LENGTH="100", wsgi_input=stream), 99)
    assert stream.tell() == 0


@pytest.mark.parametrize("framing", [{"CONTENT_LENGTH": "5"}, {"wsgi_input_terminated": True}])
def test_whatever_a_server_raises_while_reading_is_a_400(framing: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="the body could not be read"):
        read_body(environ(wsgi_input=Broken(), **framing), 100)


def test_a_body_of_unknown_length_is_refused_at_the_first_piece_after_the_limit() -> None:
    body = Body(environ(b"x" * 30, wsgi_input_terminated=True), limit=15)

    assert body.length is None
    assert [body.read(10), body.read(10)] == [b"x" * 10, b"x" * 10]
    with pytest.raises(PayloadTooLarge):
        body.read(10)
