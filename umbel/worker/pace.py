"""How many deliveries to keep ready: many for tasks of microseconds, none beyond the free slots for long ones."""

from __future__ import annotations

AHEAD = 0.02
"""Seconds of work that a runner may have in front of it beyond what it runs."""

DEEPEST = 128
"""No runner gets more than this many ahead."""

_WEIGHT = 0.25
"""How much a report of new run times counts against what was known."""


class Pace:
    """The mean run time lately, and what follows from it. ``multiplier`` pins it; None adapts."""

    def __init__(self, multiplier: int | None) -> None:
        self._multiplier = multiplier
        self._mean: float | None = None
        self.ahead = 0 if multiplier is None else max(0, multiplier - 1)
        """How many deliveries a runner may have beyond its slot."""

    def learn(self, seconds: float, count: int) -> None:
        """``count`` tasks took ``seconds`` together."""
        if count <= 0:
            return
        mean = seconds / count
        self._mean = known = mean if self._mean is None else self._mean + _WEIGHT * (mean - self._mean)
        if self._multiplier is None:
            self.ahead = DEEPEST if known * DEEPEST <= AHEAD else int(AHEAD / known)

    def prefetch(self, runners: int) -> int:
        """How many unsettled deliveries the node asks for: what the runners may have, and as many in reserve."""
        if self._multiplier is not None:
            return max(1, runners * self._multiplier)
        ahead = self.ahead
        return max(1, runners * (1 + 3 * ahead))
