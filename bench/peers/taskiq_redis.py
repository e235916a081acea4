"""Taskiq with taskiq-redis, tuned for these questions.

Two processes on a stream, which acknowledges after the task; the task is a coroutine, which it runs quicker than a
function in its pool of threads. Results are on the same server.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker  # type: ignore[import-not-found]

from bench import client
from bench.peers.server import clear, drained

__all__ = ["clear", "drained"]

broker = RedisStreamBroker(client.URL, queue_name=client.QUEUE)
if client.RESULTS:
    broker = broker.with_result_backend(RedisAsyncResultBackend(client.URL, result_ex_time=3600))


@broker.task  # type: ignore[untyped-decorator]
async def echo(number: int) -> int:
    """The function that the questions call."""
    client.spin()
    client.tick()
    return number


@broker.task  # type: ignore[untyped-decorator]
async def nap() -> None:
    """Waits without a thread of its own."""
    await asyncio.sleep(client.NAP)
    client.tick()


@broker.task  # type: ignore[untyped-decorator]
async def stamp() -> None:
    """Note the moment."""
    client.stamp()


_loop = asyncio.new_event_loop()
_starting: asyncio.Future[None] | None = None


async def _send(task: Any, arguments: Sequence[tuple[Any, ...]]) -> Any:
    global _starting
    if _starting is None:
        _starting = asyncio.ensure_future(broker.startup())
    await _starting
    handle = None
    for each in arguments:
        handle = await task.kiq(*each)
    return handle


def call(number: int) -> Any:
    """One call, from a plain program."""
    return _loop.run_until_complete(_send(echo, [(number,)]))


async def acall(number: int) -> None:
    """One call, on the caller's loop."""
    await _send(echo, [(number,)])


def mark() -> None:
    """The call that stamps."""
    _loop.run_until_complete(_send(stamp, [()]))


def call_many(numbers: Sequence[int]) -> None:
    """One by one: it has no way to send many at once."""
    _loop.run_until_complete(_send(echo, [(number,) for number in numbers]))


def call_sleeping(count: int) -> None:
    """One by one."""
    _loop.run_until_complete(_send(nap, [()] * count))


def fetch(handle: Any) -> Any:
    """Its own wait, which looks again and again, with the shortest pauses."""
    return _loop.run_until_complete(handle.wait_result(check_interval=0.001, timeout=30)).return_value


_TASKIQ = [sys.executable, "-m", "taskiq", "worker", "bench.peers.taskiq_redis:broker", "--log-level", "WARNING"]
COMMAND = [*_TASKIQ, "--workers", "2", "--max-async-tasks", "64"]
SLEEPING_COMMAND = [*_TASKIQ, "--workers", "1", "--max-async-tasks", "100", "--max-prefetch", "100"]
