"""umbel on SQLite, as it comes: commits survive the crash of a process, claiming and settling included.

Without results its task says ``ignore_result``; the worker's log is held down to warnings, as the peers' is.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from bench import client
from umbel import AsyncResult, Umbel

DATABASE = client.HOME / "umbel.db"

app = Umbel("bench", broker=f"sqlite:///{DATABASE}", task_ignore_result=not client.RESULTS)


@app.task
def echo(number: int) -> int:
    """The function that the questions call."""
    client.spin()
    return number


call = echo.delay
mark = app.task(client.stamp).delay


def call_many(numbers: Sequence[int]) -> None:
    """All of them in one write."""
    echo.delay_many([(number,) for number in numbers])


@app.task
async def nap() -> None:
    """Waits without a thread of its own."""
    await asyncio.sleep(client.NAP)


def call_sleeping(count: int) -> None:
    """All of them in one write."""
    nap.delay_many([()] * count)


def drained(count: int) -> bool:
    """Whether its table is empty."""
    return client.empty(DATABASE, "SELECT 1 FROM messages LIMIT 1")


def fetch(result: AsyncResult[int]) -> int:
    """The plain wait."""
    return result.get(timeout=30)


COMMAND = [sys.executable, "-m", "umbel", "worker", "--app", "bench.peers.umbel_sqlite", "--concurrency", "2"]
COMMAND += ["--loglevel", "WARNING", "--quiet"]
SLEEPING_COMMAND = [*COMMAND, "--pool", "async", "--concurrency", "100"]
