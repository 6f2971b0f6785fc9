"""Servers that run as programs of their own, on free ports of the loopback interface, with their log in a file."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import httpx

__all__ = ["ROOT", "Program", "eventually", "free_port", "gunicorn", "started"]

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


class Program:
    """A running server: its process, port, log, and a client of it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path, health: str) -> None:
        self.process = process
        self._health = health
        self.port = port
        self._log = log
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, trust_env=False)

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def answers(self, path: str | None = None) -> bool:
        """Tell whether it serves the path, by default its health; fail at once when it has ended instead."""
        assert self.process.poll() is None, f"it ended with status {self.process.returncode}:\n{self.log}"
        try:
            return self.client.get(path or self._health).status_code == 200
        except httpx.TransportError:  # one process has left and the next does not listen yet
            return False

    def stop(self, patience: float = PATIENCE) -> int:
        """Tell it to finish, and return its exit status; servers wait for connections that are kept open."""
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(patience)

    def exchange(self, raw: bytes, *, finish: bool = False) -> bytes:
        """Send raw bytes and return all that is answered; ``finish`` closes our side of the connection first."""
        with self.connect() as connection:
            connection.sendall(raw)
            if finish:
                connection.shutdown(socket.SHUT_WR)
            pieces = b""
            while piece := connection.recv(65536):
                pieces += piece
        return pieces

    def connect(self) -> socket.socket:
        """Open a connection without any HTTP on it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)


def free_port() -> int:
    """Find a port that nobody listens on, below those that the system gives to connections in the meantime."""
    while True:
        port = secrets.choice(range(10_000, 32_000))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def eventually(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@contextlib.contextmanager
def started(
    arguments: Sequence[str],
    log: Path,
    *,
    cwd: Path,
    python: str = sys.executable,
    health: str = "/healthz",
    wait: bool = True,
    environment: Mapping[str, str],
) -> Iterator[Program]:
    """Run ``python ARGUMENTS`` until the block ends; ``{port}`` in them is the port it is to listen on."""
    port = free_port()
    command = [python, *(argument.replace("{port}", str(port)) for argument in arguments)]
    inherited = {name: value for name, value in os.environ.items() if name != "WEB_CONCURRENCY"}
    own = {**inherited, "PYTHONPATH": str(ROOT), "LIGHTAPI_PORT": str(port), **environment}
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=cwd, env=own, stdout=file, stderr=subprocess.STDOUT)
    program = Program(process, port, log, health)
    try:
        if wait:
            eventually(program.answers)
        yield program
    finally:
        program.client.close()
        _end(process)
        # pytest shows it when the test has failed
        sys.stdout.write(program.log)


def gunicorn(*arguments: str) -> list[str]:
    """Return the command line of a gunicorn whose files stay in memory."""
    fixed = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--no-control-socket"]
    return [*fixed, *arguments]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
