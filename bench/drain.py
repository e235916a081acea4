"""Asks how fast a worker with two runners works off a full queue of tasks that do nothing."""

from __future__ import annotations

from functools import partial

from bench.contestants import Contestant, answer
from bench.harness import Answer, Bar, Bench, Figures, column
from bench.peers import PEERS

BAR = Bar("≥", 1.2, "Huey")


def ask(bench: Bench) -> list[Answer]:
    """Rate and CPU time, without and with results."""
    count = bench.much(20_000, 500)
    answers = []
    for results in (False, True):
        which = "results on" if results else "results off"
        runs = bench.in_turns(
            f"drain, {which}",
            {name: partial(measure, module, results=results, count=count) for name, module in PEERS.items()},
        )
        answers += [
            Answer(question=f"drain, {which}", unit="tasks/s", values=column(runs, "rate"), bar=BAR),
            Answer(question=f"CPU of the worker, {which}", unit="µs/task", values=column(runs, "cpu")),
        ]
    return answers


def measure(module: str, *, results: bool, count: int) -> Figures:
    """One queue drained once: all of it waits before the worker starts, and its first tenth does not count."""
    with Contestant.at_home(module, results=results) as contestant:
        contestant.ask("fill", count // 10, count)
        with contestant.asking("drained") as last, contestant.worker() as tree:
            began, spent = contestant.await_stamp(tree), tree.cpu()
            ended = answer(last)
            return {"rate": count / (ended - began), "cpu": (tree.cpu() - spent) / count * 1e6}
