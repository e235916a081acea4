"""Asks how fast a worker with two runners works off a full queue of tasks that do nothing."""

from __future__ import annotations

from functools import partial

from bench.contestants import answer
from bench.harness import Answer, Bar, Bench, Figures, column
from bench.peers import CELERY, OTHERS, RAW

BARS = {
    "sqlite": ([Bar("≥", 1.2, "Huey")], [Bar("≥", 1.2, "Huey")]),
    "rabbitmq": (
        [
            Bar("≥", 5, "Celery's best", tuple(CELERY)),
            Bar("≥", 2, "the fastest peer", (*CELERY, *OTHERS["rabbitmq"])),
            Bar("≥", 0.7, RAW),
        ],
        [Bar("≥", 5, "Celery's best", tuple(CELERY))],
    ),
    "redis": (
        [Bar("≥", 15, "Celery's best", tuple(CELERY)), Bar("≥", 3, "the fastest peer", (*CELERY, *OTHERS["redis"]))],
        [Bar("≥", 12, "Celery's best", tuple(CELERY)), Bar("≥", 3, "the fastest peer", (*CELERY, *OTHERS["redis"]))],
    ),
}
CPU_BARS = {
    "sqlite": ([], []),
    "rabbitmq": ([Bar("≤", 80)], [Bar("≤", 150)]),
    "redis": ([Bar("≤", 80)], [Bar("≤", 150)]),
}
"""What is held to them, without and with results."""


def ask(bench: Bench) -> list[Answer]:
    """Rate and CPU time, without and with results."""
    count = bench.much(20_000 if bench.server is None else 10_000, 500)
    answers = []
    for results in (False, True):
        which = "results on" if results else "results off"
        without = {*OTHERS["rabbitmq"], RAW} if bench.broker == "rabbitmq" else set()
        left_out = without if results else set()
        runs = bench.in_turns(
            f"drain, {which}",
            {
                name: partial(measure, bench, module, results=results, count=count)
                for name, module in bench.peers().items()
                if name not in left_out
            },
        )
        bars, cpu_bars = BARS[bench.broker][results], CPU_BARS[bench.broker][results]
        answers += [
            Answer(question=f"drain, {which}", unit="tasks/s", values=column(runs, "rate"), bars=bars),
            Answer(question=f"CPU of the worker, {which}", unit="µs/task", values=column(runs, "cpu"), bars=cpu_bars),
        ]
        if bench.server is not None:
            cpu = column(runs, "server")
            answers.append(Answer(question=f"CPU of the server, {which}", unit="µs/task", values=cpu))
    return answers


def measure(bench: Bench, module: str, *, results: bool, count: int) -> Figures:
    """One queue drained once: all of it waits before the worker starts, and its first tenth does not count."""
    with bench.at_home(module, results=results) as contestant:
        contestant.ask("fill", count // 10, count)
        with contestant.asking("drained", count // 10 + count) as last, contestant.worker() as tree:
            began, spent, served = contestant.await_stamp(tree), tree.cpu(), bench.server_cpu()
            ended = answer(last)
            return {
                "rate": count / (ended - began),
                "cpu": (tree.cpu() - spent) / count * 1e6,
                "server": (bench.server_cpu() - served) / count * 1e6,
            }
