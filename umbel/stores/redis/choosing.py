"""Makes the store that addresses lead to: one server, or a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from umbel.model import Queue
from umbel.stores.redis.address import Address
from umbel.stores.redis.cluster_store import ClusterStore
from umbel.stores.redis.store import RedisStore


def store_at(addresses: Sequence[Address], queues: Mapping[str, Queue] | None = None) -> RedisStore:
    """The store; ``queues`` are those that the user has declared, by name."""
    return ClusterStore(addresses, queues) if addresses[0].cluster else RedisStore(addresses, queues)
