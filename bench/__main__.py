"""Asks the questions and prints what came of them.

    python -m bench                          everything on SQLite: about fifteen minutes
    python -m bench drain send               these questions
    python -m bench --broker rabbitmq        everything on a RabbitMQ server of its own: about an hour
    python -m bench --broker redis           everything on a Redis server of its own: about an hour
    python -m bench --quick --json out.json  a try of everything, and the single figures in a file

The exit status is 0 when every question was answered, whether or not the bars are met.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import drain, importing, many, pages, send, sleeping, spinning, standing, tracking, trip
from bench.harness import Answer, Bench
from bench.peers import PEERS
from bench.processes import Stuck
from bench.table import table
from tools.environment import Failure
from tools.rabbitmq import RabbitMQ
from tools.redis_server import RedisServer

QUESTIONS: dict[str, Callable[[Bench], list[Answer]]] = {
    "drain": drain.ask,
    "send": send.ask,
    "many": many.ask,
    "trip": trip.ask,
    "standing": standing.ask,
    "sleeping": sleeping.ask,
    "spinning": spinning.ask,
    "importing": importing.ask,
    "tracking": tracking.ask,
    "pages": pages.ask,
}
ONLY = {"importing": "sqlite", "tracking": "sqlite", "pages": "sqlite"}
"""What is no matter of a broker is asked with that one's questions."""


def main() -> int:
    """Do what the command line says."""
    wanted = parse()
    tell, hush = telling()
    rounds = wanted.rounds or (1 if wanted.quick else 5)
    answers: list[Answer] = []
    try:
        with serving(wanted.broker) as server:
            bench = Bench(rounds, wanted.quick, tell, wanted.broker, server)
            for name in wanted.questions or [
                name for name in QUESTIONS if ONLY.get(name, bench.broker) == bench.broker
            ]:
                answers += QUESTIONS[name](bench)
    except (Stuck, Failure) as trouble:
        hush()
        print(f"bench: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        hush()
        print("bench: stopped", file=sys.stderr)
        return 130
    hush()
    machine = about(wanted.broker)
    print(table(answers), *("", f"{rounds} rounds" + " of a quick try" * wanted.quick + f"; {machine}"), sep="\n")
    if wanted.json is not None:
        report = {"machine": machine, "broker": wanted.broker, "rounds": rounds, "quick": wanted.quick}
        wanted.json.write_text(json.dumps({**report, "answers": [a.as_json() for a in answers]}, indent=1) + "\n")
    return 0


def parse() -> argparse.Namespace:
    """The command line's words."""
    parser = argparse.ArgumentParser(prog="bench", description="Figures of umbel, beside those of another queue.")
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=f"of {', '.join(QUESTIONS)}; all by default")
    parser.add_argument("--broker", choices=PEERS, default="sqlite", help="where the messages are (sqlite)")
    parser.add_argument("--rounds", type=int, metavar="N", help="measure everything N times (5; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="small amounts: does it work at all?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the single figures there, too")
    wanted = parser.parse_args()
    unknown = [name for name in wanted.questions if name not in QUESTIONS]
    foreign = [name for name in wanted.questions if ONLY.get(name, wanted.broker) != wanted.broker]
    if foreign:
        parser.error(f"{foreign[0]} is asked with --broker {ONLY[foreign[0]]} alone")
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


@contextlib.contextmanager
def serving(broker: str) -> Iterator[RabbitMQ | RedisServer | None]:
    """The server of that broker, started; None where a file does."""
    if broker == "sqlite":
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="umbel-bench-") as folder:
        place = Path(folder) / broker
        server = RabbitMQ(place) if broker == "rabbitmq" else RedisServer(place)
        try:
            server.start()
            yield server
        finally:
            server.close()


def about(broker: str) -> str:
    """The machine, as far as it matters here."""
    cores = len(os.sched_getaffinity(0))
    store = f"SQLite {sqlite3.sqlite_version}" if broker == "sqlite" else f"{broker} {version(broker)}"
    return f"Python {platform.python_version()}, {store}, {platform.system()}, {cores} cores"


def version(broker: str) -> str:
    """That of the server, as its package knows it."""
    asked = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", f"{broker}-server"], capture_output=True, text=True)
    return asked.stdout.rpartition(":")[2].partition("-")[0] or "of unknown version"


if __name__ == "__main__":
    sys.exit(main())
