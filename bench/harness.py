"""Runs measurements in turns and says what they amount to."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from bench.contestants import Contestant
from bench.peers import PEERS
from bench.processes import cpu_of
from tools.rabbitmq import RabbitMQ
from tools.redis_server import RedisServer

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
    """What must be reached: at least or at most ``limit``, times the figure of ``against`` where that is given.

    ``best_of`` are the contestants whose best one is meant by ``against``, as far as they were measured; without, it is
    the one of that name.
    """

    sign: Literal["≥", "≤"]
    limit: float
    against: str | None = None
    best_of: tuple[str, ...] = ()

    def holds(self, value: float) -> bool:
        """Whether this value is good enough."""
        return value >= self.limit if self.sign == "≥" else value <= self.limit

    def judged(self, values: Mapping[str, Sequence[float]]) -> Spread:
        """What it is held against: the first contestant's values, or their ratios to the best of others by round."""
        own = next(iter(values.values()))
        if self.against is None:
            return spread(own)
        others = [values[name] for name in self.best_of or (self.against,) if name in values]
        best = max if self.sign == "≥" else min
        return spread(ratios(own, [best(round) for round in zip(*others, strict=True)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was measured for one question: each contestant's value in every round, the judged one first."""

    question: str
    unit: str
    values: Mapping[str, Sequence[float]]
    bars: Sequence[Bar] = ()
    """None: told for information only."""

    @property
    def verdicts(self) -> list[tuple[Bar, Spread, bool]]:
        """Each bar with what is held against it, and whether it holds for the median."""
        judged = [(bar, bar.judged(self.values)) for bar in self.bars]
        return [(bar, reached, bar.holds(reached.median)) for bar, reached in judged]

    def as_json(self) -> dict[str, Any]:
        """Everything, the single values too."""
        return {
            "question": self.question,
            "unit": self.unit,
            "values": {name: list(values) for name, values in self.values.items()},
            "median": {name: spread(values).median for name, values in self.values.items()},
            "bars": [{**bar._asdict(), "judged": reached._asdict(), "met": met} for bar, reached, met in self.verdicts],
        }


@dataclass(frozen=True, slots=True)
class Bench:
    """How much to measure; ``tell`` gets a line for every measurement that begins."""

    rounds: int
    quick: bool
    tell: Callable[[str], None]
    broker: str = "sqlite"
    server: RabbitMQ | RedisServer | None = None
    """What the peers of that broker need to run."""

    def peers(self) -> dict[str, str]:
        """The modules of all who are on this broker, by name; of variants of one a quick try has the first."""
        known = PEERS[self.broker]
        if not self.quick:
            return known
        first: dict[str, str] = {}
        for name, module in known.items():
            first.setdefault(module.partition(":")[0], name)
        return {name: known[name] for name in first.values()}

    def at_home(
        self, module: str, *, results: bool = True, pause: float = 0.005, spin: float = 0.0
    ) -> AbstractContextManager[Contestant]:
        """``Contestant.at_home`` on this broker."""
        url = "" if self.server is None else self.server.url
        return Contestant.at_home(module, results=results, pause=pause, url=url, spin=spin)

    def server_cpu(self) -> float:
        """CPU seconds that the broker's server has spent so far; 0 where there is none."""
        pid = None if self.server is None else self.server.pid
        return 0.0 if pid is None else cpu_of(pid)

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
