"""Wakes one waiting thread from any other."""

from __future__ import annotations

import threading


class Bell:
    """A bell beside one thread; a ring that nobody waited for wakes the next wait at once.

    A bare lock, because a waiter with a deadline costs a third of what ``threading.Event`` asks for, and an idle
    consumer waits many times a second.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Wake the thread; many rings before it looks are one."""
        try:
            self._lock.release()
        except RuntimeError:  # rung already
            return

    def wait(self, seconds: float) -> None:
        """Return at the next ring, or after that time."""
        self._lock.acquire(timeout=max(seconds, 0.0))
