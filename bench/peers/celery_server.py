"""Celery on a server, tuned for these questions.

Two worker processes (prefork). What a variant says: its prefetch multiplier, and whether it acknowledges after the
task (``late``, as umbel does, and then without gossip, mingling and heartbeats between workers) or before (``early``,
and then with everything as it comes). Warnings only. On RabbitMQ messages are durable; with ``confirm`` each publish
awaits its confirm, which is off by default; results go over ``rpc://``. On Redis they are on the same server. Its sync
callers have no coroutines: concurrency is threads, each with a connection of its own from a pool of 16.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from celery import Celery  # type: ignore[import-not-found]

from bench import client
from bench.peers.server import RESULTS_AT, clear, drained

__all__ = ["clear", "drained"]

_told = client.TUNING.split()

app = Celery("bench", broker=client.URL, backend=RESULTS_AT if client.RESULTS else None)
app.conf.update(
    task_default_queue=client.QUEUE,
    task_ignore_result=not client.RESULTS,
    task_acks_late="late" in _told,
    worker_prefetch_multiplier=int(_told[0]) if _told and _told[0].isdigit() else 4,
    broker_transport_options={"confirm_publish": "confirm" in _told},
    broker_connection_retry_on_startup=True,
    broker_pool_limit=16,
)


@app.task  # type: ignore[untyped-decorator]
def echo(number: int) -> int:
    """The function that the questions call."""
    client.spin()
    client.tick()
    return number


call = echo.delay
mark = app.task(client.stamp).delay


def call_many(numbers: Sequence[int]) -> None:
    """One by one: it has no way to send many at once."""
    for number in numbers:
        call(number)


def fetch(result: Any) -> Any:
    """The plain wait."""
    return result.get(timeout=30)


COMMAND = [sys.executable, "-m", "celery", "--app", "bench.peers.celery_server", "worker", "--concurrency", "2"]
COMMAND += ["--pool", "prefork", "--loglevel", "WARNING", "--queues", client.QUEUE]
if "late" in _told:
    COMMAND += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
