"""The buses against the bus suite, and what is peculiar to each."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from tools.rabbitmq import RabbitMQ, free_port
from umbel.brokers.amqp import AmqpBroker
from umbel.brokers.memory import MemoryBroker
from umbel.errors import StoreUnreachable
from umbel.stores.amqp.address import Address
from umbel.stores.amqp.link import Link
from umbel.testing.conformance.bus import BusAdapter, BusConformance, command, node_on
from umbel.testing.conformance.harness import PATIENCE


class TestMemoryBus(BusConformance):
    @pytest.fixture
    def make_broker(self) -> Callable[[], BusAdapter]:
        url = f"memory://{uuid.uuid4().hex}"
        kept = MemoryBroker(url)  # a store lives as long as somebody has it

        def make() -> BusAdapter:
            assert kept.bus is MemoryBroker(url).bus
            return MemoryBroker(url)

        return make


@pytest.mark.server
class TestAmqpBus(BusConformance):
    @pytest.fixture
    def make_broker(self, rabbitmq: RabbitMQ) -> Callable[[], BusAdapter]:
        return lambda: AmqpBroker(rabbitmq.url)

    @pytest.fixture
    async def broker(self, rabbitmq: RabbitMQ) -> AsyncIterator[AmqpBroker]:
        async with AmqpBroker(rabbitmq.url) as made:
            yield made

    async def test_a_node_whose_connection_was_cut_listens_again_and_says_so(
        self, broker: AmqpBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        links: list[Link] = []

        def link(addresses: Sequence[Address]) -> Link:
            links.append(Link(addresses))
            return links[-1]

        monkeypatch.setattr("umbel.brokers.amqp.bus.Link", link)
        async with node_on(broker.bus) as node:
            (await links[0].connection()).abort(StoreUnreachable("cut by the test"))
            await node.until(lambda: node.lists == [[], []])
            await broker.bus.send(command(broker.bus, "after"))
            await node.hears("after")

    async def test_who_asks_is_told_that_the_connection_is_lost(self, broker: AmqpBroker) -> None:
        async with broker.bus.inbox() as inbox:
            (await broker.link.connection()).abort(StoreUnreachable("cut by the test"))
            with pytest.raises(StoreUnreachable, match="cut by the test"):
                await inbox.next(PATIENCE)
        assert not await broker.bus.send(command(broker.bus, "again"))

    async def test_a_server_that_is_away_is_told_to_who_sends(self) -> None:
        async with AmqpBroker(f"amqp://127.0.0.1:{free_port()}//") as broker:
            with pytest.raises(StoreUnreachable):
                await broker.bus.send(command(broker.bus, "ping"))
            with pytest.raises(StoreUnreachable):
                async with broker.bus.inbox():
                    pass
