"""Asks what importing umbel costs a program, beside what importing asyncio costs it."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial

from bench.contestants import ROOT
from bench.harness import Answer, Bar, Bench, Figures, column
from bench.processes import plain_environment

STATEMENTS = {"bare": "pass", "umbel": "import umbel", "Umbel": "from umbel import Umbel", "asyncio": "import asyncio"}
REPETITIONS = 3


def ask(bench: Bench) -> list[Answer]:
    """CPU time above that of an interpreter that imports nothing, in rounds that are many because each is short."""
    for text in STATEMENTS.values():
        cpu_of(text)  # from now on there is bytecode
    many = Bench(bench.much(25, 2), bench.quick, bench.tell)
    spent = column(many.in_turns("import", {name: partial(measure, text) for name, text in STATEMENTS.items()}), "cpu")
    above = {
        name: [own - bare for own, bare in zip(spent[name], spent["bare"], strict=True)]
        for name in ("umbel", "Umbel", "asyncio")
    }
    bar = Bar("≤", 1, "asyncio")
    return [
        Answer(
            question=STATEMENTS[name],
            unit="ms CPU",
            values={name: above[name], "asyncio": above["asyncio"]},
            bars=[bar],
        )
        for name in ("umbel", "Umbel")
    ]


def measure(statement: str) -> Figures:
    """The least of a few interpreters that run the statement and end."""
    return {"cpu": min(cpu_of(statement) for _ in range(REPETITIONS)) * 1e3}


def cpu_of(statement: str) -> float:
    """CPU seconds of one interpreter, in user and system mode."""
    environment = {**plain_environment(), "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen([sys.executable, "-c", statement], env=environment, stdin=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"{statement!r} ended with status {child.returncode}")
    return usage.ru_utime + usage.ru_stime
