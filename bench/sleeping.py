"""Asks how near a worker comes to running a hundred tasks at once that only wait."""

from __future__ import annotations

from functools import partial

from bench.client import NAP
from bench.contestants import Contestant, answer
from bench.harness import Answer, Bar, Bench, Figures, column
from bench.peers import PEERS

AT_ONCE = 100


def ask(bench: Bench) -> list[Answer]:
    """The rate, as a share of what nobody can exceed: ``AT_ONCE`` tasks in each ``NAP``."""
    count = bench.much(2_000, 400)
    runs = bench.in_turns("sleeping", {name: partial(measure, module, count) for name, module in PEERS.items()})
    bar = Bar("≥", 85.0)
    return [
        Answer(question="sleeping, share of the ideal", unit="%", values=column(runs, "share"), bar=bar),
        Answer(question="CPU of the worker, sleeping", unit="µs/task", values=column(runs, "cpu")),
    ]


def measure(module: str, count: int) -> Figures:
    """One queue worked off once: all of it waits before the worker starts, and its beginning does not count."""
    with Contestant.at_home(module, results=False) as contestant:
        contestant.ask("lull", 10 * AT_ONCE, count)
        with contestant.asking("drained") as last, contestant.worker("sleepers") as tree:
            began, spent = contestant.await_stamp(tree), tree.cpu()
            ended = answer(last)
            ideal = count / AT_ONCE * NAP
            return {"share": 100 * ideal / (ended - began), "cpu": (tree.cpu() - spent) / count * 1e6}
