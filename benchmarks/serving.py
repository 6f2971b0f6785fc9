"""What every comparison of servers needs: filled tables, started contenders, and their processor time under load."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import psycopg

__all__ = ["PATIENCE", "ROOT", "Contender", "Figures", "fill", "free_port", "measured", "wait_for"]

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 30.0

TABLE = """
CREATE TABLE {name} (
    id serial PRIMARY KEY, title varchar(100) NOT NULL, author varchar NOT NULL, price numeric NOT NULL,
    in_stock boolean NOT NULL, version integer NOT NULL DEFAULT 1,
    created_at timestamptz DEFAULT CURRENT_TIMESTAMP, updated_at timestamptz DEFAULT CURRENT_TIMESTAMP
);
INSERT INTO {name} (title, author, price, in_stock, created_at, updated_at)
SELECT 'Title ' || n, 'Author ' || n % 100, n % 100 + 0.50, n % 2 = 0, moment, moment
FROM generate_series(1, {rows}) AS n, (VALUES (timestamptz '2020-01-02 03:04:05.678+00')) AS fixed (moment);
"""

Figures = dict[str, float]


class Contender(NamedTuple):
    """A running server."""

    name: str
    port: int
    process: int


def fill(url: str, sizes: Mapping[str, int]) -> None:
    """Make the tables with so many rows each."""
    with psycopg.connect(url, autocommit=True) as connection:
        for name, rows in sizes.items():
            connection.execute(TABLE.format(name=name, rows=rows).encode())
        connection.execute("VACUUM ANALYZE")


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return when the server accepts connections."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"a contender did not start: {process.args!r}")


def measured(contender: Contender, workload: str, seconds: float) -> Figures:
    """Load one contender with one workload."""
    command = [sys.executable, "-m", "benchmarks.load", str(contender.port), str(contender.process), workload]
    done = subprocess.run([*command, str(seconds)], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    figures: Figures = json.loads(done.stdout)
    return figures
