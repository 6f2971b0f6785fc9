"""Which verbs a path has, and what the others are told."""

from __future__ import annotations

from typing import Any

import pytest

from lightapi import Field, HttpMethod, RestEndpoint
from tests.support.endpoints import CLEAN_CODE, Book
from tests.support.hosts import Api, Client

VERBS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class ReadOnly(RestEndpoint, HttpMethod.GET):
    """GET alone."""

    name: str = Field(min_length=1)


class CreateOnly(RestEndpoint, HttpMethod.POST):
    """POST alone: no item path."""

    name: str = Field(min_length=1)


class UpdateOnly(RestEndpoint, HttpMethod.PATCH, HttpMethod.PUT):
    """No collection path."""

    name: str = Field(min_length=1)


class Standard(
    RestEndpoint,
    HttpMethod.GET,
    HttpMethod.POST,
    HttpMethod.PUT,
    HttpMethod.PATCH,
    HttpMethod.DELETE,
):
    """All verbs, spelt out."""

    name: str = Field(min_length=1)


class Mixed(RestEndpoint, HttpMethod.DELETE, HttpMethod.GET, HttpMethod.POST):
    """Declared out of order."""

    name: str = Field(min_length=1)


class Inherited(ReadOnly):
    """The verbs of its base."""

    more: str = ""


class Overriding(RestEndpoint):
    """Helpers that no verb may reach by name."""

    name: str = Field(min_length=1)

    def list(self, request: Any) -> Any:
        return {"reached": "list"}

    def background_secret(self, request: Any) -> Any:
        return {"reached": "secret"}


ENDPOINTS = {
    "/read": ReadOnly,
    "/create": CreateOnly,
    "/update": UpdateOnly,
    "/standard": Standard,
    "/mixed": Mixed,
    "/inherited": Inherited,
    "/overriding": Overriding,
    "/books": Book,
}

PATHS = {
    "/books": ["GET", "POST"],
    "/books/1": ["GET", "PUT", "PATCH", "DELETE"],
    "/standard": ["GET", "POST"],
    "/standard/1": ["GET", "PUT", "PATCH", "DELETE"],
    "/read": ["GET"],
    "/read/1": ["GET"],
    "/inherited": ["GET"],
    "/create": ["POST"],
    "/update/1": ["PUT", "PATCH"],
    "/mixed": ["GET", "POST"],
    "/mixed/1": ["GET", "DELETE"],
}


@pytest.fixture
def client(api: Api) -> Client:
    return api(ENDPOINTS)


def _header(response: Any) -> list[str]:
    return [verb.strip() for verb in response.headers["allow"].split(",")]


@pytest.mark.engines("sqlite-sync")
class TestMethods:
    """Verbs are routed alike on every host; the engine has no say."""

    @pytest.mark.parametrize("path", PATHS)
    def test_unregistered_verbs_are_405_and_name_the_paths_own(self, client: Client, path: str) -> None:
        for verb in set(VERBS) - set(PATHS[path]):
            response = client.request(verb, path, json={"name": "n", "version": 1})

            assert response.status_code == 405
            text = f"Method Not Allowed. Allowed: {', '.join(PATHS[path])}"
            assert response.json() == {"detail": text}
            assert [each for each in _header(response) if each in VERBS] == PATHS[path]

    @pytest.mark.parametrize("path", PATHS)
    def test_options_is_204_with_allow(self, client: Client, path: str) -> None:
        response = client.options(path)

        assert (response.status_code, response.content) == (204, b"")
        added = {"HEAD", "OPTIONS"} if "GET" in PATHS[path] else {"OPTIONS"}
        assert set(_header(response)) == set(PATHS[path]) | added
        assert [each for each in _header(response) if each in VERBS] == PATHS[path]

    @pytest.mark.parametrize("path", PATHS)
    def test_registered_verbs_are_never_405(self, client: Client, path: str) -> None:
        for verb in PATHS[path]:
            response = client.request(verb, path, json={"name": "n", "version": 1})

            assert response.status_code in (200, 201, 204, 404, 422)

    @pytest.mark.parametrize("path", ["/books", "/books/1"])
    def test_head_is_get_without_its_body(self, client: Client, path: str) -> None:
        client.post("/books", json=CLEAN_CODE)

        head, get = client.head(path), client.get(path)

        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
        assert head.headers["content-type"] == get.headers["content-type"]

    def test_head_of_a_missing_row_is_404_without_a_body(self, client: Client) -> None:
        response = client.head("/books/1")

        assert (response.status_code, response.content) == (404, b"")

    def test_head_needs_get(self, client: Client) -> None:
        response = client.head("/create")

        assert (response.status_code, response.content) == (405, b"")
        assert _header(response) == ["POST", "OPTIONS"]

    @pytest.mark.parametrize("verb", [*VERBS, "HEAD", "OPTIONS"])
    @pytest.mark.parametrize("path", ["/", "/nowhere", "/create/1", "/update", "/books/1/2", "/bookss", "/Books", "//"])
    def test_a_path_without_any_verb_is_404(self, client: Client, verb: str, path: str) -> None:
        response = client.request(verb, f"http://testserver{path}", json={"name": "n"})

        assert response.status_code == 404
        if verb != "HEAD":
            assert response.content == b'{"detail":"not found"}'

    @pytest.mark.parametrize(
        "verb",
        [
            *("LIST", "CREATE", "RETRIEVE", "UPDATE", "DESTROY", "QUERYSET", "BACKGROUND"),
            *("BACKGROUND_SECRET", "_LIST_ASYNC", "__INIT__"),
            *("PROPFIND", "QUERY", "TRACE", "CONNECT"),
        ],
    )
    def test_a_verb_never_reaches_a_method_of_its_name(self, client: Client, verb: str) -> None:
        response = client.request(verb, "/overriding")

        assert response.status_code == 405
        assert "reached" not in response.text


@pytest.mark.parametrize(
    ("endpoint", "verbs"),
    [
        (Book, set(VERBS)),
        (Standard, set(VERBS)),
        (ReadOnly, {"GET"}),
        (CreateOnly, {"POST"}),
        (UpdateOnly, {"PUT", "PATCH"}),
        (Inherited, {"GET"}),
    ],
)
def test_allowed_methods_are_known_from_class_creation(endpoint: type[RestEndpoint], verbs: set[str]) -> None:
    assert endpoint._allowed_methods == verbs
