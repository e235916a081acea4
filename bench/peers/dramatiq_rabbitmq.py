"""Dramatiq on RabbitMQ, tuned for these questions.

Two processes with one thread each, which drained quicker than its default of eight; ``dramatiq_queue_prefetch`` is as
it comes. Of its middleware only what retries tasks is left, without which a task that fails would be gone. It
acknowledges after the task. It keeps results in Redis or Memcached alone: where a question is about results it is left
out, and in a round trip its task answers over a pipe, which costs less than any store would.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import dramatiq  # type: ignore[import-not-found]
from dramatiq.brokers.rabbitmq import RabbitmqBroker  # type: ignore[import-not-found]
from dramatiq.middleware import Retries  # type: ignore[import-not-found]

from bench import client
from bench.peers import pipe
from bench.peers.server import clear, drained

__all__ = ["clear", "drained"]

broker = RabbitmqBroker(url=client.URL.rstrip("/") + "/%2F", middleware=[Retries()])
broker.confirm_delivery = "confirm" in client.TUNING
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=client.QUEUE)  # type: ignore[untyped-decorator]
def echo(number: int) -> None:
    """The function that the questions call."""
    client.spin()
    client.tick()
    if client.RESULTS:
        pipe.answer()


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


fetch = pipe.fetch

_DRAMATIQ = [sys.executable, "-m", "dramatiq", "bench.peers.dramatiq_rabbitmq"]
COMMAND = [*_DRAMATIQ, "--processes", "2", "--threads", "1"]
SLEEPING_COMMAND = [*_DRAMATIQ, "--processes", "1", "--threads", "100"]
