"""Asks how long a call takes from being sent to its value, when the worker has nothing else to do."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial

from bench.harness import Answer, Bar, Bench, Figures, column
from bench.peers import HASTY, OTHERS, PEERS

CELERY = "Celery"


def ask(bench: Bench) -> list[Answer]:
    """The median, and what one call in a hundred exceeds."""
    count = bench.much(500, 50)
    runs = bench.in_turns("round trip", {name: partial(each, count) for name, each in contestants(bench).items()})
    bars = {
        "sqlite": [Bar("≤", 1.2, "Huey"), Bar("≤", 1.2, HASTY)],
        "rabbitmq": [Bar("≤", 1.2, CELERY)],
        "redis": [Bar("≤", 1.2, "the fastest peer", (CELERY, *OTHERS["redis"]))],
    }[bench.broker]
    return [
        Answer(question="round trip, p50", unit="ms", values=column(runs, "p50"), bars=bars),
        Answer(question="round trip, p99", unit="ms", values=column(runs, "p99")),
    ]


def contestants(bench: Bench) -> dict[str, Callable[[int], Figures]]:
    """Those of the broker; of Celery the variant that waits for nothing."""
    peers = PEERS[bench.broker]
    if bench.broker == "sqlite":
        measures = {name: partial(measure, bench, module) for name, module in peers.items()}
        return {**measures, HASTY: partial(measure, bench, peers["Huey"], pause=0.001)}
    others = OTHERS[bench.broker]
    if bench.broker == "rabbitmq":  # they have no results there
        others = {f"{name}, by a pipe": module for name, module in others.items()}
    modules = {"umbel": peers["umbel"], CELERY: peers["Celery, as it comes"], **others}
    return {name: partial(measure, bench, module) for name, module in modules.items()}


def measure(bench: Bench, module: str, count: int, *, pause: float = 0.005) -> Figures:
    """Some calls, one after the other, to a worker that waits."""
    with bench.at_home(module, pause=pause) as contestant, contestant.working():
        cuts = statistics.quantiles(contestant.ask("trip", count), n=100)
        return {"p50": cuts[49] * 1e3, "p99": cuts[98] * 1e3}
