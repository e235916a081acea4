"""A clock that stands still until it is turned."""

from __future__ import annotations

import threading

from umbel.clock import SystemClock


class VirtualClock(SystemClock):
    """All its readings move together, forwards, and only by ``turn``. Safe to use from all threads."""

    def __init__(self, now: float) -> None:
        self._lock = threading.Lock()
        self._start = now
        self._monotonic = super().monotonic()
        self._boot = super().boot()
        self._turned = 0.0

    def now(self) -> float:
        return self._start + self._turned

    def monotonic(self) -> float:
        return self._monotonic + self._turned

    def boot(self) -> float:
        return self._boot + self._turned

    def turn(self, seconds: float) -> None:
        """Move on by so many seconds."""
        with self._lock:
            self._turned += seconds
