"""Redis gone, hung, slow, full, locked or holding junk: answers come from the database, in time, and never stale."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from lightapi import Cache, LightApi, RestEndpoint
from tests.support.faults import FAULTS, FaultyRedis, faulty_redis
from tests.support.hosts import Api, Client, Database, LoopThread
from tests.support.pulse import Pulse

# The two ways to ask Redis: from an event loop, and from a thread. Which database answers instead does not matter.
pytestmark = [pytest.mark.hosts("asgi", "wsgi-direct"), pytest.mark.engines("sqlite-sync"), pytest.mark.slow]
SLOW = 0.2
LONGEST = 1.0
MOST_SLOW = 3


class Note(RestEndpoint):
    """Kept for long."""

    value: int = 0

    class Meta:
        cache = Cache(ttl=600)


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[FaultyRedis]:
    """Give a Redis that the apps of this test use."""
    caplog.set_level(logging.CRITICAL)
    with faulty_redis(tmp_path) as server:
        monkeypatch.setenv("LIGHTAPI_REDIS_URL", server.url)
        yield server


class Watch:
    """Clients of apps on one database: asks, times, and compares with the last write that was acknowledged."""

    def __init__(self, *clients: httpx.Client) -> None:
        self.clients = clients
        self.version = 1
        self.value = 0
        self.durations: dict[int, list[float]] = {number: [] for number in range(len(clients))}
        self._spans: dict[int, list[tuple[float, float]]] = {number: [] for number in range(len(clients))}
        self._pulse = Pulse()

    def _asked(self, number: int, *request: Any, **options: Any) -> httpx.Response:
        begun = time.monotonic()
        answer = self.clients[number].request(*request, **options)
        ended = time.monotonic()
        self.durations[number].append(ended - begun)
        self._spans[number].append((begun, ended))
        return answer

    def begin(self) -> None:
        """Make the row and have it kept."""
        assert self.clients[0].post("/notes", json={"value": 0}).status_code == 201
        self.assert_hits_return()

    def read(self, number: int) -> str | None:
        """Read list and item; both must be as the last acknowledged write left them."""
        rows = self._asked(number, "GET", "/notes").json()["results"]
        item = self._asked(number, "GET", "/notes/1")
        assert (rows[0]["value"], item.json()["value"]) == (self.value, self.value)
        state: str | None = item.headers["x-cache"]
        return state

    def write(self, number: int) -> None:
        """Write, and remember what was acknowledged."""
        body = {"value": self.value + 1, "version": self.version}
        assert self._asked(number, "PATCH", "/notes/1", json=body).status_code == 200
        self.value += 1
        self.version += 1

    def assert_quick(self) -> None:
        """No request over a second, and at most three slow ones in a row."""
        for spans in self._spans.values():
            durations = self.own_times(spans)
            assert max(durations, default=0) < LONGEST, durations
            slow = "".join("s" if duration > SLOW else "." for duration in durations)
            assert "s" * (MOST_SLOW + 1) not in slow, durations

    def own_times(self, spans: list[tuple[float, float]]) -> list[float]:
        """Return the seconds of each span without what the machine took."""
        time.sleep(0.05)  # for the pulse to have been there, too
        self._pulse.stop()
        return [ended - begun - self._pulse.lost(begun, ended) for begun, ended in spans]

    def assert_hits_return(self, patience: float = 15) -> None:
        """Read until all are answered from the cache again; nothing stale meanwhile."""
        until = time.monotonic() + patience
        states: list[str | None] = []
        while time.monotonic() < until:
            states = [self.read(number) for number in range(len(self.clients))]
            if set(states) == {"hit"}:
                return
            time.sleep(0.02)
        raise AssertionError(states)


def _two(api: Api) -> Watch:
    mapping = {"/notes": Note}
    watch = Watch(api(mapping), api({"/notes": type("Note", (RestEndpoint,), dict(_body()))}))
    watch.begin()
    return watch


def _body() -> dict[str, Any]:
    meta = type("Meta", (), {"cache": Cache(ttl=600)})
    return {"__annotations__": {"value": int}, "value": 0, "Meta": meta, "__qualname__": "Note", "__module__": __name__}


@pytest.mark.parametrize("fault", FAULTS)
def test_requests_are_answered_in_time_during_a_fault_and_rightly_after_it(
    api: Api, faulty: FaultyRedis, fault: str
) -> None:
    begin, end = FAULTS[fault]
    watch = _two(api)

    begin(faulty)
    for turn in range(6):
        watch.read(turn % 2)
        watch.write(1 - turn % 2)
        watch.read(turn % 2)
    end(faulty)
    for turn in range(10):
        watch.read(turn % 2)
    watch.write(0)
    watch.read(1)

    watch.assert_hits_return()
    watch.assert_quick()


LOSING = ("locked", "cut", "swallowing", "no-redis")
"""Nothing that the writer sends arrives, while the other app may go on to read what is kept."""
RECOVERY = 1.0


@pytest.mark.parametrize("fault", FAULTS)
def test_a_write_during_a_fault_reaches_an_app_that_did_not_notice_it(
    api: Api, faulty: FaultyRedis, fault: str
) -> None:
    begin, end = FAULTS[fault]
    watch = _two(api)

    begin(faulty)
    watch.read(0)
    watch.write(0)
    end(faulty)
    if fault in LOSING:
        time.sleep(RECOVERY)
    watch.read(1)

    watch.assert_hits_return()
    watch.assert_quick()


def test_a_write_while_redis_hangs_goes_before_a_read_of_another_app_that_waits(api: Api, faulty: FaultyRedis) -> None:
    watch = _two(api)
    faulty.hang()
    watch.read(0)
    watch.write(0)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(watch.read, 1)
        time.sleep(0.1)
        faulty.go_on()

        waiting.result()
    watch.assert_hits_return()


def test_redis_emptied_is_no_fault(api: Api, faulty: FaultyRedis) -> None:
    watch = _two(api)

    for number in (0, 1):
        faulty.admin.flushall()
        assert watch.read(number) == "miss"
        assert watch.read(number) == "hit"


def _flipped(value: bytes) -> bytes:
    middle = len(value) // 2
    return value[:middle] + bytes([value[middle] ^ 1]) + value[middle + 1 :]


def _replace(faulty: FaultyRedis, key: bytes, kind: str) -> None:
    value: Any = faulty.admin.get(key)
    faulty.admin.delete(key)
    changed = {
        "random": b"\x00\xff\x80random bytes of somebody",
        "truncated": value[:-1],
        "flipped": _flipped(value),
        "short": value[:40],
        "empty": b"",
    }
    match kind:
        case "list":
            faulty.admin.rpush(key, "a", "b")
        case "hash":
            faulty.admin.hset(key, "a", "b")
        case "set":
            faulty.admin.sadd(key, "a")
        case _:
            faulty.admin.set(key, changed[kind])


JUNK = ["random", "truncated", "flipped", "short", "empty", "list", "hash", "set"]


@pytest.mark.parametrize("kind", JUNK)
@pytest.mark.parametrize("which", ["answers", "all"])
def test_junk_under_our_keys_is_never_an_answer(api: Api, faulty: FaultyRedis, kind: str, which: str) -> None:
    watch = _two(api)
    keys: Any = faulty.admin.keys("lightapi:*")
    assert len(keys) == 3
    for key in keys:
        if which == "all" or not key.endswith(b"generation"):
            _replace(faulty, key, kind)

    watch.read(0)
    watch.write(0)
    watch.read(1)

    watch.assert_hits_return()
    watch.assert_quick()


@pytest.mark.parametrize("kind", ["random", "list"])
def test_junk_in_the_place_of_a_lock_holds_nobody_up(api: Api, faulty: FaultyRedis, kind: str) -> None:
    watch = _two(api)
    keys: Any = faulty.admin.keys("lightapi:*")
    (generation,) = [key for key in keys if key.endswith(b"generation")]
    word: Any = faulty.admin.get(generation)
    for key in keys:
        if key != generation:
            lock = key + b":" + word
            faulty.admin.delete(key)
            faulty.admin.set(lock, "junk")
            if kind == "list":
                faulty.admin.delete(lock)
                faulty.admin.rpush(lock, "junk")

    watch.read(0)

    watch.assert_quick()


@pytest.mark.hosts("asgi")
@pytest.mark.parametrize("fault", ["hung", "slow", "swallowing"])
def test_the_event_loop_goes_on_while_redis_does_not_answer(
    api: Api, faulty: FaultyRedis, fault: str, loop_thread: LoopThread
) -> None:
    client: Client = api({"/notes": Note})
    watch = Watch(client)
    watch.begin()
    gaps: list[tuple[float, float]] = []

    async def tick() -> None:
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0.01)
            gaps.append((begun, time.monotonic()))

    async def start() -> asyncio.Task[None]:
        return asyncio.ensure_future(tick())

    begin, end = FAULTS[fault]
    ticking = loop_thread.run(start())
    begin(faulty)
    for _ in range(3):
        watch.read(0)
        watch.write(0)
    end(faulty)
    loop_thread.loop.call_soon_threadsafe(ticking.cancel)

    assert max(watch.durations[0]) > SLOW
    assert max(watch.own_times(gaps)) < SLOW


@pytest.mark.hosts("wsgi-direct")
def test_an_app_that_starts_without_redis_uses_it_when_it_is_there(
    database: Database, api: Api, faulty: FaultyRedis
) -> None:
    faulty.kill()
    client = api({"/notes": Note})
    assert isinstance(client.app, LightApi)
    client.post("/notes", json={"value": 0})
    assert client.get("/readyz").status_code == 503
    faulty.start()

    Watch(client).assert_hits_return()

    assert client.get("/readyz").status_code == 200
