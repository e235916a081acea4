"""Does one thing with one peer, in a process of its own, and prints what came of it as JSON.

    python -m bench.client bench.peers.huey_sqlite send 1000

The folder for the peer's files is in ``BENCH_HOME``; ``BENCH_RESULTS`` is ``1`` where results are to be kept, and
``BENCH_PAUSE`` has the seconds between two looks of a peer that looks at fixed intervals.
"""

from __future__ import annotations

import importlib
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

HOME = Path(os.environ.get("BENCH_HOME", "."))
RESULTS = os.environ.get("BENCH_RESULTS") == "1"
PAUSE = float(os.environ.get("BENCH_PAUSE", "0.005"))
WARM_UP = 50
NAP = 0.02
"""Seconds that a sleeping task waits."""


class Peer(Protocol):
    """What the module of a peer holds."""

    COMMAND: list[str]
    """Starts a worker with two runners that logs nothing but warnings."""
    DATABASE: Path
    UNFINISHED: str
    """An SQL query that gives a row as long as a task is not finished, and reads next to nothing."""

    def call(self, number: int) -> Any:
        """Send one call of a function that gives back its argument."""

    def fetch(self, handle: Any) -> Any:
        """Wait for the value of what ``call`` has sent."""

    def call_many(self, numbers: Sequence[int]) -> None:
        """Send many such calls by the quickest way that there is."""

    def mark(self) -> None:
        """Send a call of a function that calls ``stamp``."""

    SLEEPING_COMMAND: list[str]
    """Starts a worker in which a hundred tasks may wait at once."""

    def call_sleeping(self, count: int) -> None:
        """Send many calls of a function that waits for ``NAP`` seconds."""


def stamp() -> None:
    """Note that this moment was reached; the harness waits for the file."""
    unready = HOME / "stamp.new"
    unready.write_text(repr(time.monotonic()))
    unready.replace(HOME / "stamp")


def worker(peer: Peer) -> list[str]:
    """The worker's command line."""
    return peer.COMMAND


def fill(peer: Peer, before: int, after: int) -> None:
    """Put ``before`` calls into the queue, then one that stamps, then ``after`` more."""
    peer.call_many(range(before))
    peer.mark()
    peer.call_many(range(after))


def sleepers(peer: Peer) -> list[str]:
    """The command line of the worker whose tasks wait."""
    return peer.SLEEPING_COMMAND


def lull(peer: Peer, before: int, after: int) -> None:
    """As ``fill``, with tasks that wait."""
    peer.call_sleeping(before)
    peer.mark()
    peer.call_sleeping(after)


def drained(peer: Peer) -> float:
    """When the last task was finished, on the monotonic clock."""
    connection = sqlite3.connect(f"{peer.DATABASE.as_uri()}?mode=ro", uri=True, isolation_level=None)
    while connection.execute(peer.UNFINISHED).fetchone() is not None:
        time.sleep(0.004)
    return time.monotonic()


def send(peer: Peer, count: int) -> list[float]:
    """The seconds that each of ``count`` single calls took."""
    return timed(lambda: peer.call(1), count)


def trip(peer: Peer, count: int) -> list[float]:
    """The seconds from each of ``count`` calls to its value, one after the other."""
    return timed(lambda: peer.fetch(peer.call(1)), count)


def many(peer: Peer, count: int, repetitions: int) -> list[float]:
    """The seconds that each of some batches of ``count`` calls took."""
    return timed(lambda: peer.call_many(range(count)), repetitions, warm_up=2)


def timed(act: Callable[[], object], count: int, warm_up: int = WARM_UP) -> list[float]:
    """The seconds of each repetition, after some that do not count."""
    for _ in range(warm_up):
        act()
    now = time.perf_counter
    seconds = []
    for _ in range(count):
        began = now()
        act()
        seconds.append(now() - began)
    return seconds


VERBS: dict[str, Callable[..., Any]] = {
    verb.__name__: verb
    for verb in (worker, sleepers, fill, lull, drained, send, trip, many)  # what the harness may ask for
}


def main(module: str, verb: str, *counts: str) -> None:
    """Do it and print the answer."""
    peer = cast("Peer", importlib.import_module(module))
    print(json.dumps(VERBS[verb](peer, *map(int, counts))))


if __name__ == "__main__":
    main(*sys.argv[1:])
