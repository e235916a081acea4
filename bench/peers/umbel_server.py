"""umbel on a server, as it comes: calls are at the server when they return, and settled after the task.

On RabbitMQ that means durable messages, every publish confirmed. Without results its task says ``ignore_result``; with
them they go over ``rpc://``, or are on the same Redis. The worker's log is held down to warnings, as the peers' is.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from bench import client
from bench.peers.server import RESULTS_AT, clear, drained
from umbel import AsyncResult, Umbel

__all__ = ["clear", "drained"]

app = Umbel(
    "bench",
    broker=client.URL,
    backend=RESULTS_AT if client.RESULTS else None,
    task_ignore_result=not client.RESULTS,
    task_default_queue=client.QUEUE,
)


@app.task
def echo(number: int) -> int:
    """The function that the questions call."""
    client.spin()
    client.tick()
    return number


@app.task
async def nap() -> None:
    """Waits without a thread of its own."""
    await asyncio.sleep(client.NAP)
    client.tick()


call = echo.delay
acall = echo.adelay
mark = app.task(client.stamp).delay


def call_many(numbers: Sequence[int]) -> None:
    """All of them in one write."""
    echo.delay_many([(number,) for number in numbers])


def call_sleeping(count: int) -> None:
    """All of them in one write."""
    nap.delay_many([()] * count)


def fetch(result: AsyncResult[int]) -> int:
    """The plain wait."""
    return result.get(timeout=30)


COMMAND = [sys.executable, "-m", "umbel", "worker", "--app", "bench.peers.umbel_server", "--concurrency", "2"]
COMMAND += ["--loglevel", "WARNING", "--quiet"]
SLEEPING_COMMAND = [*COMMAND, "--pool", "async", "--concurrency", "100"]
