"""Decides how often a thread looks at the file for what other processes wrote."""

from __future__ import annotations

import time

EAGER_NAP = 0.001
IDLE_NAP = 0.02
"""Seconds between two looks: while something happened lately, and when nothing has for long."""

EAGER_FOR = 2.0
"""Seconds that "lately" lasts."""

GROWTH = 1.5


class Pace:
    """The naps of one thread."""

    def __init__(self) -> None:
        self._nap = EAGER_NAP
        self._eager_until = 0.0

    def stir(self) -> None:
        """Something happened: look often for a while."""
        self._eager_until = time.monotonic() + EAGER_FOR

    def nap(self) -> float:
        """Seconds until the next look."""
        if time.monotonic() < self._eager_until:
            self._nap = EAGER_NAP
        else:
            self._nap = min(self._nap * GROWTH, IDLE_NAP)
        return self._nap
