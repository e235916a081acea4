"""Asks how many calls a second one caller sends, one by one."""

from __future__ import annotations

from functools import partial

from bench.contestants import Contestant
from bench.harness import Answer, Bar, Bench, Figures, column
from bench.peers import PEERS


def ask(bench: Bench) -> list[Answer]:
    """The rate of single calls; each is in the database when it returns."""
    count = bench.much(5_000, 200)
    runs = bench.in_turns("send one by one", {name: partial(measure, module, count) for name, module in PEERS.items()})
    bar = Bar("≥", 0.5, "Huey")
    return [Answer(question="send one by one", unit="calls/s", values=column(runs, "rate"), bar=bar)]


def measure(module: str, count: int) -> Figures:
    """One process that sends, and no worker."""
    with Contestant.at_home(module) as contestant:
        return {"rate": count / sum(contestant.ask("send", count))}
