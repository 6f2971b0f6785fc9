"""Wait, and finish what was begun, on an event loop or in a thread that has none."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from time import sleep
from typing import Any, TypeVar

from lightapi.http.drive import has_running_loop

__all__ = ["pause", "uninterrupted"]

T = TypeVar("T")


async def pause(seconds: float) -> None:
    """Wait on an event loop, or in a thread that has none."""
    if has_running_loop():
        await asyncio.sleep(seconds)
    else:
        sleep(seconds)  # noqa: ASYNC251  no loop runs in this thread


async def uninterrupted(coroutine: Coroutine[Any, Any, T]) -> T:
    """Finish what was begun even where the request is cancelled: a client that left must not leave stale answers.

    On an event loop it runs as a task of its own; no shield of a scope stops ``Task.cancel``.
    """
    if not has_running_loop():
        return await coroutine
    task = asyncio.get_running_loop().create_task(coroutine)
    _running.add(task)
    task.add_done_callback(_ended)
    return await asyncio.shield(task)


_running: set[asyncio.Task[Any]] = set()


def _ended(task: asyncio.Task[Any]) -> None:
    """Let a task go; an exception that nobody waits for any more has been answered or is nobody's."""
    _running.discard(task)
    if not task.cancelled():
        task.exception()
