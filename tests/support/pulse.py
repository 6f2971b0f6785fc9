"""How much of a time the machine was busy with something else."""

from __future__ import annotations

import threading
import time

__all__ = ["Pulse"]

_BEAT = 0.01
_LONGEST = 120.0
"""Seconds after which it ends by itself."""


class Pulse:
    """A thread that wakes every 10 ms and notes how late it was: that is time nobody here could use."""

    def __init__(self) -> None:
        self._late: list[tuple[float, float]] = []
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="pulse", daemon=True).start()

    def _run(self) -> None:
        until = time.monotonic() + _LONGEST
        while not self._stopped.is_set() and time.monotonic() < until:
            begun = time.monotonic()
            time.sleep(_BEAT)
            now = time.monotonic()
            if now - begun > 2 * _BEAT:
                self._late.append((begun + _BEAT, now))

    def lost(self, begun: float, ended: float) -> float:
        """Return the seconds of a time in which the thread should have been awake and was not."""
        return sum(max(0.0, min(ended, awake) - max(begun, due)) for due, awake in self._late)

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
