"""Does one thing with one peer, in a process of its own, and prints what came of it as JSON.

    python -m bench.client bench.peers.huey_sqlite send 1000

The folder for the peer's files is in ``BENCH_HOME``; ``BENCH_RESULTS`` is ``1`` where results are to be kept,
``BENCH_PAUSE`` has the seconds between two looks of a peer that looks at fixed intervals, ``BENCH_TUNING`` what makes
one variant of a peer differ from another, ``BENCH_SPIN`` the seconds of CPU time that a call takes. Where the broker is
a server it is at ``BENCH_URL``, and ``BENCH_QUEUE`` is the queue to use.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import mmap
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, cast

HOME = Path(os.environ.get("BENCH_HOME", "."))
RESULTS = os.environ.get("BENCH_RESULTS") == "1"
PAUSE = float(os.environ.get("BENCH_PAUSE", "0.005"))
TUNING = os.environ.get("BENCH_TUNING", "")
URL = os.environ.get("BENCH_URL", "")
QUEUE = os.environ.get("BENCH_QUEUE", "bench")
SPIN = float(os.environ.get("BENCH_SPIN", "0"))
WARM_UP = 50
NAP = 0.02
"""Seconds that a sleeping task waits."""


class Peer(Protocol):
    """What the module of a peer holds."""

    COMMAND: list[str]
    """Starts a worker with two runners that logs nothing but warnings."""

    def call(self, number: int) -> Any:
        """Send one call of a function that gives back its argument."""

    def fetch(self, handle: Any) -> Any:
        """Wait for the value of what ``call`` has sent."""

    def call_many(self, numbers: Sequence[int]) -> None:
        """Send many such calls by the quickest way that there is."""

    def mark(self) -> None:
        """Send a call of a function that calls ``stamp``."""

    def drained(self, count: int) -> bool:
        """Whether all calls of ``count`` in all are finished; asking costs next to nothing."""

    SLEEPING_COMMAND: list[str]
    """Starts a worker in which a hundred tasks may wait at once."""

    def call_sleeping(self, count: int) -> None:
        """Send many calls of a function that waits for ``NAP`` seconds."""

    def acall(self, number: int) -> Coroutine[Any, Any, Any]:
        """As ``call``, for a coroutine; where the peer has it."""

    def clear(self) -> int:
        """Remove the queue of a server; gives how many messages were left there."""


def stamp() -> None:
    """Note that this moment was reached; the harness waits for the file."""
    unready = HOME / "stamp.new"
    unready.write_text(repr(time.monotonic()))
    unready.replace(HOME / "stamp")


def empty(database: Path, query: str) -> bool:
    """Whether ``query``, which reads next to nothing, finds no row."""
    connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        return connection.execute(query).fetchone() is None
    finally:
        connection.close()


_own = threading.local()
"""Each thread's own number of calls, in a file."""


def _forget() -> None:
    global _own
    _own = threading.local()


os.register_at_fork(after_in_child=_forget)


def spin() -> None:
    """Be busy for ``SPIN`` seconds of this thread's CPU time."""
    if SPIN:
        until = time.thread_time() + SPIN
        while time.thread_time() < until:
            pass


def tick(calls: int = 1) -> None:
    """Count calls that were run, where anybody can see it, without a lock: about 0.2 µs."""
    try:
        counter = _own.counter
    except AttributeError:
        path = HOME / f"calls-{os.getpid()}-{threading.get_ident()}"
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            counter = _own.counter = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
    counter[0] += calls


def counted() -> int:
    """How many calls were run."""
    return sum(int.from_bytes(path.read_bytes(), sys.byteorder) for path in HOME.glob("calls-*"))


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


def drained(peer: Peer, count: int) -> float:
    """When the last of ``count`` calls was finished, on the monotonic clock."""
    while not peer.drained(count):
        time.sleep(0.004)
    return time.monotonic()


def send(peer: Peer, count: int) -> tuple[list[float], float]:
    """The seconds that each of ``count`` single calls took, and the CPU seconds of this process for all of them."""
    timed(lambda: peer.call(1), 0)
    spent = time.process_time()
    seconds = timed(lambda: peer.call(1), count, warm_up=0)
    return seconds, time.process_time() - spent


def threads(peer: Peer, count: int, width: int) -> float:
    """The seconds that ``count`` single calls took in so many threads at once."""
    with ThreadPoolExecutor(width) as pool:
        list(pool.map(peer.call, range(4 * width)))
        began = time.perf_counter()
        list(pool.map(lambda _: [peer.call(1) for _ in range(count // width)], range(width)))
        return (time.perf_counter() - began) / (count // width * width) * count


def coroutines(peer: Peer, count: int, width: int) -> float:
    """The seconds that ``count`` single calls took in so many coroutines at once."""

    async def some(calls: int) -> None:
        for _ in range(calls):
            await peer.acall(1)

    async def all_of_them() -> float:
        await asyncio.gather(*(some(1) for _ in range(width)))
        began = time.perf_counter()
        await asyncio.gather(*(some(count // width) for _ in range(width)))
        return (time.perf_counter() - began) / (count // width * width) * count

    return asyncio.run(all_of_them())


def clear(peer: Peer) -> int:
    """Remove what was made on a server."""
    return peer.clear()


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
    for verb in (worker, sleepers, fill, lull, drained, send, threads, coroutines, trip, many, clear)
}


def main(module: str, verb: str, *counts: str) -> None:
    """Do it and print the answer."""
    peer = cast("Peer", importlib.import_module(module))
    print(json.dumps(VERBS[verb](peer, *map(int, counts))))


if __name__ == "__main__":
    main(*sys.argv[1:])
