"""arq, tuned for these questions.

It looks for tasks at intervals: 5 ms here, where its default is half a second. Two processes of 32 coroutines each,
made by ``fork``, for it has no way of its own to start more than one. A task stays in its queue until it has ended.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Any

from arq import ArqRedis, func, run_worker  # type: ignore[import-not-found]
from arq.connections import RedisSettings  # type: ignore[import-not-found]

from bench import client
from bench.peers.server import clear, drained

__all__ = ["clear", "drained"]

pool = ArqRedis.from_url(client.URL)
_KEPT = 3600 if client.RESULTS else 0


async def echo(context: dict[str, Any], number: int) -> int:
    """The function that the questions call."""
    client.spin()
    client.tick()
    return number


async def nap(context: dict[str, Any]) -> None:
    """Waits without a thread of its own."""
    await asyncio.sleep(client.NAP)
    client.tick()


async def stamp(context: dict[str, Any]) -> None:
    """Note the moment."""
    client.stamp()


_loop = asyncio.new_event_loop()


async def _send(name: str, arguments: Sequence[tuple[int, ...]]) -> Any:
    handle = None
    for each in arguments:
        handle = await pool.enqueue_job(name, *each, _queue_name=client.QUEUE)
    return handle


def call(number: int) -> Any:
    """One call, from a plain program."""
    return _loop.run_until_complete(_send("echo", [(number,)]))


async def acall(number: int) -> None:
    """One call, on the caller's loop."""
    await _send("echo", [(number,)])


def mark() -> None:
    """The call that stamps."""
    _loop.run_until_complete(_send("stamp", [()]))


def call_many(numbers: Sequence[int]) -> None:
    """One by one: it has no way to send many at once."""
    _loop.run_until_complete(_send("echo", [(number,) for number in numbers]))


def call_sleeping(count: int) -> None:
    """One by one."""
    _loop.run_until_complete(_send("nap", [()] * count))


def fetch(job: Any) -> Any:
    """Its own wait, which looks again and again, with the shortest pauses."""
    return _loop.run_until_complete(job.result(timeout=30, poll_delay=0.001))


def work(processes: int, at_once: int) -> None:
    """Be a worker, until a signal ends it."""
    for _ in range(processes - 1):
        if os.fork() == 0:
            break
    settings = {
        "functions": [func(echo, keep_result=_KEPT), nap, stamp],
        "queue_name": client.QUEUE,
        "redis_settings": RedisSettings.from_dsn(client.URL),
        "max_jobs": at_once,
        "poll_delay": client.PAUSE,
    }
    run_worker(settings)


_ARQ = [sys.executable, "-m", "bench.peers.arq_redis"]
COMMAND = [*_ARQ, "2", "32"]
SLEEPING_COMMAND = [*_ARQ, "1", "100"]

if __name__ == "__main__":
    work(*map(int, sys.argv[1:]))
