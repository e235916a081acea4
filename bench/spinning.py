"""Asks how much of two processors tasks get that compute, and what the queue takes of them."""

from __future__ import annotations

from functools import partial

from bench.contestants import answer
from bench.harness import Answer, Bench, Figures, column
from bench.peers import RAW

SPIN = 0.005
"""Seconds of CPU time that each task takes."""

RUNNERS = 2


def ask(bench: Bench) -> list[Answer]:
    """The rate, as a share of what nobody can exceed: two tasks in each ``SPIN``."""
    count = bench.much(1_000, 100)
    peers = {name: module for name, module in bench.peers().items() if name != RAW}
    runs = bench.in_turns("spinning", {name: partial(measure, bench, module, count) for name, module in peers.items()})
    return [
        Answer(question="spinning, share of the ideal", unit="%", values=column(runs, "share")),
        Answer(question="CPU of the worker beside, spinning", unit="µs/task", values=column(runs, "cpu")),
    ]


def measure(bench: Bench, module: str, count: int) -> Figures:
    """One queue worked off once: all of it waits before the worker starts, and its first tenth does not count."""
    with bench.at_home(module, results=False, spin=SPIN) as contestant:
        contestant.ask("fill", count // 10, count)
        with contestant.asking("drained", count // 10 + count) as last, contestant.worker() as tree:
            began, spent = contestant.await_stamp(tree), tree.cpu()
            ended = answer(last)
            ideal = count / RUNNERS * SPIN
            return {
                "share": 100 * ideal / (ended - began),
                "cpu": ((tree.cpu() - spent) / count - SPIN) * 1e6,
            }
