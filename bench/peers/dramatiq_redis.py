"""Dramatiq on Redis, tuned for these questions.

Two processes with one thread each. Of its middleware only what retries tasks is left, without which a task that fails
would be gone, and results where they are asked for. It acknowledges after the task.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import dramatiq  # type: ignore[import-not-found]
from dramatiq.brokers.redis import RedisBroker  # type: ignore[import-not-found]
from dramatiq.middleware import Retries  # type: ignore[import-not-found]
from dramatiq.results import Results  # type: ignore[import-not-found]
from dramatiq.results.backends import RedisBackend  # type: ignore[import-not-found]

from bench import client
from bench.peers.server import clear, drained

__all__ = ["clear", "drained"]

broker = RedisBroker(url=client.URL, middleware=[Retries()])
if client.RESULTS:
    broker.add_middleware(Results(backend=RedisBackend(url=client.URL)))
dramatiq.set_broker(broker)
_KEPT: dict[str, Any] = {"store_results": True} if client.RESULTS else {}


@dramatiq.actor(queue_name=client.QUEUE, **_KEPT)  # type: ignore[untyped-decorator]
def echo(number: int) -> int:
    """The function that the questions call."""
    client.spin()
    client.tick()
    return number


call = echo.send
mark = dramatiq.actor(client.stamp, queue_name=client.QUEUE).send


def call_many(numbers: Sequence[int]) -> None:
    """One by one: it has no way to send many at once."""
    for number in numbers:
        call(number)


@dramatiq.actor(queue_name=client.QUEUE)  # type: ignore[untyped-decorator]
def nap() -> None:
    """Waits in a thread."""
    time.sleep(client.NAP)
    client.tick()


def call_sleeping(count: int) -> None:
    """One by one."""
    for _ in range(count):
        nap.send()


def fetch(message: Any) -> Any:
    """The plain wait."""
    return message.get_result(block=True, timeout=30_000)


_DRAMATIQ = [sys.executable, "-m", "dramatiq", "bench.peers.dramatiq_redis"]
COMMAND = [*_DRAMATIQ, "--processes", "2", "--threads", "1"]
SLEEPING_COMMAND = [*_DRAMATIQ, "--processes", "1", "--threads", "100"]
