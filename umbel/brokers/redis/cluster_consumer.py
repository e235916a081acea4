"""Claims messages from queues that stand on several servers of a Redis Cluster, and settles them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

from umbel.brokers.redis.cluster_outlet import ClusterOutlet
from umbel.brokers.redis.consumer import RedisConsumer
from umbel.model import Delivery, Envelope, Route, Settlement
from umbel.stores.redis.cluster import all_of


class ClusterConsumer:
    """The claim of one node: a consumer for each queue, which share a window and set ``news``.

    What follows a delivery is sent before that is settled, for it may stand in another slot. Records are not written
    here: who has one stores it first.
    """

    def __init__(self, consumers: Mapping[str, RedisConsumer], outlet: ClusterOutlet, news: asyncio.Event) -> None:
        self._consumers = consumers
        self._outlet = outlet
        self._news = news
        self._closed = False

    async def send(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        """See ``ports.Follows``."""
        await self._outlet.publish(messages, follow=True)

    def on_lost(self, tell: Callable[[], None]) -> None:
        """See ``ports.Tethered``."""
        for consumer in self._consumers.values():
            consumer.on_lost(tell)

    def overdue(self) -> Collection[str]:
        """See ``ports.Tethered``: what somebody else may have by now."""
        return {id for consumer in self._consumers.values() for id in consumer.overdue()}

    @property
    def consumers(self) -> Sequence[RedisConsumer]:
        """Those of the queues."""
        return list(self._consumers.values())

    def __aiter__(self) -> AsyncIterator[list[Delivery]]:
        return self

    async def __anext__(self) -> list[Delivery]:
        for consumer in self._consumers.values():
            if not self._closed:
                consumer.begin()
        while not self._closed:
            if batch := [delivery for consumer in self._consumers.values() for delivery in consumer.take()]:
                return batch
            self._news.clear()
            await self._news.wait()
        raise StopAsyncIteration

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """See ``ports.Consumer``; the deliveries of a queue are one step. When it raises, what follows them may have
        been sent, and those of other queues may be settled."""
        by_queue: dict[str, list[Settlement]] = {}
        follow_ups: list[tuple[Route, Envelope]] = []
        for settlement in settlements:
            delivery = settlement.delivery
            if delivery.queue in self._consumers:
                by_queue.setdefault(delivery.queue, []).append(Settlement(delivery, settlement.verdict))
                if self._consumers[delivery.queue].holds(delivery):
                    follow_ups += settlement.follow_ups
        if follow_ups:
            await self._outlet.publish(follow_ups, follow=True)
        await all_of([self._consumers[queue].settle(some) for queue, some in by_queue.items()])

    async def resize(self, prefetch: int) -> None:
        await all_of([consumer.resize(prefetch) for consumer in self._consumers.values()])

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._news.set()
        await all_of([consumer.close() for consumer in self._consumers.values()])
