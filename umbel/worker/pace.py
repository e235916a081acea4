"""How many deliveries to keep ready: many for tasks of microseconds, none beyond the free slots for long ones."""

from __future__ import annotations

AHEAD = 0.02
"""Seconds of work that a runner may have in front of it beyond what it runs."""

DEEPEST = 128
"""No runner gets more than this many ahead, or twice its slots."""

_WEIGHT = 0.25
"""How much a report of new run times counts against what was known."""


class Pace:
    """The mean run time lately, and what follows from it for runners of so many slots. ``multiplier`` pins it; None
    adapts."""

    def __init__(self, multiplier: int | None, slots: int = 1) -> None:
        self._multiplier = multiplier
        self._slots = slots
        self._deepest = max(DEEPEST, 2 * slots)
        self._mean: float | None = None
        self.ahead = 0 if multiplier is None else slots * max(0, multiplier - 1)
        """How many deliveries a runner may have beyond its slots."""

    def learn(self, seconds: float, count: int) -> None:
        """``count`` tasks took ``seconds`` together."""
        if count <= 0:
            return
        mean = seconds / count
        self._mean = known = mean if self._mean is None else self._mean + _WEIGHT * (mean - self._mean)
        if self._multiplier is None:
            work = AHEAD * self._slots
            self.ahead = self._deepest if known * self._deepest <= work else int(work / known)

    def prefetch(self, runners: int) -> int:
        """How many unsettled deliveries the node asks for: what the runners may have, and as many in reserve."""
        if self._multiplier is not None:
            return max(1, runners * self._slots * self._multiplier)
        ahead = self.ahead
        return max(1, runners * (self._slots + 3 * ahead))
