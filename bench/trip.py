"""Asks how long a call takes from being sent to its value, when the worker has nothing else to do."""

from __future__ import annotations

import statistics
from functools import partial

from bench.contestants import Contestant
from bench.harness import Answer, Bar, Bench, Figures, column
from bench.peers import HASTY, PEERS


def ask(bench: Bench) -> list[Answer]:
    """The median, and what one call in a hundred exceeds."""
    count = bench.much(500, 50)
    measures = {name: partial(measure, module, count) for name, module in PEERS.items()}
    runs = bench.in_turns("round trip", {**measures, HASTY: partial(measure, PEERS["Huey"], count, pause=0.001)})
    bar = Bar("≤", 1.2, HASTY)
    return [
        Answer(question="round trip, p50", unit="ms", values=column(runs, "p50"), bar=bar),
        Answer(question="round trip, p99", unit="ms", values=column(runs, "p99")),
    ]


def measure(module: str, count: int, *, pause: float = 0.005) -> Figures:
    """Some calls, one after the other, to a worker that waits."""
    with Contestant.at_home(module, pause=pause) as contestant, contestant.working():
        cuts = statistics.quantiles(contestant.ask("trip", count), n=100)
        return {"p50": cuts[49] * 1e3, "p99": cuts[98] * 1e3}
