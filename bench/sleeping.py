"""Asks how near a worker comes to running a hundred tasks at once that only wait."""

from __future__ import annotations

from functools import partial

from bench.client import NAP
from bench.contestants import answer
from bench.harness import Answer, Bar, Bench, Figures, column
from bench.peers import CELERY, PEERS, RAW

AT_ONCE = 100
WITHOUT = {*CELERY, RAW, "RQ"}
"""Those that have neither coroutines nor threads which acknowledge after the task."""


def ask(bench: Bench) -> list[Answer]:
    """The rate, as a share of what nobody can exceed: ``AT_ONCE`` tasks in each ``NAP``."""
    count = bench.much(2_000, 400)
    peers = {name: module for name, module in PEERS[bench.broker].items() if name not in WITHOUT}
    runs = bench.in_turns("sleeping", {name: partial(measure, bench, module, count) for name, module in peers.items()})
    bar = Bar("≥", 85.0)
    return [
        Answer(question="sleeping, share of the ideal", unit="%", values=column(runs, "share"), bars=[bar]),
        Answer(question="CPU of the worker, sleeping", unit="µs/task", values=column(runs, "cpu")),
    ]


def measure(bench: Bench, module: str, count: int) -> Figures:
    """One queue worked off once: all of it waits before the worker starts, and its beginning does not count."""
    with bench.at_home(module, results=False) as contestant:
        contestant.ask("lull", 10 * AT_ONCE, count)
        with contestant.asking("drained", 10 * AT_ONCE + count) as last, contestant.worker("sleepers") as tree:
            began, spent = contestant.await_stamp(tree), tree.cpu()
            ended = answer(last)
            ideal = count / AT_ONCE * NAP
            return {"share": 100 * ideal / (ended - began), "cpu": (tree.cpu() - spent) / count * 1e6}
