"""The stream of one page: every newer snapshot of its tasks, as server-sent events."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from umbel.progress.hub import Hub
from umbel.progress.snapshot import Snapshot
from umbel.stores.bells import LoopBell
from umbel.web import leaving

MOST_KEYS = 100
"""Tasks in one stream."""

PING = 15.0
"""Seconds after which something is sent though nothing has moved, so that nobody on the way takes it for dead."""

LONGEST = 300.0
"""Seconds, about, after which a stream ends and its reader opens another."""

RETRY = 2000
"""Milliseconds that a reader waits before it opens another."""

HEADERS = (
    ("Content-Type", "text/event-stream"),
    ("Cache-Control", "no-cache, no-transform"),
    ("X-Accel-Buffering", "no"),
)


def event(name: str, facts: Any, cursor: Sequence[int] = ()) -> bytes:
    """One event; ``cursor`` is how far the reader is with each of its tasks."""
    head = f"id: {','.join(map(str, cursor))}\n" if cursor else ""
    return f"{head}event: {name}\ndata: {json.dumps(facts, separators=(',', ':'), default=str)}\n\n".encode()


Show = Callable[[Snapshot], Awaitable[Any]]
"""Gives what the reader of one task sees of a snapshot, as values that JSON has."""


async def events(
    hub: Hub, tasks: Mapping[str, Sequence[tuple[int, Show]]], cursor: list[int], refused: Sequence[Mapping[str, Any]]
) -> AsyncIterator[bytes]:
    """The bytes of a stream.

    ``tasks`` are the places that a task has among those asked for, each with an async function from a snapshot to what
    is shown there; ``cursor`` the number of the last snapshot that the reader has of each place, ``refused`` what is
    told of those that it may not see.
    """
    yield f"retry: {RETRY}\n\n".encode()
    for each in refused:
        yield event("refused", each)
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + LONGEST * random.uniform(0.9, 1.1)
    pending = set(tasks)
    bell = LoopBell()
    leaving.listen(bell.ring)
    try:
        async with hub.following(tasks, bell) as subscription:
            told: dict[str, Snapshot] = {}
            while pending and not leaving.leaving() and loop.time() < ends_at:
                for id, snap in subscription.take().items():
                    if snap.final:
                        pending.discard(id)
                    if told.get(id) == snap:
                        continue
                    told[id] = snap
                    for place, show in tasks[id]:
                        if cursor[place] == snap.seq and snap.ahead is None:
                            continue
                        cursor[place] = snap.seq
                        yield event("snapshot", await show(snap), cursor)
                if not pending:
                    break
                before = loop.time()
                await subscription.wait(min(PING, max(0.0, ends_at - before)))
                if loop.time() - before >= PING:
                    yield b": ping\n\n"
        yield event("end" if not pending else "bye", {})
    finally:
        leaving.unlisten(bell.ring)
