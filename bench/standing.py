"""Asks what it takes to have a worker with two runners: time to start, memory, CPU while nothing is to do."""

from __future__ import annotations

import time
from functools import partial

from bench.contestants import answer
from bench.harness import Answer, Bar, Bench, Figures, column
from bench.peers import CELERY, HASTY, PEERS, RAW

ALIKE = {*CELERY, RAW} - {"Celery, as it comes"}
"""What a variant of a peer would only say again."""


def ask(bench: Bench) -> list[Answer]:
    """Five figures of one worker's life."""
    count, seconds = bench.much(20_000, 500), bench.much(10, 1)
    peers = PEERS[bench.broker]
    measures = {
        name: partial(measure, bench, module, count, seconds) for name, module in peers.items() if name not in ALIKE
    }
    if bench.broker == "sqlite":
        measures[HASTY] = partial(measure, bench, peers["Huey"], count, seconds, pause=0.001)
    runs = bench.in_turns("worker", measures)
    start = [Bar("≤", 0.5)] if bench.broker == "sqlite" else [Bar("≤", 1, "Celery, as it comes")]
    return [
        Answer(question="start to first task", unit="s", values=column(runs, "start"), bars=start),
        Answer(question="memory, idle", unit="MB PSS", values=column(runs, "idle"), bars=[Bar("≤", 70)]),
        Answer(question=f"memory after {count:,} tasks", unit="MB PSS", values=column(runs, "after")),
        Answer(question=f"growth over {count:,} tasks", unit="×", values=column(runs, "growth"), bars=[Bar("≤", 1.1)]),
        Answer(question="CPU, idle", unit="s/minute", values=column(runs, "cpu"), bars=[Bar("≤", 0.6)]),
    ]


def measure(bench: Bench, module: str, count: int, seconds: float, *, pause: float = 0.005) -> Figures:
    """One worker: it starts, waits, works, waits."""
    with bench.at_home(module, pause=pause) as contestant:
        contestant.ask("fill", 0, 0)
        with contestant.worker() as tree:
            start = contestant.await_stamp(tree) - tree.began
            time.sleep(2)  # the second runner may still be coming
            idle, spent, began = tree.memory(), tree.cpu(), time.monotonic()
            time.sleep(seconds)
            cpu = (tree.cpu() - spent) / (time.monotonic() - began) * 60
            contestant.ask("fill", 0, count)
            with contestant.asking("drained", count) as last:
                answer(last)
            time.sleep(1)  # what is only waiting to be freed is freed
            after = tree.memory()
            return {"start": start, "idle": idle, "after": after, "growth": after / idle, "cpu": cpu}
