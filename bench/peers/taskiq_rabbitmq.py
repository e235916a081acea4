"""Taskiq with taskiq-aio-pika on RabbitMQ, tuned for these questions.

Two processes; the task is a coroutine, which it runs quicker than a function in its pool of threads. Its queue is a
durable classic one, as the others' is, where its default is a quorum queue; up to 200 deliveries are fetched ahead. It
acknowledges after the task. It has no results over RabbitMQ: where a question is about results it is left out, and in a
round trip its task answers over a pipe, which costs less than any store would.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from taskiq_aio_pika import AioPikaBroker, Queue, QueueType  # type: ignore[import-not-found]

from bench import client
from bench.peers import pipe
from bench.peers.server import clear, drained

__all__ = ["clear", "drained"]

broker = AioPikaBroker(
    client.URL, qos=200, task_queues=[Queue(name=client.QUEUE, type=QueueType.CLASSIC)], delay_queue=None
)


@broker.task  # type: ignore[untyped-decorator]
async def echo(number: int) -> int:
    """The function that the questions call."""
    client.spin()
    client.tick()
    if client.RESULTS:
        pipe.answer()
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


async def _ready() -> None:
    """Return when the connection is there: the first caller makes it."""
    global _starting
    if _starting is None:
        _starting = asyncio.ensure_future(broker.startup())
    await _starting


async def _send(task: Any, arguments: Sequence[tuple[Any, ...]]) -> None:
    await _ready()
    for each in arguments:
        await task.kiq(*each)


def call(number: int) -> None:
    """One call, from a plain program."""
    _loop.run_until_complete(_send(echo, [(number,)]))


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


fetch = pipe.fetch


_TASKIQ = [sys.executable, "-m", "taskiq", "worker", "bench.peers.taskiq_rabbitmq:broker", "--log-level", "WARNING"]
COMMAND = [*_TASKIQ, "--workers", "2", "--max-async-tasks", "64"]
SLEEPING_COMMAND = [*_TASKIQ, "--workers", "1", "--max-async-tasks", "100", "--max-prefetch", "100"]
