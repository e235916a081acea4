"""RQ, tuned for these questions.

A pool of two workers that run tasks in their own processes (``SimpleWorker``): its default makes a new process for each
task, which takes milliseconds. It has neither threads nor coroutines, so nothing of it waits a hundred times at once. A
task is taken out of its list before it runs; what a dead worker had is found in a registry.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from redis import Redis  # type: ignore[import-not-found]
from rq import Queue  # type: ignore[import-not-found]

from bench import client
from bench.peers.server import clear, drained

__all__ = ["clear", "drained"]

queue = Queue(client.QUEUE, connection=Redis.from_url(client.URL))
_KEPT = 3600 if client.RESULTS else 0


def echo(number: int) -> int:
    """The function that the questions call."""
    client.spin()
    client.tick()
    return number


def stamp() -> None:
    """Note the moment."""
    client.stamp()


def call(number: int) -> Any:
    """One call."""
    return queue.enqueue("bench.peers.rq_redis.echo", number, result_ttl=_KEPT)


def mark() -> None:
    """The call that stamps."""
    queue.enqueue("bench.peers.rq_redis.stamp", result_ttl=0)


def call_many(numbers: Sequence[int]) -> None:
    """A hundred in one write."""
    for at in range(0, len(numbers), 100):
        some = numbers[at : at + 100]
        queue.enqueue_many(
            [Queue.prepare_data("bench.peers.rq_redis.echo", args=(number,), result_ttl=_KEPT) for number in some]
        )


def fetch(job: Any) -> Any:
    """It has no wait that is quicker than looking again and again."""
    while (result := job.latest_result()) is None:
        time.sleep(0.001)
    return result.return_value


COMMAND = [sys.executable, "-m", "rq.cli", "worker-pool", client.QUEUE, "--num-workers", "2", "--url", client.URL]
COMMAND += ["--worker-class", "rq.worker.SimpleWorker", "--logging-level", "WARNING"]
