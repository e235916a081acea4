"""What the peers on a server have in common; it loads no driver, for a worker is to have its own peer's alone."""

from __future__ import annotations

from bench import client

RESULTS_AT = "rpc://" if client.URL.startswith("amqp") else client.URL
"""Where the results are kept by those that know both kinds of servers."""


def drained(count: int) -> bool:
    """Whether so many calls were counted: by the function, or on arrival where there is none."""
    return client.counted() >= count


def clear() -> int:
    """Remove what the run has left on its server, which is the bench's own; gives how much that was."""
    if client.URL.startswith("amqp"):
        from bench.peers.raw_rabbitmq import remove_queue

        return remove_queue()
    from redis import Redis  # type: ignore[import-not-found]

    with Redis.from_url(client.URL) as server:
        left = int(server.dbsize())
        server.flushdb()
    return left
