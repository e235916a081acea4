"""Reports on their way out of a runner: in batches while tasks are short, at once when they are not."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

AT_ONCE = 0.001
"""Seconds after which the thread that runs tasks hands over what it has before it goes on."""

AT_LATEST = 0.005
"""Seconds after which a report is handed over though its thread is busy with the next task."""


class Outbox:
    """``hand_over(reports, void)`` gets reports in order, and the numbers that were not started.

    ``add`` and ``add_void`` belong to the threads that run tasks. One thread more, which sleeps while nothing is done,
    sees to it that the report of a short task does not wait for the end of a long one after it.
    """

    def __init__(self, hand_over: Callable[[list[Any], list[int]], None]) -> None:
        self._hand_over = hand_over
        self._reports: deque[Any] = deque()
        self._void: deque[int] = deque()
        self._handed = monotonic()
        self._awake = threading.Event()
        self._closed = False
        self._watch = threading.Thread(target=self._look_after, name="umbel-outbox", daemon=True)
        self._watch.start()

    def add(self, report: Any) -> None:
        """A delivery has ended."""
        self._reports.append(report)
        if monotonic() - self._handed > AT_ONCE:
            self.flush()
        elif not self._awake.is_set():
            self._awake.set()

    def add_void(self, number: int) -> None:
        """A delivery was not started: it had been taken back."""
        self._void.append(number)

    def flush(self) -> None:
        """Hand over what there is. Safe from every thread: each entry is taken by one of them."""
        reports = _drained(self._reports)
        void = _drained(self._void)
        self._handed = monotonic()
        if reports or void:
            self._hand_over(reports, void)

    def close(self) -> None:
        """Hand over the last."""
        self._closed = True
        self._awake.set()
        self.flush()

    def _look_after(self) -> None:
        while not self._closed:
            self._awake.wait()
            waiting = self._first()
            sleep(AT_LATEST)
            if waiting is None and not self._reports:
                self._awake.clear()
                if self._reports:
                    self._awake.set()
            elif waiting is not None and self._first() is waiting:
                self.flush()

    def _first(self) -> Any:
        """The report that has waited longest, or None; another thread may be taking them out."""
        try:
            return self._reports[0]
        except IndexError:
            return None


def _drained(entries: deque[Any]) -> list[Any]:
    drained = []
    try:
        while True:
            drained.append(entries.popleft())
    except IndexError:
        return drained
