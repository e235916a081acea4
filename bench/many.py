"""Asks how long sending a thousand calls in one write takes, beside writing the same bytes by hand."""

from __future__ import annotations

import statistics
from functools import partial

from bench.harness import Answer, Bar, Bench, Figures, column
from bench.peers import PEERS, RAW

CONTESTANTS = {
    "sqlite": {"umbel": "bench.peers.umbel_sqlite", "executemany": "bench.peers.bare_sqlite"},
    "rabbitmq": {
        "umbel": PEERS["rabbitmq"]["umbel"],
        "Celery, one by one": "bench.peers.celery_server",
        RAW: PEERS["rabbitmq"][RAW],
    },
    "redis": {
        "umbel": PEERS["redis"]["umbel"],
        "Celery, one by one": "bench.peers.celery_server",
        "RQ": PEERS["redis"]["RQ"],
    },
}
BY_CELERY = Bar("≤", 1 / 20, "Celery, one by one")
BARS = {"sqlite": Bar("≤", 3, "executemany"), "rabbitmq": BY_CELERY, "redis": BY_CELERY}


def ask(bench: Bench) -> list[Answer]:
    """The time of one batch."""
    count = bench.much(1_000, 100)
    measures = {name: partial(measure, bench, module, count) for name, module in CONTESTANTS[bench.broker].items()}
    runs = bench.in_turns(f"send {count:,} at once", measures)
    bars = [BARS[bench.broker]]
    return [Answer(question=f"send {count:,} at once", unit="ms", values=column(runs, "time"), bars=bars)]


def measure(bench: Bench, module: str, count: int) -> Figures:
    """The median of some batches in one process, and no worker."""
    with bench.at_home(module, results=False) as contestant:
        return {"time": statistics.median(contestant.ask("many", count, 15)) * 1e3}
