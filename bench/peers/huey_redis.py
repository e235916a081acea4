"""Huey on Redis, tuned for these questions.

Two worker processes, blocking reads, no scheduler of periodic tasks. It takes a task out of its list before it runs it
and has no acknowledgement: a worker that is killed loses what it was running.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from huey import RedisHuey  # type: ignore[import-not-found]

from bench import client
from bench.peers.server import clear, drained

__all__ = ["clear", "drained"]

huey = RedisHuey(client.QUEUE, url=client.URL, results=client.RESULTS, blocking=True)


def echo(number: int) -> int:
    """The function that the questions call."""
    client.spin()
    client.tick()
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
    client.tick()


def call_sleeping(count: int) -> None:
    """One by one."""
    for _ in range(count):
        nap()


def fetch(handle: Any) -> Any:
    """Its own wait, with the shortest pauses."""
    return handle.get(blocking=True, backoff=1, max_delay=0.001)


_HUEY = [sys.executable, "-m", "huey.bin.huey_consumer", "bench.peers.huey_redis.huey", "--quiet", "--no-periodic"]
COMMAND = [*_HUEY, "--workers=2", "--worker-type=process"]
SLEEPING_COMMAND = [*_HUEY, "--workers=100", "--worker-type=thread"]
