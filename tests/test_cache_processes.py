"""One database, one Redis, several processes: uvicorn beside a preloaded gunicorn with two threaded workers."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import jwt
import psycopg
import pytest

from tests.support.processes import Program, gunicorn, started

pytestmark = pytest.mark.slow

APP = "tests.apps.kept_notes:app"
SECRET = "a secret of these processes, long enough"
REQUESTS = 10_000 if os.environ.get("LIGHTAPI_TEST_LONG") else 1_500
"""Of both users together; LIGHTAPI_TEST_LONG asks for all."""


class Servers(NamedTuple):
    """The two servers, and the file in which the slow list says that it was made."""

    programs: tuple[Program, Program]
    made: Path


@pytest.fixture
def servers(postgres_url: str, redis_url: str, tmp_path: Path) -> Iterator[Servers]:
    """Start both; each reaches the database through a driver of its own."""
    made = tmp_path / "made"
    shared = {"LIGHTAPI_REDIS_URL": redis_url, "LIGHTAPI_JWT_SECRET": SECRET, "MADE_LOG": str(made)}

    def environment(driver: str) -> dict[str, str]:
        return {**shared, "LIGHTAPI_DATABASE_URL": postgres_url.replace("postgresql", f"postgresql+{driver}", 1)}

    uvicorn = ["-m", "uvicorn", APP, "--port", "{port}", "--no-access-log"]
    threads = gunicorn("--preload", "--workers", "2", "--worker-class", "gthread", "--threads", "8", APP)
    with (
        started(uvicorn, tmp_path / "uvicorn.log", cwd=tmp_path, environment=environment("asyncpg")) as one,
        started(threads, tmp_path / "gunicorn.log", cwd=tmp_path, environment=environment("psycopg")) as two,
    ):
        yield Servers((one, two), made)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS notes, slows")


class User:
    """One user's client of both servers: writes, reads, and knows what must be answered."""

    def __init__(self, name: str, ports: list[int]) -> None:
        token = jwt.encode({"sub": name, "exp": time.time() + 3600}, SECRET, "HS256")
        headers = {"Authorization": f"Bearer {token}"}
        self.clients = [
            httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30, trust_env=False)
            for port in ports
        ]
        self.name = name
        self.chance = random.Random(name)
        self.states: Counter[str] = Counter()
        created = self.clients[0].post("/notes", json={"owner": name, "value": 0})
        assert created.status_code == 201
        self.row: dict[str, Any] = created.json()

    def play(self, requests: int) -> None:
        """Read mostly, write sometimes, on either server; every answer is the last write's."""
        for _ in range(requests):
            client = self.chance.choice(self.clients)
            kind = self.chance.choices(("list", "item", "write"), (5, 3, 2))[0]
            if kind == "write":
                body = {"value": self.row["value"] + 1, "version": self.row["version"]}
                answer = client.patch(f"/notes/{self.row['id']}", json=body)
                assert answer.status_code == 200, answer.text
                self.row = answer.json()
                continue
            answer = client.get("/notes" if kind == "list" else f"/notes/{self.row['id']}")
            assert answer.status_code == 200
            assert answer.json() == ({"results": [self.row]} if kind == "list" else self.row)
            self.states[answer.headers["x-cache"]] += 1

    def close(self) -> None:
        """Close the connections."""
        for client in self.clients:
            client.close()


@pytest.mark.timeout(600)
def test_no_answer_reaches_another_user_or_is_older_than_a_write(servers: Servers) -> None:
    users = [User(name, [program.port for program in servers.programs]) for name in ("ann", "bob")]

    with ThreadPoolExecutor(len(users)) as pool:
        list(pool.map(lambda user: user.play(REQUESTS // len(users)), users))

    kept = sum(user.states["hit"] for user in users)
    print(f"{REQUESTS} requests, {kept} of {sum(sum(user.states.values()) for user in users)} reads were kept answers")  # noqa: T201
    for user in users:
        user.close()
    assert kept > REQUESTS / 10  # else nothing was shown


def test_forty_callers_of_two_servers_have_an_answer_made_once(servers: Servers) -> None:
    urls = [f"http://127.0.0.1:{servers.programs[number % 2].port}/slow" for number in range(40)]

    with ThreadPoolExecutor(len(urls)) as pool:
        answers = list(pool.map(lambda url: httpx.get(url, timeout=30, trust_env=False), urls))

    assert {(answer.status_code, answer.text) for answer in answers} == {(200, '{"results":[]}')}
    assert servers.made.read_text(encoding="ascii") == "made\n"
