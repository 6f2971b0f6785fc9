"""Optimistic locking: who may write, and what everybody else is told."""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter as Tally
from collections.abc import Generator
from functools import partial
from typing import Any

import pytest

from tests.support.endpoints import Counter
from tests.support.hosts import Api, Client


@pytest.fixture
def client(api: Api) -> Client:
    client = api({"/counters": Counter})
    client.post("/counters", json={})
    return client


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
class TestVersion:
    """What ``version`` must be in PUT and PATCH."""

    def test_the_current_version_is_accepted_and_moves_on(self, client: Client, verb: str) -> None:
        first = client.request(verb, "/counters/1", json={"value": 5, "version": 1})
        second = client.request(verb, "/counters/1", json={"value": 6, "version": 2})

        assert [first.status_code, second.status_code] == [200, 200]
        assert [first.json()["version"], second.json()["version"]] == [2, 3]

    def test_a_missing_version_is_422(self, client: Client, verb: str) -> None:
        response = client.request(verb, "/counters/1", json={"value": 5})

        assert response.status_code == 422
        detail = response.json()["detail"]
        assert [(entry["type"], entry["loc"]) for entry in detail] == [("missing", ["version"])]

    @pytest.mark.parametrize("version", [2, 99, 2**31 - 1, 2**31, 2**63, 10**30])
    def test_any_other_version_is_409(self, client: Client, verb: str, version: int) -> None:
        response = client.request(verb, "/counters/1", json={"value": 5, "version": version})

        assert (response.status_code, response.json()) == (409, {"detail": "version conflict"})
        assert client.get("/counters/1").json()["value"] == 0

    @pytest.mark.parametrize("version", [0, -1, True, "1", 1.0, 1.5, None, [1], {}], ids=repr)
    @pytest.mark.hosts("asgi")
    @pytest.mark.engines("sqlite-sync")
    def test_a_version_is_a_positive_json_integer(self, client: Client, verb: str, version: Any) -> None:
        response = client.request(verb, "/counters/1", json={"value": 5, "version": version})

        assert response.status_code == 422
        assert [entry["loc"] for entry in response.json()["detail"]] == [["version"]]

    def test_a_row_that_is_gone_is_404_whatever_the_version(self, client: Client, verb: str) -> None:
        client.delete("/counters/1")

        for version in (1, 9):
            response = client.request(verb, "/counters/1", json={"value": 5, "version": version})
            assert (response.status_code, response.json()) == (404, {"detail": "not found"})


def test_a_refused_write_changes_nothing(client: Client) -> None:
    before = client.get("/counters/1").content

    client.patch("/counters/1", json={"value": 5, "version": 7})
    client.patch("/counters/1", json={"value": "x", "version": 1})

    assert client.get("/counters/1").content == before


def test_a_write_never_meets_the_row_that_came_after(client: Client) -> None:
    assert client.delete("/counters/1").status_code == 204
    later = client.post("/counters", json={}).json()

    for verb in ("PUT", "PATCH"):
        assert client.request(verb, "/counters/1", json={"value": 5, "version": 1}).status_code == 404
    assert client.get(f"/counters/{later['id']}").json() == later


def test_delete_needs_no_version(client: Client) -> None:
    assert client.delete("/counters/1").status_code == 204


def test_of_a_hundred_concurrent_patches_with_one_version_one_wins(client: Client) -> None:
    def patch(value: int) -> int:
        return client.patch("/counters/1", json={"value": value, "version": 1}).status_code

    statuses = Tally(client.together([partial(patch, value) for value in range(100)]))

    assert statuses == {200: 1, 409: 99}
    assert client.get("/counters/1").json()["version"] == 2


@pytest.mark.hosts("asgi", "wsgi-direct")
@pytest.mark.timeout(400)
def test_no_increment_is_lost(client: Client) -> None:
    clients, increments = (60, 20) if os.environ.get("LIGHTAPI_TEST_LONG") else (20, 15)
    seen: Tally[int] = Tally()

    def count() -> Generator[Any, Any, None]:
        pause = random.Random()
        for _ in range(increments):
            for attempt in itertools.count():
                read = yield client.build_request("GET", "/counters/1")
                row = read.json()
                change = {"value": row["value"] + 1, "version": row["version"]}
                answer = yield client.build_request("PATCH", "/counters/1", json=change)
                seen.update([read.status_code, answer.status_code])
                if answer.status_code != 409:
                    break
                yield pause.uniform(0, 0.04 * 2 ** min(attempt, 6))

    client.play(count, clients)

    row = client.get("/counters/1").json()
    assert set(seen) <= {200, 409}
    assert (row["value"], row["version"]) == (clients * increments, clients * increments + 1)
