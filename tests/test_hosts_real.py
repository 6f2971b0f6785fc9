"""The application object under real servers: it serves, it stops in peace, and nothing on the socket ties it up."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import make_url

from tests.support import servers
from tests.support.processes import ROOT, Program, eventually, gunicorn, started

pytestmark = pytest.mark.slow
APPS = ROOT / "tests" / "apps"
UVICORN = ["-m", "uvicorn", "main:app", "--port", "{port}"]
HOSTS = {
    "uvicorn": UVICORN,
    "run": ["main.py"],
    "sync": gunicorn("-k", "sync", "main:app"),
    "sync-preload": gunicorn("-k", "sync", "--preload", "main:app"),
    "gthread": gunicorn("-k", "gthread", "--threads", "4", "main:app"),
    "gthread-preload": gunicorn("-k", "gthread", "--threads", "4", "--preload", "main:app"),
    "asgi": gunicorn("-k", "asgi", "main:app"),
    "asgi-preload": gunicorn("-k", "asgi", "--preload", "main:app"),
    "uvicorn-worker": gunicorn("-k", "uvicorn_worker.UvicornWorker", "main:app"),
}
DRIVERS = {
    "sqlite-sync": "sqlite",
    "sqlite-async": "sqlite+aiosqlite",
    "postgres-sync": "postgresql+psycopg",
    "postgres-async": "postgresql+asyncpg",
}
# Each host meets a sync and an async engine, each engine every kind of host; all 27 pairs would take minutes.
PAIRS = [
    ("uvicorn", "sqlite-sync"),
    ("uvicorn", "postgres-async"),
    ("run", "postgres-sync"),
    ("run", "sqlite-async"),
    ("sync", "sqlite-sync"),
    ("sync", "postgres-async"),
    ("sync-preload", "postgres-sync"),
    ("gthread", "postgres-sync"),
    ("gthread", "postgres-async"),
    ("gthread-preload", "sqlite-sync"),
    ("gthread-preload", "postgres-async"),
    ("asgi", "postgres-sync"),
    ("asgi", "postgres-async"),
    ("asgi-preload", "postgres-async"),
    ("uvicorn-worker", "sqlite-sync"),
    ("uvicorn-worker", "postgres-async"),
]
FAILURE = re.compile(r"Traceback|ERROR|CRITICAL|Exception|never awaited|Warning(?!: an async engine under WSGI)")
BOOK = {"title": "Clean Code", "author": "Robert Martin"}
_numbers = itertools.count()


@contextmanager
def empty_database(request: pytest.FixtureRequest, folder: Path, kind: str) -> Iterator[str]:
    """Give the URL of a database without any table, for the driver of the kind."""
    if kind.startswith("sqlite"):
        yield f"{DRIVERS[kind]}:///{folder / 'test.db'}"
        return
    own = make_url(request.getfixturevalue("postgres_url"))
    server = request.getfixturevalue("postgres_server")
    with servers.database(server, f"{own.database}_{next(_numbers)}") as url:
        yield make_url(url).set(drivername=DRIVERS[kind]).render_as_string(hide_password=False)


def assert_crud(program: Program) -> None:
    """Walk through the verbs."""
    client = program.client
    made = client.post("/books", json=BOOK)
    assert (made.status_code, made.headers["location"]) == (201, "/books/1")
    assert client.get("/books/1").content == made.content
    assert client.get("/books").json() == {"results": [made.json()]}
    patched = client.patch("/books/1", json={"title": "Größe", "version": 1})
    assert (patched.status_code, patched.json()["title"], patched.json()["version"]) == (200, "Größe", 2)
    assert client.put("/books/1", json=BOOK | {"version": 1}).status_code == 409
    assert client.put("/books/1", json=BOOK | {"version": 2}).json()["version"] == 3
    assert client.post("/awaited", json={"title": "x"}).status_code == 201
    assert client.post("/books", json={"title": ""}).status_code == 422
    assert client.delete("/books").status_code == 405
    assert client.head("/books/1").content == b""
    assert client.delete("/books/1").status_code == 204
    assert client.get("/books/1").json() == {"detail": "not found"}
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(("server", "kind"), PAIRS, ids=[" ".join(pair) for pair in PAIRS])
def test_a_host_serves_and_stops_with_its_requests_finished(
    server: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with (
        empty_database(request, tmp_path, kind) as url,
        started(HOSTS[server], tmp_path / "log", cwd=APPS, environment={"LIGHTAPI_DATABASE_URL": url}) as program,
        ThreadPoolExecutor(1) as pool,
    ):
        assert_crud(program)
        path = "/slow" if kind.endswith("-async") else "/blocking"
        in_flight = pool.submit(program.exchange, get(path))
        eventually(lambda: "begun" in program.log)

        status = program.stop(patience=15)

        assert in_flight.result().endswith(b'{"slept":true}')
        assert status in STATUSES.get(server, {0}), program.log
        assert not FAILURE.search(program.log), program.log


# uvicorn's command line finishes its work and then ends itself by the signal that it was sent.
STATUSES = {"uvicorn": {0, -15}}


def test_run_reloads_when_a_file_changes(tmp_path: Path) -> None:
    source = tmp_path / "main.py"
    shutil.copy(APPS / "main.py", source)
    url = f"sqlite:///{tmp_path / 'test.db'}"

    with started(
        ["main.py"], tmp_path / "log", cwd=tmp_path, environment={"LIGHTAPI_DATABASE_URL": url, "APP_RELOAD": "1"}
    ) as program:
        assert program.client.get("/process").json()["greeting"] == "hello"
        source.write_text(source.read_text().replace('"hello"', '"good day"'))

        eventually(lambda: _greeting(program) == "good day")
        program.stop(patience=10)


def _greeting(program: Program) -> Any:
    try:
        return program.client.get("/process").json()["greeting"]
    except httpx.TransportError:  # the old process has left and the new one does not listen yet
        return None


def test_run_serves_though_the_environment_asks_for_several_processes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"

    with started(
        ["main.py"], tmp_path / "log", cwd=APPS, environment={"LIGHTAPI_DATABASE_URL": url, "WEB_CONCURRENCY": "2"}
    ) as program:
        assert program.client.get("/books").status_code == 200


@pytest.fixture(scope="module", params=["sync", "gthread"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Give a gunicorn with one worker of each kind that threads serve."""
    folder = tmp_path_factory.mktemp("hostile")
    url = f"sqlite:///{folder / 'test.db'}"
    with started(HOSTS[request.param], folder / "log", cwd=APPS, environment={"LIGHTAPI_DATABASE_URL": url}) as running:
        yield running


@pytest.fixture(params=["/books", "/awaited"], ids=["direct", "bridged"])
def path(request: pytest.FixtureRequest) -> Any:
    """Give a path of either lane."""
    return request.param


class TestHostileBytes:
    """What arrives on the socket of a gunicorn worker, in both lanes, leaves it responsive and idle."""

    def test_a_truncated_body_is_a_400(self, program: Program, path: str) -> None:
        answer = program.exchange(post(path, "Content-Length: 1000", body=b'{"title": '), finish=True)

        assert status_of(answer) == 400
        assert_well(program)

    def test_a_chunked_body_arrives(self, program: Program, path: str) -> None:
        pieces = b'16\r\n{"title": "Clean Code"\r\n10\r\n, "author": "m"}\r\n0\r\n\r\n'
        answer = program.exchange(post(path, "Transfer-Encoding: chunked", "Connection: close", body=pieces))

        assert status_of(answer) == 201, answer
        assert b'"title":"Clean Code"' in answer
        assert_well(program)

    @pytest.mark.parametrize("length", ["abc", "-5", "+5", "5_0", "\xb3", "5, 6"])
    def test_a_bad_content_length_is_a_400(self, program: Program, path: str, length: str) -> None:
        answer = program.exchange(post(path, f"Content-Length: {length}", "Connection: close", body=b"12345"))

        assert status_of(answer) == 400
        assert_well(program, idle=0.1)

    def test_a_path_of_invalid_utf8_names_nothing(self, program: Program, path: str) -> None:
        # The second is no HTTP: some versions of gunicorn refuse it themselves, with 400.
        for raw, statuses in ((b"/%ff", {404}), (b"/\xff", {400, 404})):
            assert status_of(program.exchange(get(path).replace(b" HTTP", raw + b" HTTP"))) in statuses
        assert_well(program)

    def test_clients_that_go_away_cost_nothing(self, program: Program, path: str) -> None:
        for sent in (b"", b"12345"):
            for _ in range(6):
                with program.connect() as connection:
                    connection.sendall(post(path, "Content-Length: 1000", body=sent))
        with program.connect() as connection:
            connection.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")

        eventually(program.answers)
        assert_well(program)


def get(path: str) -> bytes:
    """Return a GET request as bytes, the last one on its connection."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def book(key: int) -> bytes:
    """Return the request for one book."""
    return get(f"/books/{key}")


def post(path: str, *headers: str, body: bytes = b"") -> bytes:
    """Return a POST request as bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def status_of(answer: bytes) -> int:
    """Return the status in the answer's first line."""
    return int(answer.split(b" ", 2)[1])


def assert_well(program: Program, idle: float = 0.4) -> None:
    """Check that requests are answered at once and that the worker has nothing else to do."""
    begun = time.monotonic()
    before = program.client.get("/process").json()
    assert time.monotonic() - begun < 5
    time.sleep(idle)
    after = program.client.get("/process").json()
    assert after["pid"] == before["pid"], "the worker was replaced"
    assert after["cpu"] - before["cpu"] < 0.5 * idle
    assert "Traceback" not in program.log, program.log


@pytest.mark.parametrize(
    ("target", "kind"),
    [*[("built:application", "postgres-sync")] * 3, ("main:app", "postgres-async")],
    ids=["when loaded 1", "when loaded 2", "when loaded 3", "with the first request"],
)
def test_four_workers_start_on_an_empty_database(
    target: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    command = gunicorn("--workers", "4", "-k", "gthread", "--threads", "2", target)
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    with (
        empty_database(request, tmp_path, kind) as url,
        started(
            command,
            tmp_path / "log",
            cwd=APPS,
            wait=False,
            environment={"LIGHTAPI_DATABASE_URL": url, "APP_MEETING": str(meeting), "APP_WORKERS": "4"},
        ) as program,
        ThreadPoolExecutor(8) as pool,
    ):
        eventually(program.answers)
        seen: set[int] = set()
        statuses: set[int] = set()
        eventually(lambda: seen_by(program, pool, seen, statuses) == 4)

        assert statuses == {200}
        assert program.stop() == 0
        assert program.log.count("Booting worker") == 4, program.log
        assert not FAILURE.search(program.log), program.log


def seen_by(program: Program, pool: ThreadPoolExecutor, seen: set[int], statuses: set[int]) -> int:
    """Ask many times at once, on fresh connections, and return how many processes have answered so far."""
    for response in pool.map(lambda _: _ask(program), range(16)):
        statuses.add(response[0])
        seen.add(response[1])
    return len(seen)


def _ask(program: Program) -> tuple[int, int]:
    books = status_of(program.exchange(get("/books")))
    answer = program.exchange(get("/process"))
    pid = re.search(rb'"pid":(\d+)', answer)
    assert pid is not None, answer
    return books, int(pid[1])


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["", "preload"])
def test_gevent_refuses_an_async_engine(preload: list[str], tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'test.db'}"
    with started(
        gunicorn("-k", "gevent", *preload, "main:app"),
        tmp_path / "log",
        cwd=APPS,
        wait=False,
        environment={"LIGHTAPI_DATABASE_URL": url},
    ) as program:
        eventually(lambda: program.process.poll() is not None or _is_answered(program))

        assert re.search(r"ConfigurationError: .*gevent", program.log), program.log


def _is_answered(program: Program) -> bool:
    try:
        answer = program.exchange(get("/books"))
    except OSError:
        return False
    assert not answer or status_of(answer) == 500, answer
    return bool(answer)


def test_gevent_serves_a_sync_engine(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"

    with started(
        gunicorn("-k", "gevent", "main:app"), tmp_path / "log", cwd=APPS, environment={"LIGHTAPI_DATABASE_URL": url}
    ) as program:
        assert_crud(program)


def test_forked_workers_never_read_each_others_rows(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    command = gunicorn("-k", "sync", "--preload", "--workers", "4", "used:app")
    with (
        empty_database(request, tmp_path, "postgres-sync") as url,
        started(command, tmp_path / "log", cwd=APPS, environment={"LIGHTAPI_DATABASE_URL": url}) as program,
        ThreadPoolExecutor(16) as pool,
    ):
        made = pool.map(lambda number: program.client.post("/books", json=BOOK | {"title": f"{number}"}), range(40))
        titles = {row.json()["id"]: row.json()["title"] for row in made}

        keys = [*titles] * 20
        # each on a connection of its own, so that every worker gets some
        read = [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in pool.map(program.exchange, map(book, keys))]

        assert len(titles) == 40
        assert [(row["id"], row["title"]) for row in read] == [(key, titles[key]) for key in keys]
        assert not FAILURE.search(program.log), program.log
