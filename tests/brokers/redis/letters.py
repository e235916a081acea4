"""Messages for tests of the Redis broker, and looks at where they stand."""

from __future__ import annotations

import uuid
from typing import Any

from umbel.brokers.redis.consumer import RedisConsumer
from umbel.model import Delivery, Envelope, Message
from umbel.stores.redis.link import Link
from umbel.testing.conformance.harness import Ear
from umbel.wire.task_v2 import encode

BOUND = {"_kombu.binding.mail", "umbel.queues"}
"""The keys of a queue that holds nothing."""


def call(n: int = 0, **fields: Any) -> Envelope:
    return encode(Message(task="t", id=str(uuid.uuid4()), args=[n], **fields), "kombu")


def calls(count: int) -> list[Envelope]:
    return [call(n) for n in range(count)]


def ids(deliveries: list[Delivery]) -> list[str]:
    return [delivery.envelope.id for delivery in deliveries]


def die(ear: Ear) -> None:
    """Have the consumer stop as if its process had."""
    assert isinstance(ear.consumer, RedisConsumer)
    stop(ear.consumer)


def stop(consumer: RedisConsumer) -> None:
    """Have it do nothing more, and hold nothing."""
    for service in consumer._services:
        service.cancel()
    consumer._claims.settled([claim.delivery.receipt for claim in consumer._claims])


async def overdue(link: Link, prefix: str) -> None:
    """Have every lease be over."""
    tags = await link.ask("ZRANGE", f"{prefix}umbel.claims", 0, -1)
    await link.ask_all([("ZADD", f"{prefix}umbel.claims", 1, tag) for tag in tags])


async def keys(link: Link, prefix: str) -> set[str]:
    found = await link.ask("KEYS", f"{prefix}*")
    return {key.decode().removeprefix(prefix) for key in found}
