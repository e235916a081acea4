"""Asks what it takes to have a worker with two runners: time to start, memory, CPU while nothing is to do."""

from __future__ import annotations

import time
from functools import partial

from bench.contestants import Contestant, answer
from bench.harness import Answer, Bar, Bench, Figures, column
from bench.peers import CELERY, HASTY, PEERS, RAW
from bench.processes import Tree

ALIKE = {*CELERY, RAW} - {"Celery, as it comes"}
"""What a variant of a peer would only say again."""


def ask(bench: Bench) -> list[Answer]:
    """Six figures of one worker's life."""
    first, count, seconds = bench.much(2_000, 100), bench.much(20_000, 500), bench.much(10, 1)
    peers = PEERS[bench.broker]
    measures = {
        name: partial(measure, bench, module, first, count, seconds)
        for name, module in peers.items()
        if name not in ALIKE
    }
    if bench.broker == "sqlite":
        measures[HASTY] = partial(measure, bench, peers["Huey"], first, count, seconds, pause=0.001)
    runs = bench.in_turns("worker", measures)
    start = [Bar("≤", 0.5)] if bench.broker == "sqlite" else [Bar("≤", 1, "Celery, as it comes")]
    return [
        Answer(question="start to first task", unit="s", values=column(runs, "start"), bars=start),
        Answer(question="memory, idle", unit="MB PSS", values=column(runs, "idle"), bars=[Bar("≤", 70)]),
        Answer(question=f"memory after {first:,} tasks", unit="MB PSS", values=column(runs, "warm")),
        Answer(question=f"memory after {first + count:,} tasks", unit="MB PSS", values=column(runs, "after")),
        Answer(question=f"growth over {count:,} tasks", unit="×", values=column(runs, "growth"), bars=[Bar("≤", 1.1)]),
        Answer(question="CPU, idle", unit="s/minute", values=column(runs, "cpu"), bars=[Bar("≤", 0.6)]),
    ]


def measure(bench: Bench, module: str, first: int, count: int, seconds: float, *, pause: float = 0.005) -> Figures:
    """One worker: it starts, waits, works, waits; growth counts from when it has all that it takes once."""
    with bench.at_home(module, pause=pause) as contestant:
        contestant.ask("fill", 0, 0)
        with contestant.worker() as tree:
            start = contestant.await_stamp(tree) - tree.began
            time.sleep(2)  # the second runner may still be coming
            idle, spent, began = tree.memory(), tree.cpu(), time.monotonic()
            time.sleep(seconds)
            cpu = (tree.cpu() - spent) / (time.monotonic() - began) * 60
            warm = _memory_after(contestant, tree, 0, first)
            after = _memory_after(contestant, tree, first, count)
            return {"start": start, "idle": idle, "warm": warm, "after": after, "growth": after / warm, "cpu": cpu}


def _memory_after(contestant: Contestant, tree: Tree, before: int, count: int) -> float:
    contestant.ask("fill", 0, count)
    with contestant.asking("drained", before + count) as last:
        answer(last)
    time.sleep(1)  # what is only waiting to be freed is freed
    return tree.memory()
