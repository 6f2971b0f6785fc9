"""Run a coroutine that never waits, in the thread that calls, without an event loop."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

from lightapi.exceptions import LightApiError

__all__ = ["Decision", "NeedsLoop", "drive", "has_running_loop", "is_async"]

T = TypeVar("T")


class NeedsLoop(LightApiError):
    """A coroutine waited although its route was found to hold nothing asynchronous."""


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what ``coroutine`` returns; raise NeedsLoop if it suspends.

    Which routes may be driven is decided at registration: when NeedsLoop is raised the
    coroutine's side effects have happened.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    name = getattr(coroutine, "__qualname__", repr(coroutine))
    coroutine.close()
    raise NeedsLoop(
        f"{name} waited on a route without an event loop; declare the function that returned "
        "an awaitable with 'async def'"
    )


class Decision:
    """A decision that must be awaited: taken for a bool, it would always be True."""

    def __init__(self, coroutine: Coroutine[Any, Any, bool]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, bool]:
        return self._coroutine.__await__()

    def __bool__(self) -> bool:
        self._coroutine.close()
        raise TypeError("this decision waits for something: await it, in an 'async def'")


def has_running_loop() -> bool:
    """Return True inside an event loop's thread, while it runs."""
    return asyncio._get_running_loop() is not None


def is_async(function: Any) -> bool:
    """Return True when calling ``function`` gives an awaitable, as far as its declaration tells."""
    while isinstance(function, functools.partial):
        function = function.func
    candidates = (function, inspect.unwrap(function), getattr(type(function), "__call__", None))  # noqa: B004
    return any(inspect.iscoroutinefunction(candidate) for candidate in candidates)
