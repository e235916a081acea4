"""What the suites on Redis share: a broker whose deliveries are equal to what was sent, though they have an address."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pytest

from tools.redis_server import RedisServer
from umbel.backends.redis import RedisBackend
from umbel.brokers.redis import RedisBroker
from umbel.brokers.redis.cluster_consumer import ClusterConsumer
from umbel.brokers.redis.consumer import RedisConsumer
from umbel.model import Delivery, Envelope, SealedRecord
from umbel.ports import Broker, DeadLetter
from umbel.testing.conformance.withdraw import EXPIRES
from umbel.wire.kombu import pack

_ADDRESS = re.compile(rb',"priority":\d,"delivery_info":[^\0]*$')


def bare(envelope: Envelope) -> Envelope:
    """The envelope as it was before it got its address."""
    return envelope._replace(head=_ADDRESS.sub(b"}}", envelope.head))


class Bare:
    """A consumer that hands out entries without their addresses."""

    def __init__(self, consumer: RedisConsumer | ClusterConsumer) -> None:
        self._consumer = consumer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def __aiter__(self) -> Bare:
        return self

    async def __anext__(self) -> list[Delivery]:
        return [each._replace(envelope=bare(each.envelope)) for each in await anext(self._consumer)]


class BareBroker(RedisBroker):
    """A broker of such consumers."""

    async def consume(self, queues: Sequence[str], prefetch: int) -> Any:
        return Bare(await super().consume(queues, prefetch))

    async def dead_letters(self, after: int = 0, limit: int = 1000) -> Sequence[DeadLetter]:
        letters = await super().dead_letters(after, limit)
        return [letter._replace(envelope=bare(letter.envelope)) for letter in letters]

    async def withdraw(
        self, ids: Sequence[str], records_of: Callable[[Envelope], Sequence[SealedRecord] | None]
    ) -> Sequence[SealedRecord]:
        return await super().withdraw(ids, lambda envelope: records_of(bare(envelope)))


class StampedBackend(RedisBackend):
    """A backend of which records that a test has made of withdrawn messages say when they expire."""

    async def load(self, ids: Sequence[str]) -> Mapping[str, SealedRecord]:
        return {id: _stamped(record) for id, record in (await super().load(ids)).items()}

    async def watch(self, ids: Sequence[str]) -> AsyncIterator[SealedRecord]:
        async for record in super().watch(ids):
            yield _stamped(record)


def _stamped(record: SealedRecord) -> SealedRecord:
    return record._replace(expires=EXPIRES) if record.payload.startswith(b"revoked ") else record


class OnRedis:
    """For suites of brokers: they are made on the server of the run."""

    @pytest.fixture
    def make_broker(self, redis: RedisServer) -> Callable[[], Any]:
        return lambda: BareBroker(redis.url, {})

    def envelope(self, broker: Broker, body: bytes = b"body", head: bytes = b"head", id: str | None = None) -> Envelope:
        task_id = id or f"{uuid.uuid4()}"
        headers = {"id": task_id, "task": "t", "eta": None}
        return pack(task_id, headers, {"correlation_id": task_id}, body, "application/json", "utf-8")
