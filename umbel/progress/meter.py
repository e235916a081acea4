"""How far one attempt is, in memory: what its task says, and what is told of it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from umbel.request import Request
from umbel.wire.notes import MOST_LINES, number_of, text_of

ETA_AFTER, ETA_LOOKS = 2.0, 3
"""Seconds, and looks at the meter, after which its speed means something."""

_LOOKS = 10
"""How often it is looked again when the next stage has begun meanwhile."""

SMOOTHING = 5.0
"""Seconds over which a speed is averaged."""


class Meter:
    """Set by the task in its own thread, looked at by the flusher in another: every field is written whole.

    ``usual`` is for how many seconds the task runs as a rule, ``plan`` the stages that it had the last time.
    """

    __slots__ = (
        "_best",
        "_looked",
        "_speed",
        "_weighed",
        "attempts",
        "began",
        "began_at",
        "cancelled",
        "current",
        "depth",
        "ended",
        "hurry",
        "label",
        "lines",
        "links",
        "looks",
        "message",
        "meta",
        "plan",
        "rate",
        "request",
        "sent",
        "sent_at",
        "seq",
        "told",
        "total",
        "unit",
        "usual",
        "went",
    )

    def __init__(self, request: Request, now: float) -> None:
        self.request = request
        self.began = now
        self.began_at = 0.0
        """The unix time of its beginning; whoever tells of it sets it."""
        self.current: Any = None
        self.total: Any = None
        self.unit: str | None = None
        self.message: str | None = None
        self.label: str | None = None
        """The stage under way."""
        self.went: list[tuple[str, float]] = []
        """The stages so far, the one under way last, with their weights."""
        self.ended = 0
        """How many of them are done."""
        self.plan: Sequence[tuple[str, float]] = ()
        self.usual: float | None = None
        self.attempts: int | None = None
        self.lines: deque[str] = deque(maxlen=MOST_LINES)
        self.links: list[list[str]] = []
        self.meta: Mapping[str, Any] | None = None
        """What ``update_state`` was given; it is what the record shows."""
        self.depth = 0
        """How many ``track`` are inside each other."""
        self.cancelled = request.cancelled
        self.told = False
        """Whether the task said anything, or only its runner does."""
        self.hurry: Any = None
        """Called when something should be told soon."""
        self.sent: Any = None
        """What was told last; the flusher owns it and what follows."""
        self.sent_at = -math.inf
        self.seq = 0
        self.looks = 0
        self.rate: float | None = None
        self._speed: float | None = None
        self._weighed: tuple[float, float | None, Any, int] = (now, None, None, 0)
        self._best = 0.0
        self._looked = now

    # -- the task's side

    def soon(self) -> None:
        """The task has said something that should be seen at once."""
        self.told = True
        if self.hurry is not None:
            self.hurry()

    def enter(self, label: str, weight: float) -> None:
        """A stage begins."""
        self.went = [*self.went, (label, weight)]
        self._begin(label)

    def leave(self) -> None:
        """The stage under way is done."""
        self.ended = len(self.went)
        self._begin(None)

    def _begin(self, label: str | None) -> None:
        self.current = self.total = self.unit = None  # first: who reads beside must not count it for the next stage
        self.label = label
        self.soon()

    # -- the flusher's side

    def state(self) -> tuple[Any, ...]:
        """What tells whether anything is new."""
        return (
            self.told,
            self.current,
            self.total,
            self.message,
            self.label,
            self.ended,
            len(self.went),
            len(self.lines) and self.lines[-1],
            self.meta,
            self.cancelled,
            len(self.request.children),
        )

    def percent(self) -> float | None:
        """0 to 100, None where it cannot be known; never less than before."""
        share = self._share()
        if self.went or self.plan:
            weights = [weight for _, weight in self.went]
            done, now = sum(weights[: self.ended]), sum(weights[self.ended :])
            whole = max(sum(weight for _, weight in self.plan), done + now) if self.plan else 0.0
            share = (done + now * (share or 0.0)) / whole if whole > 0 else None
        if share is None:
            return None
        self._best = max(self._best, min(100.0, round(100.0 * share, 1)))
        return self._best

    def _share(self) -> float | None:
        current, total = number_of(self.current), number_of(self.total)
        if current is None or total is None or total <= 0 or current > total:
            return None
        return max(0.0, current / total)

    def look(self, now: float) -> None:
        """Measure the speed, once a note."""
        percent, count, stage = self.percent(), number_of(self.current), len(self.went)
        at, before, counted, staged = self._weighed
        elapsed = now - at
        if elapsed > 0:
            weight = 1.0 - math.exp(-elapsed / SMOOTHING)
            if percent is not None and before is not None:
                speed = (percent - before) / elapsed
                self._speed = speed if self._speed is None else self._speed + weight * (speed - self._speed)
            if count is not None and counted is not None and stage == staged and count >= counted:
                rate = (count - counted) / elapsed
                self.rate = rate if self.rate is None else self.rate + weight * (rate - self.rate)
            else:
                self.rate = None
        self._weighed = (now, percent, count, stage)
        self._looked = now
        self.looks += 1

    def eta(self) -> float | None:
        """Seconds until the end, rounded; None while it is too early to say."""
        percent = self.percent()
        if percent is None or not self._speed or self._speed <= 0 or percent >= 100:
            return None
        if self.looks < ETA_LOOKS or self._looked - self.began < ETA_AFTER:
            return None
        return rounded((100.0 - percent) / self._speed)

    def facts(self) -> dict[str, Any]:
        """What a note says of it while it runs, all of it of one stage."""
        facts: dict[str, Any] = {}
        for _ in range(_LOOKS):
            label, went = self.label, self.went
            facts = self._facts()
            if self.label is label and self.went is went:
                break
        return facts

    def _facts(self) -> dict[str, Any]:
        current, total = number_of(self.current), number_of(self.total)
        if total is not None and (total <= 0 or (current is not None and current > total)):
            total = None
        stage = None
        if self.label is not None:
            number = max(len(self.plan), len(self.went)) if self.plan else None
            stage = {"i": len(self.went), "n": number, "label": self.label}
        return {
            "task": self.request.task,
            "began": round(self.began_at, 3),
            "attempt": self.request.retries + 1,
            "attempts": self.attempts,
            "current": current,
            "total": total,
            "unit": self.unit,
            "message": self.message,
            "percent": self.percent(),
            "stage": stage,
            "eta": self.eta(),
            "rate": None if self.rate is None else float(f"{self.rate:.3g}"),
            "usual": self.usual,
            "log": list(self.lines) or None,
            "links": self.links or None,
            "cancelling": self.cancelled or None,
            "children": len(self.request.children) or None,
        }

    def shown(self) -> Mapping[str, Any]:
        """What ``result.info`` shows in the state PROGRESS."""
        if self.meta is not None:
            return self.meta
        facts = self.facts()
        names = ("current", "total", "percent", "message", "unit")
        shown = {name: facts[name] for name in names if facts[name] is not None}
        return shown if self.label is None else {**shown, "stage": text_of(self.label)}


def rounded(seconds: float) -> float:
    """Seconds as people say them: to 1, 5, 10 or 60, the more the longer."""
    for limit, step in ((10, 1), (60, 5), (600, 10)):
        if seconds < limit:
            return float(step * math.ceil(seconds / step))
    return float(60 * math.ceil(seconds / 60))
