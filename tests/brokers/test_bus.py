"""The buses against the bus suite, and what is peculiar to each."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from tools.ports import free_port
from tools.rabbitmq import RabbitMQ
from tools.redis_server import RedisServer
from umbel.brokers.amqp import AmqpBroker
from umbel.brokers.memory import MemoryBroker
from umbel.brokers.redis import RedisBroker
from umbel.errors import StoreUnreachable
from umbel.stores.amqp.address import Address
from umbel.stores.amqp.link import Link
from umbel.testing.conformance.bus import BusAdapter, BusConformance, command, node_on
from umbel.testing.conformance.harness import PATIENCE
from umbel.wire.control import write_answer


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


@pytest.mark.server
class TestRedisBus(BusConformance):
    @pytest.fixture
    def make_broker(self, any_redis: str) -> Callable[[], BusAdapter]:
        url = f"{any_redis.partition('?')[0]}?global_keyprefix={uuid.uuid4().hex}:"
        return lambda: RedisBroker(url)


@pytest.mark.server
class TestBusOnOneRedis:
    @pytest.fixture
    async def broker(self, redis: RedisServer) -> AsyncIterator[RedisBroker]:
        async with RedisBroker(f"{redis.url}?global_keyprefix={uuid.uuid4().hex}") as made:
            yield made

    async def test_a_node_whose_connection_was_cut_listens_again_and_says_so(
        self, broker: RedisBroker, redis: RedisServer
    ) -> None:
        async with node_on(broker.bus) as node:
            redis.command("CLIENT", "KILL", "TYPE", "pubsub")
            await node.until(lambda: node.lists == [[], []])
            await broker.bus.send(command(broker.bus, "after"))
            await node.hears("after")

    async def test_who_asks_is_told_that_the_server_is_gone(self, tmp_path: Path) -> None:
        server = RedisServer(tmp_path / "server")
        server.start()
        try:
            async with RedisBroker(server.url) as broker:
                async with broker.bus.inbox() as inbox:
                    server.kill()
                    with pytest.raises(StoreUnreachable, match=r"127\.0\.0\.1"):
                        await inbox.next(PATIENCE)
                with pytest.raises(StoreUnreachable):
                    await broker.bus.send(command(broker.bus, "again"))
                with pytest.raises(StoreUnreachable):
                    async with broker.bus.inbox():
                        pass
        finally:
            server.close()

    async def test_nothing_is_left_of_those_who_asked(
        self, broker: RedisBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def keys() -> list[bytes]:
            found: list[bytes] = await broker.keeper.link.ask("KEYS", f"{broker.keeper.layout.prefix}*")
            return found

        monkeypatch.setattr("umbel.brokers.redis.bus.KEPT", 0)
        gone = broker.bus.inbox()
        left = await gone.__aenter__()  # by a process that ends now
        await broker.bus.reply(left.address, write_answer("n", "t", 1, "kombu"))
        monkeypatch.undo()
        async with broker.bus.inbox() as inbox:
            await broker.bus.reply(inbox.address, write_answer("n", "t", 1, "kombu"))
            await inbox.next(PATIENCE)
            assert len(await keys()) == 2
        assert await keys() == []
        await gone.__aexit__(None, None, None)
