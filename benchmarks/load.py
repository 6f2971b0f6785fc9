"""The client process of a benchmark: keep-alive connections that each ask again as soon as they are answered.

``python -m benchmarks.load PORT SERVER_PID WORKLOAD SECONDS`` warms up, asks for that many seconds and prints as JSON
what it saw and how much processor time the server used meanwhile. It needs nothing beside the standard library; with
uvloop it asks faster.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

CONNECTIONS = 16
ROWS = 10_000
WARM_UP = 0.3
PATIENCE = 30
PATCHED_PER_CONNECTION = 20
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

GOOD = b'{"title": "Clean Code", "author": "Robert Martin", "price": "39.90", "in_stock": true}'
BAD = b'{"title": "", "author": "Robert Martin", "price": "-1"}'

Dialogue = Generator[bytes, bytes, None]
"""Yields requests and is sent the body of each answer."""


class Workload(NamedTuple):
    """The only status that counts as success, and what one numbered connection says."""

    status: int
    dialogue: Callable[[int], Dialogue]


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """Return the bytes of one HTTP/1.1 request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def repeat(method: str, path: str, body: bytes = b"") -> Callable[[int], Dialogue]:
    """Return a dialogue of one request."""
    asked = request(method, path, body)

    def dialogue(_number: int) -> Dialogue:
        while True:
            yield asked

    return dialogue


def get_one(number: int) -> Dialogue:
    """Ask for random rows."""
    chance = random.Random(number)  # noqa: S311  the same rows in every run
    while True:
        yield request("GET", f"/books/{chance.randint(1, ROWS)}")


def patch(number: int) -> Dialogue:
    """Ask for the versions of some rows of this connection's own, then change them in turn."""
    mine = range(1 + number * PATCHED_PER_CONNECTION, 1 + (number + 1) * PATCHED_PER_CONNECTION)
    versions: dict[int, int] = {}
    for key in mine:
        versions[key] = json.loads((yield request("GET", f"/books/{key}")))["version"]
    while True:
        for key in mine:
            yield request("PATCH", f"/books/{key}", b'{"price": "12.50", "version": %d}' % versions[key])
            versions[key] += 1


WORKLOADS = {
    "get_one": Workload(200, get_one),
    "list_20": Workload(200, repeat("GET", "/shelves")),
    "create": Workload(201, repeat("POST", "/books", GOOD)),
    "patch": Workload(200, patch),
    "invalid": Workload(422, repeat("POST", "/books", BAD)),
}


CACHE_WORKLOADS = {
    "made": Workload(200, repeat("GET", "/made")),
    "kept": Workload(200, repeat("GET", "/kept")),
}
"""The same list of 100 rows, from an endpoint without and one with a cache."""


class Run:
    """What all connections have in common: whether they still ask, and what they have seen."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.asking = True


class Connection(asyncio.Protocol):
    """One keep-alive connection; ``silent`` is done when it has its last answer."""

    def __init__(self, run: Run, dialogue: Dialogue) -> None:
        self.run = run
        self.dialogue = dialogue
        self.silent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = b""

    def connection_made(self, transport: Any) -> None:
        """Ask for the first time."""
        self.transport = transport
        self.ask(next(self.dialogue))

    def ask(self, asked: bytes) -> None:
        """Send a request."""
        self.begun = perf_counter()
        self.transport.write(asked)

    def data_received(self, data: bytes) -> None:
        """Ask again once the answer is complete."""
        received = self.received = self.received + data
        head = received.find(b"\r\n\r\n")
        length = LENGTH.search(received) if head >= 0 else None
        if length is None or len(received) < head + 4 + int(length[1]):
            return
        self.received = b""
        self.run.latencies.append(perf_counter() - self.begun)
        self.run.statuses[int(received[9:12])] += 1
        following = self.dialogue.send(received[head + 4 :])
        if self.run.asking:
            self.ask(following)
        else:
            self.silent.set_result(None)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail unless this was the end."""
        if not self.silent.done():
            self.silent.set_exception(exc or ConnectionError("the server closed the connection"))


async def measure(port: int, server: int, workload: Workload, seconds: float) -> dict[str, float]:
    """Return what the server answered in that time, and the processor time it took."""
    loop = asyncio.get_running_loop()
    run = Run()
    made = [
        await loop.create_connection(partial(Connection, run, workload.dialogue(number)), "127.0.0.1", port)
        for number in range(CONNECTIONS)
    ]
    await asyncio.sleep(WARM_UP)
    warmed, run.latencies, run.statuses = run.statuses, [], Counter()
    begun, used = perf_counter(), cpu_seconds(server)
    await asyncio.sleep(seconds)
    latencies, took, used = sorted(run.latencies), perf_counter() - begun, cpu_seconds(server) - used
    run.asking = False
    await asyncio.wait_for(asyncio.gather(*(connection.silent for _, connection in made)), PATIENCE)
    unexpected = set(run.statuses) - {workload.status}
    if unexpected or not latencies or not warmed:
        raise SystemExit(f"expected {workload.status}, got {dict(run.statuses)}")
    return {
        "requests": len(latencies),
        "rps": len(latencies) / took,
        "cpu_us": used / len(latencies) * 1e6,
        "p50_ms": latencies[len(latencies) // 2] * 1e3,
        "p99_ms": latencies[len(latencies) * 99 // 100] * 1e3,
    }


def cpu_seconds(process: int) -> float:
    """Return the user and system time of a process and of the children it has waited for (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def main(port: str, server: str, workload: str, seconds: str) -> None:
    """Measure and print JSON."""
    if importlib.util.find_spec("uvloop") is not None:
        importlib.import_module("uvloop").install()
    print(
        json.dumps(
            asyncio.run(measure(int(port), int(server), {**WORKLOADS, **CACHE_WORKLOADS}[workload], float(seconds)))
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
