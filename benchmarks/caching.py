"""Compare a list of 100 rows made from PostgreSQL with the same list kept in Redis, on ASGI and on WSGI.

``python3 dev.py bench cache [--rounds N] [--seconds S]``; README.md says how to read the table.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.serving import PATIENCE, ROOT, Contender, fill, free_port, measured, wait_for
from tests.support import servers

ROWS = 100
MOST = {"uvicorn": 1 / 3, "gthread": 1 / 1.8}
"""The largest part of the processor time that a kept answer may cost."""
APPLICATION = "benchmarks.contenders.lightapi_cached:app"
COMMANDS = {
    "uvicorn": ["uvicorn", APPLICATION, "--port", "{port}", "--no-access-log", "--log-level", "warning"],
    "gthread": [
        *("gunicorn", APPLICATION, "--bind", "127.0.0.1:{port}", "--no-control-socket", "--worker-class", "gthread"),
        *("--threads", "16", "--keep-alive", "60", "--log-level", "warning"),
    ],
}
DRIVERS = {"uvicorn": "postgresql+asyncpg", "gthread": "postgresql+psycopg"}


@contextlib.contextmanager
def serving(host: str, postgres_url: str, redis_url: str) -> Iterator[Contender]:
    """Run the application on one host until the block ends; the process is the one that answers."""
    port = free_port()
    command = [sys.executable, "-m", *(part.format(port=port) for part in COMMANDS[host])]
    url = postgres_url.replace("postgresql", DRIVERS[host], 1)
    environment = {**os.environ, "LIGHTAPI_DATABASE_URL": url, "LIGHTAPI_REDIS_URL": redis_url}
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        try:
            wait_for(port, process)
            check(port)
            yield Contender(host, port, worker_of(process.pid))
        finally:
            process.terminate()


def worker_of(process: int) -> int:
    """Return the only child of a process that has one, else the process itself."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    return int(children[0]) if children else process


def check(port: int) -> None:
    """Stop unless both endpoints answer the same bytes, and the second one from Redis."""
    deadline = time.monotonic() + PATIENCE
    while True:
        made, kept, again = (ask(port, path) for path in ("/made", "/kept", "/kept"))
        if again[1] == "hit" or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    if made[1] is not None or again[1] != "hit" or not made[0] == kept[0] == again[0]:
        raise SystemExit(f"the answers are not those that were asked for: {made[1]}, {kept[1]}, {again[1]}")


def ask(port: int, path: str) -> tuple[bytes, str | None]:
    """Return an answer's body and its ``X-Cache``."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.read(), response.headers["x-cache"]


def compared(contender: Contender, rounds: int, seconds: float) -> dict[str, Any]:
    """Return the medians of all rounds, in which the two endpoints take turns."""
    runs = [{path: measured(contender, path, seconds) for path in ("made", "kept")} for _ in range(rounds)]
    row: dict[str, Any] = {
        path: {figure: median(run[path][figure] for run in runs) for figure in ("cpu_us", "rps", "p50_ms")}
        for path in ("made", "kept")
    }
    row["ratio"] = median(run["kept"]["cpu_us"] / run["made"]["cpu_us"] for run in runs)
    return row


def main(arguments: list[str]) -> None:
    """Measure and print; the status is 1 when a kept answer costs more than it may."""
    parser = argparse.ArgumentParser(prog="dev.py bench cache", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args(arguments)
    rows = {}
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(servers.private("postgres", "log_statement=none", "autovacuum=off"))
        redis = stack.enter_context(servers.private("redis"))
        url = stack.enter_context(servers.database(postgres, f"lightapi_benchmark_cache_{os.getpid()}"))
        fill(url, {"made": ROWS, "kept": ROWS})
        for host in COMMANDS:
            with serving(host, url, redis.url) as contender:
                rows[host] = compared(contender, options.rounds, options.seconds)
    print("| host | made: CPU µs | kept: CPU µs | ratio | at most | made: requests/s | kept: requests/s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for host, row in rows.items():
        made, kept = row["made"], row["kept"]
        print(
            f"| {host} | {made['cpu_us']:.0f} | {kept['cpu_us']:.0f} | {row['ratio']:.2f} | {MOST[host]:.2f} "
            f"| {made['rps']:,.0f} | {kept['rps']:,.0f} |"
        )
    if any(row["ratio"] > MOST[host] for host, row in rows.items()):
        raise SystemExit(1)
