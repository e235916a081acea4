"""What the peers on Redis have in common: the server is the run's own, so its whole database is emptied between two."""

from __future__ import annotations

from redis import Redis  # type: ignore[import-not-found]

from bench import client


def drained(count: int) -> bool:
    """Whether so many calls were counted by the function."""
    return client.counted() >= count


def clear() -> int:
    """Remove everything; gives how many keys were left."""
    with Redis.from_url(client.URL) as server:
        left = int(server.dbsize())
        server.flushdb()
    return left
