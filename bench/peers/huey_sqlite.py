"""Huey on SQLite, tuned for these questions.

``fsync=False`` leaves writing to the disk to the system altogether (``synchronous=OFF``). Two worker processes are its
quickest on two cores. It learns of tasks and of results by looking for them again and again; the pauses between its
looks do not grow here, and last 5 ms, where its defaults are 100 ms at first and 1 to 10 s in the end. No scheduler of
periodic tasks runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from huey import SqliteHuey  # type: ignore[import-not-found]

from bench import client

DATABASE = client.HOME / "huey.db"

huey = SqliteHuey(filename=str(DATABASE), results=client.RESULTS, fsync=False)


def echo(number: int) -> int:
    """The function that the questions call."""
    client.spin()
    return number


call = huey.task()(echo)
mark = huey.task()(client.stamp)


def call_many(numbers: Sequence[int]) -> None:
    """One by one: it has no way to send many at once."""
    for number in numbers:
        call(number)


@huey.task()  # type: ignore[untyped-decorator]
def nap() -> None:
    """It has no coroutines, and waits in a thread."""
    time.sleep(client.NAP)


def call_sleeping(count: int) -> None:
    """One by one."""
    for _ in range(count):
        nap()


def drained(count: int) -> bool:
    """Whether its table is empty."""
    return client.empty(DATABASE, "SELECT 1 FROM task LIMIT 1")


def fetch(handle: Any) -> Any:
    """Its own wait, with the shortest pauses."""
    return handle.get(blocking=True, backoff=1, max_delay=client.PAUSE)


_HUEY = [sys.executable, "-m", "huey.bin.huey_consumer", "bench.peers.huey_sqlite.huey", "--quiet", "--no-periodic"]
_HUEY += [f"--delay={client.PAUSE}", f"--max-delay={client.PAUSE}", "--backoff=1"]
COMMAND = [*_HUEY, "--workers=2", "--worker-type=process"]
SLEEPING_COMMAND = [*_HUEY, "--workers=100", "--worker-type=thread"]
