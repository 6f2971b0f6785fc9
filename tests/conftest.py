"""Fixtures every test may ask for, and what the whole run has in common."""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator

import hypothesis
import pytest

from lightapi import redis_link, redis_wire
from lightapi.db import listeners
from tests.support import browser, servers

if sys.version_info < (3, 11):  # schemathesis needs it
    collect_ignore = ["test_openapi_fuzz.py"]

pytest_plugins = ["tests.support.hosts"]

# Time limits per example measure how busy the machine is. Only long runs look for examples that nobody has seen yet.
hypothesis.settings.register_profile("steady", deadline=None, derandomize="LIGHTAPI_TEST_LONG" not in os.environ)
hypothesis.settings.load_profile("steady")

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
PROGRAMS = {
    "browser": browser.PROGRAMS,
    "node": ("npm",),
    "pgbouncer": ("pgbouncer",),
    "nginx": ("nginx",),
}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[servers.Server]:
    """Give the PostgreSQL server of this test run."""
    with servers.join("postgres") as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: servers.Server) -> Iterator[str]:
    """Give the URL of a database that belongs to this worker alone."""
    with servers.database(postgres_server, f"lightapi_{WORKER}_{os.getpid()}") as url:
        yield url


@pytest.fixture(scope="session")
def postgres_log(postgres_server: servers.Server, postgres_url: str) -> Iterator[servers.StatementLog]:
    """Give the log of what this worker's database is asked."""
    if postgres_server.log is None:
        pytest.skip(f"the log of an external PostgreSQL server is not named by {servers.LOG_VARIABLE}")
    log = servers.StatementLog(postgres_server.log, postgres_url)
    yield log
    log.close()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Give the URL of a Redis database that belongs to this worker alone."""
    with servers.join("redis") as server:
        yield servers.redis_database(server, int(WORKER.removeprefix("gw")))


@pytest.fixture(autouse=True)
def patient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give servers seconds more to answer on a busy machine, except where being late is what is tested."""
    monkeypatch.setattr(listeners, "CONNECT_TIMEOUT", 10)
    if "faulty" not in request.fixturenames:
        monkeypatch.setattr(redis_link, "_MOST", 10.0)
        monkeypatch.setattr(redis_wire, "LIMIT", 5.0)
        monkeypatch.setattr(redis_wire.connection_maker, "__kwdefaults__", {"limit": 5.0})


def pytest_itemcollected(item: pytest.Item) -> None:
    """Refuse a test whose name holds the time: the processes of one run would not agree on what there is to run."""
    week = 7 * 86_400
    if any(abs(int(digits) - time.time()) < week for digits in re.findall(r"\d{10}", item.name)):
        message = f"{item.nodeid}: a name must be the same in every process and second"
        raise pytest.UsageError(message)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a program that this machine has not; fail it where LIGHTAPI_TEST_REQUIRE names its marker."""
    for kind in sorted(missing_programs().intersection(marker.name for marker in item.iter_markers())):
        if kind in os.environ.get("LIGHTAPI_TEST_REQUIRE", "").split(","):
            pytest.fail(f"needs {kind}, which LIGHTAPI_TEST_REQUIRE asks for", pytrace=False)
        pytest.skip(f"needs {kind}")


@functools.cache
def missing_programs() -> set[str]:
    """Return the markers whose program is not on this machine."""
    found = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
    return {kind for kind, names in PROGRAMS.items() if not any(shutil.which(name, path=found) for name in names)}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name in one line the kinds of tests that were skipped for want of a program."""
    reasons = [str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []) if report.longrepr]
    counts = {kind: sum(f"needs {kind}" in reason for reason in reasons) for kind in PROGRAMS}
    wanted = ", ".join(f"{kind} ({count})" for kind, count in counts.items() if count)
    if wanted:
        terminalreporter.write_line(f"skipped, because this machine has none: {wanted}")
