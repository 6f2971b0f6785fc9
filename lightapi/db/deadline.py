"""The deadline of database work: one watchdog thread per process, one timer per event loop.

Watching costs two dict operations. Whoever pops a watch from the table owns what happens next: the worker
(it finished in time) or the watchdog (it is late: cancel the statement, then sever the connection), so that a
cancel can never hit the connection's next user.
"""

from __future__ import annotations

import asyncio
import threading
from time import monotonic
from typing import Any

from lightapi.db.liveness import Peer
from lightapi.exceptions import ServiceUnavailable

__all__ = ["LoopWatchdog", "TaskWatch", "Watch", "Watchdog", "watchdog"]

_SEVER_AFTER = 0.5
_IDLE_PAUSE = 0.25
_LATE_PAUSE = 0.05
_IDLE_ROUNDS = 8
_MISSING = object()


class Watch:
    """One piece of database work: when it must be over and which connection it uses, once known."""

    __slots__ = ("_cancelled", "expires", "finished", "late", "peer")

    def __init__(self, expires: float) -> None:
        self.expires = expires
        self.peer: Peer | None = None
        self.late = False
        """The worker has learnt that the watchdog was faster."""
        self.finished = False
        """The connection is in no danger any more: stop pressing."""
        self._cancelled = False

    def remaining(self) -> float:
        """Return the seconds left, or raise ServiceUnavailable when there are none."""
        left = self.expires - monotonic()
        if left <= 0:
            raise ServiceUnavailable
        return left

    def press(self, now: float) -> None:
        """Stop late work: first the statement, then (or if nothing else helps) the connection."""
        peer = self.peer
        if peer is None:
            return
        if not self._cancelled:
            self._cancelled = True
            peer.cancel()
        elif now >= self.expires + _SEVER_AFTER:
            peer.sever()

    def forgive(self) -> bool:
        """Take back what ``press`` did to the worker; false when the worker must stop all the same."""
        return True

    def explains(self, error: BaseException) -> bool:
        """Tell whether the late work failed because it was late."""
        return self.forgive() and isinstance(error, Exception)


class TaskWatch(Watch):
    """Work of an asyncio task, which is cancelled unless that would destroy a shared in-memory database."""

    __slots__ = ("_cancels", "_keep", "_task")

    def __init__(self, expires: float, task: asyncio.Task[Any] | None, *, keep: bool) -> None:
        super().__init__(expires)
        self._task = task
        self._keep = keep
        self._cancels = 0

    def press(self, now: float) -> None:
        """Cancel the task, and what its connection is doing."""
        # A second time where the driver waits for a farewell that a hung server never sends (asyncpg 0.30).
        wanted = 2 if now >= self.expires + _SEVER_AFTER else 1
        spare = self._keep and self.peer is not None
        if self._task is not None and self._cancels < wanted and not spare:
            self._cancels += 1
            self._task.cancel()
        super().press(now)

    def forgive(self) -> bool:
        """Take our own cancellations back; false when somebody else cancelled the task too."""
        count, self._cancels = self._cancels, 0
        # Python 3.10 cannot tell whether somebody else did.
        uncancel = getattr(self._task, "uncancel", None)
        if uncancel is None:
            return True
        left = 0
        for _ in range(count):
            left = uncancel()
        return left == 0

    def explains(self, error: BaseException) -> bool:
        """Tell whether the late work failed because it was late."""
        cancelled = self._cancels > 0 and isinstance(error, asyncio.CancelledError)
        return self.forgive() and (cancelled or isinstance(error, Exception))


class _Table:
    """The watches under way (``_entries``) and the late ones that still run (``_late``)."""

    def __init__(self) -> None:
        self._entries: dict[Watch, None] = {}
        self._late: list[Watch] = []

    def _sweep(self, now: float) -> float | None:
        """Press what is late and return the pause until the next look, None when nothing is watched."""
        nearest = now + _IDLE_PAUSE
        for watch in list(self._entries):
            if watch.expires > now:
                nearest = min(nearest, watch.expires)
            elif self._entries.pop(watch, _MISSING) is None:
                self._late.append(watch)
        if not self._late:
            return max(nearest - now, 0.005) if self._entries else None
        self._late = [watch for watch in self._late if not watch.finished]
        for watch in self._late:
            watch.press(now)
        return min(_LATE_PAUSE, max(nearest - now, 0.005))


class Watchdog(_Table):
    """The daemon thread that ends late work of other threads; started by the first watch."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._parked = True
        self._thread: threading.Thread | None = None

    def start(self, watch: Watch) -> None:
        """Begin to watch."""
        self._entries[watch] = None
        if self._parked:
            self._unpark()

    def stop(self, watch: Watch) -> bool:
        """End the watch; false when it came too late, so that the connection may be broken."""
        if self._entries.pop(watch, _MISSING) is None:
            return True
        if watch.finished:
            return not watch.late
        with self._lock:  # what the watchdog is just doing to the connection must not meet its next user
            watch.late = watch.finished = True
        return False

    def _unpark(self) -> None:
        with self._lock:
            self._parked = False
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="lightapi-deadline", daemon=True)
                self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        idle = 0
        while True:
            with self._lock:
                pause = self._sweep(monotonic())
            idle = idle + 1 if pause is None else 0
            # Waking costs a thread switch: stay up between requests that follow closely.
            if idle > _IDLE_ROUNDS:
                self._park()
                idle = 0
            else:
                self._wake.wait(_IDLE_PAUSE if pause is None else pause)
                self._wake.clear()

    def _park(self) -> None:
        self._parked = True
        if not self._entries:  # start() writes its entry first and looks at the flag then: one of us sees the other
            self._wake.wait()
        self._wake.clear()
        self._parked = False

    def reset(self) -> None:
        """Begin anew in a forked child, which has no thread and none of the parent's work."""
        Watchdog.__init__(self)


class LoopWatchdog(_Table):
    """The same on an event loop, by a timer that exists only while something is watched."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def start(self, watch: Watch) -> None:
        """Begin to watch."""
        self._entries[watch] = None
        if self._timer is None:
            pause = max(0.0, min(_IDLE_PAUSE, watch.expires - monotonic()))
            self._timer = self._loop.call_later(pause, self._tick)

    def stop(self, watch: Watch) -> bool:
        """End the watch; false when it came too late: dropping the connection stays watched until ``finished``."""
        if self._entries.pop(watch, _MISSING) is None:
            return True
        if watch.finished:
            return not watch.late
        watch.late = True
        return False

    def _tick(self) -> None:
        pause = self._sweep(monotonic())
        self._timer = None if pause is None else self._loop.call_later(pause, self._tick)


watchdog = Watchdog()
