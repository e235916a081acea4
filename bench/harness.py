"""Runs measurements in turns and says what they amount to."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Figures = Mapping[str, float]
"""What one measurement gives: a value for each quantity."""

Runs = dict[str, list[Figures]]
"""The figures of every round, by contestant."""


class Spread(NamedTuple):
    """Several values of one quantity."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """The median, and how far the values lie apart; raises ``ValueError`` when there are none."""
    if not values:
        raise ValueError("a spread needs at least one value")
    return Spread(statistics.median(values), min(values), max(values))


def ratios(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """``one`` divided by ``other``, round by round: what slows a whole round down is in both and cancels out."""
    return [a / b for a, b in zip(one, other, strict=True)]


class Bar(NamedTuple):
    """What must be reached: at least or at most ``limit``, times the figure of ``against`` where that is given."""

    sign: Literal["≥", "≤"]
    limit: float
    against: str | None = None

    def holds(self, value: float) -> bool:
        """Whether this value is good enough."""
        return value >= self.limit if self.sign == "≥" else value <= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was measured for one question: each contestant's value in every round, the judged one first."""

    question: str
    unit: str
    values: Mapping[str, Sequence[float]]
    bar: Bar | None = None
    """None: told for information only."""

    @property
    def judged(self) -> Spread | None:
        """What the bar is held against: the first contestant's values, or their ratios to those of another."""
        if self.bar is None:
            return None
        own = next(iter(self.values.values()))
        return spread(own if self.bar.against is None else ratios(own, self.values[self.bar.against]))

    @property
    def met(self) -> bool | None:
        """Whether the bar holds for the median; None where there is no bar."""
        judged = self.judged
        return None if judged is None or self.bar is None else self.bar.holds(judged.median)

    def as_json(self) -> dict[str, Any]:
        """Everything, the single values too."""
        return {
            "question": self.question,
            "unit": self.unit,
            "values": {name: list(values) for name, values in self.values.items()},
            "median": {name: spread(values).median for name, values in self.values.items()},
            "bar": None if self.bar is None else self.bar._asdict(),
            "judged": None if self.judged is None else self.judged._asdict(),
            "met": self.met,
        }


@dataclass(frozen=True, slots=True)
class Bench:
    """How much to measure; ``tell`` gets a line for every measurement that begins."""

    rounds: int
    quick: bool
    tell: Callable[[str], None]

    def much(self, full: int, quick: int) -> int:
        """How many of something: ``quick`` is for trying whether the measurement works at all."""
        return quick if self.quick else full

    def in_turns(self, what: str, contestants: Mapping[str, Callable[[], Figures]]) -> Runs:
        """Measure A, B, A, B, …, so that a change of the machine's mood meets all of them alike."""
        runs: Runs = {name: [] for name in contestants}
        for number in range(1, self.rounds + 1):
            for name, measure in contestants.items():
                self.tell(f"{what}: {name}, round {number} of {self.rounds}")
                runs[name].append(measure())
        return runs


def column(runs: Runs, quantity: str) -> dict[str, list[float]]:
    """One quantity's values of every round, by contestant."""
    return {name: [figures[quantity] for figures in rounds] for name, rounds in runs.items()}
