"""Asks how long sending a thousand calls in one write takes, beside writing the same bytes by hand."""

from __future__ import annotations

import statistics
from functools import partial

from bench.contestants import Contestant
from bench.harness import Answer, Bar, Bench, Figures, column

CONTESTANTS = {"umbel": "bench.peers.umbel_sqlite", "executemany": "bench.peers.bare_sqlite"}


def ask(bench: Bench) -> list[Answer]:
    """The time of one batch."""
    count = bench.much(1_000, 100)
    runs = bench.in_turns(
        f"send {count:,} at once", {name: partial(measure, module, count) for name, module in CONTESTANTS.items()}
    )
    bar = Bar("≤", 3, "executemany")
    return [Answer(question=f"send {count:,} at once", unit="ms", values=column(runs, "time"), bar=bar)]


def measure(module: str, count: int) -> Figures:
    """The median of some batches in one process, and no worker."""
    with Contestant.at_home(module) as contestant:
        return {"time": statistics.median(contestant.ask("many", count, 15)) * 1e3}
