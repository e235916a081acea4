"""What every broker must do that tells which queues it has."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import pytest

from umbel.model import ACK, later
from umbel.ports import Broker, ListsQueues, QueueSize
from umbel.testing.conformance.harness import AdapterSuite, listening, settle_all, to


class ListingBroker(Broker, ListsQueues, Protocol):
    """A broker with the power."""


async def held(broker: ListsQueues, *names: str) -> list[QueueSize]:
    """What it says of these queues; a broker may have others, and keep those that are empty."""
    found = [size for size in await broker.queues() if size.name in names]
    assert [size.name for size in found] == sorted(size.name for size in found)
    return [size for size in found if any(size[1:])]


class QueuesConformance(AdapterSuite):
    """Telling which queues there are. Override the fixture."""

    @pytest.fixture
    def make_broker(self) -> Callable[[], ListingBroker]:
        """Makes an adapter that is not entered yet; all that one test makes are on the same store."""
        pytest.fail("override the fixture make_broker")

    @pytest.fixture
    async def broker(self, make_broker: Callable[[], ListingBroker]) -> AsyncIterator[ListingBroker]:
        async with make_broker() as broker:
            yield broker

    async def test_it_offers_the_power(self, broker: ListingBroker) -> None:
        assert isinstance(broker, ListsQueues)

    async def test_queues_are_told_by_name_with_what_is_ready_and_what_waits(
        self, broker: ListingBroker, queue: str
    ) -> None:
        other = f"{queue}.other"
        assert await held(broker, queue, other) == []
        await broker.publish(to(other, self.numbered(broker, 3)))
        await broker.publish(to(queue, self.numbered(broker, 2), time.time() + 3600))
        await broker.publish(to(queue, self.numbered(broker, 1)))
        assert await held(broker, queue, other) == [QueueSize(queue, 1, 2, 0), QueueSize(other, 3, 0, 0)]

    async def test_what_is_handed_out_counts_until_it_is_settled(self, broker: ListingBroker, queue: str) -> None:
        await broker.publish(to(queue, self.numbered(broker, 5)))
        async with listening(await broker.consume([queue], 3)) as ear:
            deliveries = await ear.hears(3)
            assert await held(broker, queue) == [QueueSize(queue, 2, 0, 3)]
            await ear.consumer.resize(0)
            await settle_all(ear.consumer, deliveries[:1], ACK)
            await settle_all(ear.consumer, deliveries[1:2], later(time.time() + 3600))
            assert await held(broker, queue) == [QueueSize(queue, 2, 1, 1)]
        assert await held(broker, queue) == [QueueSize(queue, 3, 1, 0)]
