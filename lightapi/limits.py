"""How often a login may fail: counted per client and user name, in Redis or in this process."""

from __future__ import annotations

import hashlib
import ipaddress
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import Any

from starlette.requests import Request

from lightapi.config import check_call
from lightapi.exceptions import ConfigurationError, TooManyRequests
from lightapi.permissions import made
from lightapi.redis_link import RedisDown, RedisLink
from lightapi.waiting import pause

__all__ = ["FAILURES", "FailureLimiter", "limiter_of"]

FAILURES = 10
"""Failures a minute before a client has to wait."""
_WINDOW = 60.0
_MOST = 10_000
"""Client and user pairs that one process remembers."""
_LOOKED_AT = 200
_TURN, _LONG_TURN = 0.02, 0.2
"""Seconds between two looks at whether logins that are being checked have failed: at first, and in the end."""

_PATIENCE = 5.0


class FailureLimiter:
    """Let a client fail so often a minute to log in as one user; exact also for logins at the same time.

    A limiter of your own has the same three methods, each ``def`` or ``async def``.
    """

    def __init__(self, failures: int = FAILURES, link: RedisLink | None = None) -> None:
        self._failures = failures
        self._link = link
        self._local = _Local(failures)

    async def begin(self, key: str) -> float:
        """Return 0 to let a login be checked, else the seconds after which the client may try again.

        While as many logins are being checked as may fail, it waits for their outcome.
        """
        until = monotonic() + _PATIENCE
        turn = _TURN
        while True:
            state, seconds = await self._turn(key)
            if state != _BUSY:
                return seconds
            if monotonic() > until:
                return 1.0
            await pause(turn)
            turn = min(2 * turn, _LONG_TURN)

    async def succeeded(self, key: str) -> None:
        """End a login that was let through, and right."""
        self._local.asked("succeeded", key)
        await self._shared("succeeded", key)

    async def failed(self, key: str) -> None:
        """End a login that was let through, and wrong."""
        self._local.asked("failed", key)
        await self._shared("failed", key)

    async def _turn(self, key: str) -> tuple[int, float]:
        """Ask for a turn in Redis, else here; counted here too, so that a Redis that fails gives no second set."""
        everywhere = await self._shared("begin", key)
        if everywhere is not None and everywhere[0] != _GO:
            return everywhere
        here = self._local.asked("begin", key)
        return here if everywhere is None else everywhere

    async def _shared(self, event: str, key: str) -> tuple[int, float] | None:
        """Count in Redis; None where there is none, or none that answers."""
        if self._link is None or not self._link.is_up:
            return None
        arguments = (f"lightapi:login:{key}", event, self._failures, int(_WINDOW * 1000))
        try:
            (answer,) = await self._link.ask(("EVAL", _SCRIPT, 1, *arguments))
        except RedisDown:
            return None
        return (int(answer[0]), int(answer[1]) / 1000) if isinstance(answer, list) else None


_GO, _BUSY, _WAIT = range(3)

_SCRIPT = """
local failed = tonumber(redis.call('HGET', KEYS[1], 'failed') or 0)
local pending = tonumber(redis.call('HGET', KEYS[1], 'pending') or 0)
if ARGV[1] == 'begin' then
  if failed >= tonumber(ARGV[2]) then return {2, math.max(1, redis.call('PTTL', KEYS[1]))} end
  if failed + pending >= tonumber(ARGV[2]) then return {1, 0} end
  redis.call('HINCRBY', KEYS[1], 'pending', 1)
else
  if pending > 0 then redis.call('HINCRBY', KEYS[1], 'pending', -1) end
  if ARGV[1] == 'failed' then redis.call('HINCRBY', KEYS[1], 'failed', 1) end
end
if redis.call('PTTL', KEYS[1]) == -1 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return {0, 0}
"""
"""One step of the count, atomic; what ``_Local.asked`` does in a process."""


@dataclass(slots=True)
class _Count:
    until: float
    failed: int = 0
    pending: int = 0


class _Local:
    """The counts of one process."""

    def __init__(self, failures: int) -> None:
        self._failures = failures
        self._counts: OrderedDict[str, _Count] = OrderedDict()
        self._lock = threading.Lock()

    def asked(self, event: str, key: str) -> tuple[int, float]:
        """Take note of an event; return whether to go on, and the seconds to wait if not."""
        now = monotonic()
        with self._lock:
            count = self._counts.get(key)
            if count is None or (count.until <= now and not count.pending):
                count = self._counts[key] = _Count(now + _WINDOW)
                self._counts.move_to_end(key)
            elif count.until <= now:
                count.failed, count.until = 0, now + _WINDOW
            if len(self._counts) > _MOST:
                self._forget_one(now)
            return self._counted(count, event, now)

    def _forget_one(self, now: float) -> None:
        """Forget one of the oldest, rather one that is over or has few failures: a lock must not be washed away."""
        oldest = list(islice(self._counts.items(), _LOOKED_AT))
        key = min(oldest, key=lambda item: (item[1].until > now, item[1].failed))[0]
        del self._counts[key]

    def _counted(self, count: _Count, event: str, now: float) -> tuple[int, float]:
        if event == "begin":
            if count.failed >= self._failures:
                return _WAIT, count.until - now
            if count.failed + count.pending >= self._failures:
                return _BUSY, 0.0
            count.pending += 1
        else:
            count.pending = max(0, count.pending - 1)
            count.failed += event == "failed"
        return _GO, 0.0


_METHODS = ("begin", "succeeded", "failed")


def limiter_of(given: Any, link: RedisLink | None) -> Any:
    """Return the limiter of the login routes, None for none; raise ConfigurationError for what is no limiter."""
    if given is False:
        return None
    if given is None:
        return FailureLimiter(FAILURES, link)
    if isinstance(given, Mapping):
        number = given.get("requests_per_minute")
        if set(given) == {"requests_per_minute"} and type(number) is int and number >= 1:
            return FailureLimiter(number, link)
    elif all(callable(getattr(given, name, None)) for name in _METHODS):
        for name in _METHODS:
            check_call(f"rate_limiter={given!r}", given, name, "key")
        return made(given, "rate_limiter")
    raise ConfigurationError(
        f"rate_limiter={given!r} given; allowed: {{'requests_per_minute': 10}}, False, or an object with "
        "begin(key), succeeded(key) and failed(key)"
    )


def check_turn(seconds: Any) -> None:
    """Raise TooManyRequests where a limiter's ``begin`` returned seconds to wait."""
    if seconds:
        raise TooManyRequests(float(seconds))


def key_of(request: Request, username: str) -> str:
    """Return what failures are counted by: the client's address (its /64 in IPv6) and the user name, hashed."""
    client = request.client.host if request.client is not None else ""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        network = client
    else:
        address = getattr(address, "ipv4_mapped", None) or address
        network = str(ipaddress.ip_network((address, 64 if address.version == 6 else 32), strict=False))  # noqa: PLR2004
    name = "".join(c for c in username if unicodedata.category(c) not in ("Cc", "Cf"))
    name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()
    return hashlib.sha256(repr((network, name)).encode("utf-8", "backslashreplace")).hexdigest()
