"""Threads for what may block, off the event loop: each kind of work its own number, so that none waits for another."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread

__all__ = ["in_thread"]

T = TypeVar("T")

_limiters: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, anyio.CapacityLimiter]] = (
    weakref.WeakKeyDictionary()
)
_MOST = {"login": 40, "keys": 4, "redis": 16, "pages": 1}
"""Threads per event loop: to check logins, to fetch keys, to ask a cluster, to make the document."""


async def in_thread(kind: str, function: Callable[..., T], *args: Any) -> T:
    """Run a function in one of the threads for its kind of work."""
    limiters = _limiters.setdefault(asyncio.get_running_loop(), {})
    limiter = limiters.get(kind)
    if limiter is None:
        limiter = limiters[kind] = anyio.CapacityLimiter(_MOST[kind])
    return await anyio.to_thread.run_sync(function, *args, limiter=limiter)
