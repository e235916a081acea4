"""Asks the questions and prints what came of them.

    python -m bench                          everything: about ten minutes
    python -m bench drain send               these questions
    python -m bench --quick --json out.json  a try of everything, and the single figures in a file

The exit status is 0 when every question was answered, whether or not the bars are met.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from bench import drain, importing, many, send, sleeping, standing, trip
from bench.harness import Answer, Bench
from bench.processes import Stuck
from bench.table import table

QUESTIONS: dict[str, Callable[[Bench], list[Answer]]] = {
    "drain": drain.ask,
    "send": send.ask,
    "many": many.ask,
    "trip": trip.ask,
    "standing": standing.ask,
    "sleeping": sleeping.ask,
    "importing": importing.ask,
}


def main() -> int:
    """Do what the command line says."""
    wanted = parse()
    tell, hush = telling()
    bench = Bench(rounds=wanted.rounds or (1 if wanted.quick else 5), quick=wanted.quick, tell=tell)
    answers: list[Answer] = []
    try:
        for name in wanted.questions or QUESTIONS:
            answers += QUESTIONS[name](bench)
    except Stuck as trouble:
        hush()
        print(f"bench: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        hush()
        print("bench: stopped", file=sys.stderr)
        return 130
    hush()
    machine = about()
    print(table(answers), *("", f"{bench.rounds} rounds" + " of a quick try" * bench.quick + f"; {machine}"), sep="\n")
    if wanted.json is not None:
        report = {"machine": machine, "rounds": bench.rounds, "quick": bench.quick}
        wanted.json.write_text(json.dumps({**report, "answers": [a.as_json() for a in answers]}, indent=1) + "\n")
    return 0


def parse() -> argparse.Namespace:
    """The command line's words."""
    parser = argparse.ArgumentParser(prog="bench", description="Figures of umbel, beside those of another queue.")
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=f"of {', '.join(QUESTIONS)}; all by default")
    parser.add_argument("--rounds", type=int, metavar="N", help="measure everything N times (5; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="small amounts: does it work at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the single figures there, too")
    wanted = parser.parse_args()
    unknown = [name for name in wanted.questions if name not in QUESTIONS]
    if unknown or (wanted.rounds is not None and wanted.rounds < 1):
        parser.error(f"no such question: {', '.join(unknown)}" if unknown else "--rounds: at least 1")
    return wanted


def telling() -> tuple[Callable[[str], None], Callable[[], None]]:
    """Two functions: one shows what is going on, on one line in a terminal; one removes that line."""
    if not sys.stderr.isatty():
        return lambda line: print(line, file=sys.stderr, flush=True), lambda: None
    clear = "\r\x1b[2K"
    return (
        lambda line: print(clear + line, end="", file=sys.stderr, flush=True),
        lambda: print(clear, end="", file=sys.stderr, flush=True),
    )


def about() -> str:
    """The machine, as far as it matters here."""
    cores = len(os.sched_getaffinity(0))
    return f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()}, {cores} cores"


if __name__ == "__main__":
    sys.exit(main())
