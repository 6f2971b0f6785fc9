"""Commands to Redis that never hold a request up: short limits, a breaker, recovery in the background."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import weakref
from collections.abc import Iterable
from time import monotonic
from typing import Any, TypeVar

from lightapi.exceptions import ConfigurationError, LightApiError
from lightapi.http.drive import has_running_loop
from lightapi.redis_wire import (
    LIMIT,
    Cluster,
    Command,
    Commands,
    Wire,
    WireOnLoops,
    answer_of,
    answer_on_loop,
    connection_maker,
    hurl,
    hurl_first,
)
from lightapi.threads import in_thread

__all__ = ["RedisDown", "RedisLink", "redis_url"]

logger = logging.getLogger("lightapi")

_MOST = 0.5
"""Seconds that connecting and answering may take together."""
_BUSY = 0.1
"""Seconds of one turn of an event loop after which it, not Redis, may be to blame for a missed limit."""
_PROBES = (0.1, 0.5)
"""Seconds between two tries to reach a Redis that failed: at first, and after some tries."""
_FEW = 50
_GRACE = 0.05
"""Seconds that a write waits for a Redis that failed to connect, and to answer."""

T = TypeVar("T")


class RedisDown(LightApiError):
    """Redis does not answer in time, or not as it should: go on without it."""


def redis_url() -> str:
    """Return the environment's ``LIGHTAPI_REDIS_URL``, else the local server's."""
    return os.environ.get("LIGHTAPI_REDIS_URL") or "redis://localhost:6379/0"


class RedisLink:
    """One Redis, for async and for sync callers, on any event loop and in any forked process.

    ``keys`` are those whose deletion must not get lost. The first failure opens the breaker: nobody asks any
    more, and a thread tries to reach Redis, deletes all ``keys`` and closes the breaker again. What was kept
    under them is void then, whatever this process or Redis has missed meanwhile.
    """

    def __init__(self, url: str, keys: Iterable[str] = ()) -> None:
        self.keys = tuple(sorted(set(keys)))
        self._url, self._is_cluster = _plain_url(url)
        try:
            self._make = connection_maker(self._url, asynchronous=False, connected=self._connected)
            self._make_on_loop = connection_maker(self._url, asynchronous=True, connected=self._connected_on_loop)
        except (ValueError, TypeError):  # it may hold a password: it is not shown
            raise ConfigurationError(
                "LIGHTAPI_REDIS_URL: no Redis URL; allowed: redis://host:6379/0, rediss://..., unix://..., or "
                "redis+cluster://host:6379 for a cluster"
            ) from None
        self._begin()
        _links.add(self)

    def _begin(self) -> None:
        """Start with no connection and a closed breaker: at first, and in a forked child."""
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._up = True
        self._hurling = threading.Lock()
        self._wanted = 0
        self._hurled = 0
        self._tries = 0
        self._wire: Commands | None = None
        self._loops = WireOnLoops(self._make_on_loop, self._keep_overdue)
        self._overdue: socket.socket | None = None
        self.server = ""

    @property
    def is_up(self) -> bool:
        """True while the breaker is closed."""
        return self._up

    async def ask(self, *commands: Command) -> list[Any]:
        """Send commands in one round trip and return their answers, errors of single ones among them.

        Raises RedisDown.
        """
        if not has_running_loop():
            return self._timed(commands)
        if self._is_cluster:
            return await in_thread("redis", self._timed, commands)
        async with self._loops.turns():
            return await self._sent(commands)

    async def _sent(self, commands: tuple[Command, ...], *, tries: int = 3) -> list[Any]:
        """Do it on this loop; again where the loop was too busy to see the answer in time."""
        begun = monotonic()
        seen: list[float] = []
        asyncio.get_running_loop().call_soon(_note_time, seen)
        try:
            self._check_up()
            answers = await self._loops.send(commands)
        except RedisDown:
            raise
        except Exception as error:
            if tries > 1 and _was_busy(begun, seen):
                return await self._sent(commands, tries=tries - 1)
            self._fail(error)
            raise RedisDown from error
        return answers

    def _timed(self, commands: tuple[Command, ...]) -> list[Any]:
        """Do the same in this thread."""
        self._check_up()
        begun = monotonic()
        try:
            answers = self._opened().send(commands)
        except Exception as error:
            self._fail(error)
            raise RedisDown from error
        self._check_time(begun)
        return answers

    def _check_up(self) -> None:
        if not self._up:
            raise RedisDown

    def _check_time(self, begun: float) -> None:
        if monotonic() - begun > _MOST:
            self._fail(TimeoutError(f"an answer took more than {_MOST} s"))

    async def delete(self, keys: tuple[str, ...]) -> None:
        """Delete some of ``keys``: at once, or before anything under them is read again by this process."""
        try:
            answers = await self.ask(("DEL", *keys)) if len(keys) == 1 else await self.ask(*(("DEL", k) for k in keys))
        except RedisDown:
            await self._delete_later()
            return
        refused = [answer for answer in answers if isinstance(answer, Exception)]
        if refused:
            self._fail(refused[0])
            await self._delete_later()

    async def _delete_later(self) -> None:
        """Have the recovery delete all keys, and try at once.

        Redis may be back without having been found to be; one that hangs has the command before anybody else's.
        """
        with self._lock:
            self._wanted += 1
            number = self._wanted
        self._wake.set()
        if self._is_cluster:
            return
        if has_running_loop():
            await in_thread("redis", self._hurl, number)
        else:
            self._hurl(number)

    def _hurl(self, number: int) -> None:
        """Delete all keys for the caller of that number, and for all who have come before this begins."""
        with self._hurling:
            if self._up or self._hurled >= number:
                return
            covered = self._wanted
            if self._overdue is not None:
                hurl_first(self._overdue, self.keys, _GRACE)
            hurl(self._url, tuple(("DEL", key) for key in self.keys), _GRACE)
            self._hurled = covered

    def _opened(self) -> Commands:
        with self._lock:
            wire = self._wire
            if wire is None:
                wire = self._wire = self._new()
        return wire

    def _new(self) -> Commands:
        return Cluster(self._url) if self._is_cluster else Wire(self._make, self._keep_overdue)

    def _keep_overdue(self, connection: socket.socket) -> None:
        """Keep the first connection whose answer does not come in time, until Redis is back."""
        with self._lock:
            if self._overdue is None:
                self._overdue = connection
                return
        connection.close()

    def _drop_overdue(self) -> None:
        with self._lock:
            overdue, self._overdue = self._overdue, None
        if overdue is not None:
            overdue.close()

    def _connected(self, connection: Any) -> None:
        """Learn which start of the server a connection goes to: what an earlier one kept is not to be trusted."""
        connection.on_connect()
        connection.send_command("INFO", "server")
        self.server = _run_id(answer_of(connection))

    async def _connected_on_loop(self, connection: Any) -> None:
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        self.server = _run_id(await answer_on_loop(connection))

    def _fail(self, error: BaseException) -> None:
        """Open the breaker, and see to it that it is closed again."""
        with self._lock:
            if not self._up:
                return
            self._up = False
            self._wake.clear()
            self._tries = 0
            arguments = (weakref.ref(self), self._wake)
            threading.Thread(target=_recover, args=arguments, name="lightapi-redis", daemon=True).start()
        logger.warning("Redis is not used until it answers again: %s: %s", type(error).__name__, error)

    def _recovered(self) -> bool:
        """Try once to reach Redis; return whether the breaker is closed."""
        self._wake.clear()
        with self._lock:
            wanted = self._wanted
        reached = self._reached()
        with self._lock:
            self._tries += 1
            # What was asked to be deleted since this try began may have been written after it deleted.
            self._up = reached and wanted == self._wanted
        if self._up:
            self._drop_overdue()
            logger.warning("Redis answers again")
        return self._up

    def _reached(self) -> bool:
        """Delete all keys over a connection of its own; return whether that worked, and in time."""
        begun = monotonic()
        try:
            wire = self._new()
            try:
                answers = wire.send((("PING",), *(("DEL", key) for key in self.keys)))
            finally:
                wire.close()
        except Exception:  # noqa: BLE001  whatever is wrong with it, it is not back
            return False
        return not any(isinstance(answer, Exception) for answer in answers) and monotonic() - begun <= LIMIT

    async def check(self) -> bool:
        """Tell whether Redis answers now."""
        try:
            answers = await self.ask(("PING",))
        except RedisDown:
            return False
        return not isinstance(answers[0], Exception)

    async def close(self) -> None:
        """Close the connections of this loop and those of threads; the link opens others when asked again."""
        if has_running_loop():
            await self._loops.close()
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()
        self._drop_overdue()


def _recover(reference: weakref.ref[RedisLink], wake: threading.Event) -> None:
    """Try to reach Redis, in a thread of its own, until that works or nobody has the link any more."""
    recovered, wait = False, _PROBES[0]
    while not recovered:
        wake.wait(wait)
        link = reference()
        recovered = link is None or link._recovered()
        wait = _PROBES[link is not None and link._tries > _FEW]
        del link


def _note_time(times: list[float]) -> None:
    times.append(monotonic())


def _was_busy(begun: float, seen: list[float]) -> bool:
    """Tell whether the loop's turns came too late to judge Redis by the clock."""
    return not seen or seen[0] - begun > _BUSY or monotonic() - begun > LIMIT + _BUSY


def _plain_url(url: str) -> tuple[str, bool]:
    for scheme in ("redis", "rediss"):
        if url.startswith(f"{scheme}+cluster://"):
            return scheme + url[len(f"{scheme}+cluster") :], True
    return url, False


def _run_id(answer: Any) -> str:
    for line in answer.splitlines() if isinstance(answer, bytes) else ():
        if line.startswith(b"run_id:"):
            return str(line[7:], "ascii", "replace")
    return ""


_links: weakref.WeakSet[RedisLink] = weakref.WeakSet()
_parents: list[Any] = []
"""Clients of a parent process: closing them would speak to its connections."""


def _after_fork() -> None:
    for link in list(_links):
        _parents.append((link._wire, link._loops))
        link._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
