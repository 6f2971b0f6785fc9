"""Compare what an answer costs the server: LightAPI against the same answers written by hand.

``python3 dev.py bench [--quick] [--rounds N] [--seconds S] [--json FILE]``; README.md says how to read the table.
``python3 dev.py bench depth``, ``bench cache`` and ``bench redis`` are other benchmarks, each a file of its own here.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import caching, commands, depth
from benchmarks.load import BAD, GOOD, ROWS, WORKLOADS
from benchmarks.serving import PATIENCE, ROOT, Contender, Figures, fill, free_port, measured, wait_for
from tests.support import servers

CONTENDERS = ("raw", "lightapi")
"""The first is what the others are compared with; ``contenders/<name>_asgi.py`` holds each."""
SHORT_LIST = 20
FIGURES = ("cpu_us", "rps", "p50_ms", "p99_ms")

Answer = tuple[int, Any]


@contextlib.contextmanager
def started() -> Iterator[list[Contender]]:
    """Start PostgreSQL and every contender, each with a database of its own, all filled alike."""
    with contextlib.ExitStack() as stack:
        if os.environ.get(servers.VARIABLES["postgres"]):
            postgres = stack.enter_context(servers.join("postgres"))
        else:
            postgres = stack.enter_context(servers.private("postgres", "log_statement=none", "autovacuum=off"))
        contenders = []
        for name in CONTENDERS:
            url = stack.enter_context(servers.database(postgres, f"lightapi_benchmark_{name}_{os.getpid()}"))
            fill(url, {"books": ROWS, "shelves": SHORT_LIST})
            contenders.append(stack.enter_context(serving(name, url)))
        yield contenders


@contextlib.contextmanager
def serving(name: str, url: str) -> Iterator[Contender]:
    """Run one contender under uvicorn, one process, until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", f"benchmarks.contenders.{name}_asgi:app", "--port", str(port)]
    command += ["--no-access-log", "--log-level", "warning", "--lifespan", "on"]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "BENCHMARK_URL": url}) as process:
        try:
            wait_for(port, process)
            yield Contender(name, port, process.pid)
        finally:
            process.terminate()


def answers(contender: Contender) -> dict[str, Answer]:
    """Ask one request of every workload; what no two servers can answer alike is left out."""
    connection = http.client.HTTPConnection("127.0.0.1", contender.port, timeout=PATIENCE)

    def ask(method: str, path: str, body: bytes | None = None) -> Answer:
        connection.request(method, path, body, {} if body is None else {"Content-Type": "application/json"})
        response = connection.getresponse()
        kind, text = response.headers["content-type"], response.read()
        answered = json.loads(text) if kind == "application/json" else text
        if method in ("POST", "PATCH") and isinstance(answered, dict):
            answered = {name: value for name, value in answered.items() if not name.endswith("_at")}
        return response.status, answered

    with contextlib.closing(connection):
        return {
            "get_one": ask("GET", "/books/77"),
            "list_20": ask("GET", "/shelves"),
            "create": ask("POST", "/books", GOOD),
            "patch": ask("PATCH", f"/books/{ROWS}", b'{"price": "12.50", "version": 1}'),
            "invalid": ask("POST", "/books", BAD),
        }


def check(contenders: list[Contender]) -> None:
    """Stop unless every contender answers every workload with the right status and with what the first one answers."""
    wanted = answers(contenders[0])
    for contender in contenders:
        for workload, answer in answers(contender).items() if contender is not contenders[0] else wanted.items():
            if answer[0] != WORKLOADS[workload].status or answer != wanted[workload]:
                raise SystemExit(f"{contender.name} {workload}: {answer}, wanted {wanted[workload]}")
    if len(wanted["list_20"][1]["results"]) != SHORT_LIST or wanted["get_one"][1]["id"] != 77:
        raise SystemExit("the rows are not those that were asked for")


def compare(contenders: list[Contender], workloads: list[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Return the medians of all rounds by workload and contender; the contenders take turns within a round."""
    seen: dict[str, dict[str, list[Figures]]] = {name: {each.name: [] for each in contenders} for name in workloads}
    for number in range(rounds):
        for workload in workloads:
            print(f"\rround {number + 1} of {rounds}: {workload:10}", end="", file=sys.stderr, flush=True)
            for contender in contenders:
                seen[workload][contender.name].append(measured(contender, workload, seconds))
    print("\r", end="", file=sys.stderr)
    return {workload: summary(by_name) for workload, by_name in seen.items()}


def summary(by_name: dict[str, list[Figures]]) -> dict[str, Figures]:
    """Return the medians; ``ratio`` is that of the processor time, taken within each round first."""
    base = by_name[CONTENDERS[0]]
    result = {}
    for name, runs in by_name.items():
        result[name] = {figure: median(run[figure] for run in runs) for figure in FIGURES}
        result[name]["ratio"] = median(run["cpu_us"] / other["cpu_us"] for run, other in zip(runs, base, strict=True))
    return result


def table(results: dict[str, dict[str, Figures]]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| workload | contender | CPU µs per request | ratio | requests/s | p50 ms | p99 ms |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for workload, by_name in results.items():
        for name, row in by_name.items():
            lines.append(
                f"| {workload} | {name} | {row['cpu_us']:.0f} | {row['ratio']:.2f} | {row['rps']:,.0f} "
                f"| {row['p50_ms']:.1f} | {row['p99_ms']:.1f} |"
            )
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Check, measure and print."""
    if arguments[:1] == ["depth"]:
        depth.main(arguments[1:])
        return
    if arguments[:1] == ["cache"]:
        caching.main(arguments[1:])
        return
    if arguments[:1] == ["redis"]:
        commands.main(arguments[1:])
        return
    parser = argparse.ArgumentParser(prog="dev.py bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of load per contender, workload and round")
    parser.add_argument("--quick", action="store_true", help="one short round: does it work at all?")
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS), help="may be repeated; all by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 1, 0.3
    with started() as contenders:
        check(contenders)
        results = compare(contenders, options.workload or list(WORKLOADS), options.rounds, options.seconds)
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
