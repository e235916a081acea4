"""SAQ, tuned for these questions.

Two processes of 32 coroutines each. A task stays in a list of what is active until it has ended. Its results are part
of the job and always kept for a time: without results they are kept for a second.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from saq import Queue  # type: ignore[import-not-found]

from bench import client
from bench.peers.server import clear, drained

__all__ = ["clear", "drained"]

queue = Queue.from_url(client.URL, name=client.QUEUE)
_KEPT = 3600 if client.RESULTS else 1


async def echo(context: dict[str, Any], *, number: int) -> int:
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


settings = {"queue": queue, "functions": [echo, nap, stamp], "concurrency": 32}
waiting = {**settings, "concurrency": 100}

_loop = asyncio.new_event_loop()


async def _send(name: str, arguments: Sequence[dict[str, Any]]) -> Any:
    handle = None
    for each in arguments:
        handle = await queue.enqueue(name, ttl=_KEPT, **each)
    return handle


def call(number: int) -> Any:
    """One call, from a plain program."""
    return _loop.run_until_complete(_send("echo", [{"number": number}]))


async def acall(number: int) -> None:
    """One call, on the caller's loop."""
    await _send("echo", [{"number": number}])


def mark() -> None:
    """The call that stamps."""
    _loop.run_until_complete(_send("stamp", [{}]))


def call_many(numbers: Sequence[int]) -> None:
    """One by one: it has no way to send many at once."""
    _loop.run_until_complete(_send("echo", [{"number": number} for number in numbers]))


def call_sleeping(count: int) -> None:
    """One by one."""
    _loop.run_until_complete(_send("nap", [{}] * count))


async def _fetch(job: Any) -> Any:
    while job.status not in ("complete", "failed", "aborted"):
        await asyncio.sleep(0.001)
        await job.refresh()
    return job.result


def fetch(job: Any) -> Any:
    """Looks again and again, with the shortest pauses: its own wait may miss an end that came before it began."""
    return _loop.run_until_complete(_fetch(job))


_SAQ = [sys.executable, "-m", "saq"]
COMMAND = [*_SAQ, "bench.peers.saq_redis.settings", "--workers", "2", "--quiet"]
SLEEPING_COMMAND = [*_SAQ, "bench.peers.saq_redis.waiting", "--workers", "1", "--quiet"]
