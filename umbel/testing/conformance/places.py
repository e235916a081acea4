"""What every broker must do that tells how many stand before a message."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import pytest

from umbel.model import Route
from umbel.ports import Broker
from umbel.testing.conformance.harness import AdapterSuite, take, to
from umbel.tracking import Places


class TellingBroker(Broker, Places, Protocol):
    """A broker with the power."""


class PlacesConformance(AdapterSuite):
    """Places in a queue. Override the fixture."""

    @pytest.fixture
    def make_broker(self) -> Callable[[], TellingBroker]:
        """Makes an adapter that is not entered yet; all that one test makes are on the same store."""
        pytest.fail("override the fixture make_broker")

    @pytest.fixture
    async def broker(self, make_broker: Callable[[], TellingBroker]) -> AsyncIterator[TellingBroker]:
        async with make_broker() as broker:
            yield broker

    async def test_it_offers_the_power(self, broker: TellingBroker) -> None:
        assert isinstance(broker, Places)

    async def test_those_that_are_handed_out_before_are_counted(self, broker: TellingBroker, queue: str) -> None:
        first, second, later, urgent = self.numbered(broker, 4)
        await broker.publish(to(queue, [first, second]))
        await broker.publish(to(queue, [later], time.time() + 3600))
        await broker.publish([(Route(queue, 9), urgent)])
        await broker.publish(to(f"{queue}.other", self.numbered(broker, 5)))
        asked = [each.id for each in (first, second, later, urgent)]
        assert await broker.places([*asked, "never"]) == {urgent.id: 0, first.id: 1, second.id: 2}
        assert await broker.places([]) == {}

    async def test_what_was_handed_out_has_no_place(self, broker: TellingBroker, queue: str) -> None:
        await broker.publish(to(queue, (envelopes := self.numbered(broker, 2))))
        consumer = await broker.consume([queue], 1)
        async for _ in consumer:
            break
        assert await broker.places([each.id for each in envelopes]) == {envelopes[1].id: 0}
        await consumer.close()
        assert len(await take(broker, queue, 2)) == 2
