"""Whose a message is that was claimed on a Redis server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.brokers.redis.letters import BOUND, call, calls, die, ids, keys, overdue
from tests.servers.proxy import Proxy
from tools.redis_server import RedisServer
from umbel.brokers.redis import RedisBroker
from umbel.brokers.redis.consumer import RedisConsumer
from umbel.errors import StoreUnreachable
from umbel.model import ACK, Route, Settlement
from umbel.stores.redis.connection import Word
from umbel.stores.redis.link import Link
from umbel.testing.conformance.harness import listening, settle_all, to, until

pytestmark = pytest.mark.server


async def test_what_a_dead_node_held_comes_again_marked_and_in_order(
    broker: RedisBroker, hasty: RedisBroker, link: Link, queue: str
) -> None:
    envelopes = calls(250)
    await broker.publish(to("mail", envelopes))
    async with listening(await broker.consume(["mail"], 250)) as lost:
        await lost.hears(250)
        die(lost)
        await overdue(link, f"{queue}:")

        async def are_back() -> bool:
            return await broker.size("mail") == 250

        async with listening(await hasty.consume(["other"], 1)):
            await until(are_back)
        async with listening(await hasty.consume(["mail"], 500)) as ear:
            again = await ear.hears(250)
            assert ids(again) == [envelope.id for envelope in envelopes]
            assert all(delivery.redelivered for delivery in again)
            await settle_all(ear.consumer, again, ACK)
    assert await keys(link, f"{queue}:") == BOUND


async def test_what_a_live_node_holds_is_left_alone(
    broker: RedisBroker, url: str, hasty: RedisBroker, link: Link, queue: str
) -> None:
    await broker.publish(to("mail", calls(3)))
    async with RedisBroker(f"{url}&lease=3") as other, listening(await other.consume(["mail"], 3)) as owner:
        held = await owner.hears(3)
        first = float(await link.ask("ZSCORE", f"{queue}:unacked_index", held[0].receipt))
        async with listening(await hasty.consume(["mail"], 3)) as ear:

            async def has_been_renewed_beyond_its_lease() -> bool:
                assert await broker.size("mail") == 0
                score = await link.ask("ZSCORE", f"{queue}:unacked_index", held[2].receipt)
                return float(score) > first + 4

            await until(has_been_renewed_beyond_its_lease)
            assert ear.deliveries == []
        await settle_all(owner.consumer, held, ACK)
    assert await broker.size("mail") == 0


async def test_a_stale_verdict_does_not_touch_what_somebody_else_holds(
    broker: RedisBroker, hasty: RedisBroker, link: Link, queue: str
) -> None:
    await broker.publish(to("mail", calls(1)))
    async with listening(await broker.consume(["mail"], 1)) as slow:
        (held,) = await slow.hears(1)
        consumer = slow.consumer
        assert isinstance(consumer, RedisConsumer)
        for service in consumer._services:
            service.cancel()
        await overdue(link, f"{queue}:")
        async with listening(await hasty.consume(["mail"], 1)) as ear:
            (again,) = await ear.hears(1)
            late = [(Route("mail"), call())]
            await slow.consumer.settle([Settlement(held, ACK, late)])
            assert await broker.size("mail") == 0
            assert await link.ask("HEXISTS", f"{queue}:unacked", again.receipt) == 1


async def test_what_comes_back_to_the_node_that_runs_it_is_the_delivery_that_it_was(
    hasty: RedisBroker, link: Link, queue: str
) -> None:
    await hasty.publish(to("mail", calls(2)))
    async with listening(await hasty.consume(["mail"], 5)) as ear:
        held = await ear.hears(2)
        told: list[str] = []
        consumer = ear.consumer
        assert isinstance(consumer, RedisConsumer)
        consumer.on_lost(lambda: told.append("lost"))
        tag = held[0].receipt.encode()
        entry = (await link.ask("HGET", f"{queue}:unacked", tag))[1:].partition(b',"",')[0]
        # As a Celery worker does that takes it for forgotten.
        await link.ask_all([("HDEL", f"{queue}:unacked", tag), ("ZREM", f"{queue}:unacked_index", tag)])

        async def is_lost() -> bool:
            return set(consumer.overdue()) == {held[0].envelope.id}

        await until(is_lost)
        await link.ask(
            "RPUSH", f"{queue}:mail", entry.replace(b'"delivery_info":{', b'"delivery_info":{"redelivered":true,')
        )

        async def is_back() -> bool:
            return not consumer.overdue()

        await until(is_back)
        assert len(ear.deliveries) == 2
        assert told == []
        await settle_all(ear.consumer, held, ACK)
    assert await keys(link, f"{queue}:") == BOUND


async def test_what_a_celery_worker_has_put_back_is_not_settled(broker: RedisBroker, link: Link, queue: str) -> None:
    await broker.publish(to("mail", calls(1)))
    async with listening(await broker.consume(["mail"], 1)) as ear:
        (held,) = await ear.hears(1)
        await ear.consumer.resize(0)
        await link.ask("HDEL", f"{queue}:unacked", held.receipt)
        await link.ask("ZREM", f"{queue}:unacked_index", held.receipt)
        await link.ask("RPUSH", f"{queue}:mail", held.envelope.head)
        await ear.consumer.settle([Settlement(held, ACK, [(Route("other"), call())])])
        assert (await broker.size("mail"), await broker.size("other")) == (1, 0)
    assert await link.ask("EXISTS", f"{queue}:umbel.claims") == 0


async def test_a_node_that_cannot_renew_says_so_in_time(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "server")
    server.start()
    told: list[str] = []
    try:
        async with RedisBroker(f"{server.url}?lease=2") as broker:
            await broker.publish(to("mail", calls(1)))
            async with listening(await broker.consume(["mail"], 1)) as ear:
                held = await ear.hears(1)
                assert isinstance(ear.consumer, RedisConsumer)
                ear.consumer.on_lost(lambda: told.append("lost"))
                server.kill()

                async def was_told() -> bool:
                    return told == ["lost"]

                await until(was_told)
                server.start()
                await settle_all(ear.consumer, held, ACK)
                assert await broker.size("mail") == 0
                assert told == ["lost"]
    finally:
        server.close()


async def test_what_was_claimed_when_the_answer_was_lost_is_handed_out_at_once(
    url: str, redis: RedisServer, queue: str
) -> None:
    envelopes = calls(300)
    with Proxy(redis.port) as proxy:
        async with RedisBroker(url) as straight, RedisBroker(proxy.url(url)) as broker:
            await straight.publish([(Route("mail", priority=n % 10), each) for n, each in enumerate(envelopes)])
            async with listening(await broker.consume(["mail"], 1)) as ear:
                await ear.hears(1)
                proxy.answer_no_more()
                await ear.consumer.resize(250)

                async def are_claimed() -> bool:
                    return await straight.size("mail") == 50

                await until(are_claimed)
                assert len(ear.deliveries) == 1
                proxy.cut()
                held = await ear.hears(250)
                assert not any(delivery.redelivered for delivery in held)
                assert len(set(ids(held))) == 250
                await ear.consumer.resize(0)
                await settle_all(ear.consumer, held, ACK)
            assert await straight.size("mail") == 50


async def test_what_is_being_given_back_is_handed_to_nobody(
    broker: RedisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await broker.publish(to("mail", calls(1)))
    consumer = await broker.consume(["mail"], 5)
    assert isinstance(consumer, RedisConsumer)
    (held,) = await anext(consumer)
    await broker.publish(to("mail", calls(3)))

    async def are_claimed() -> bool:
        return len(consumer._waiting) == 3

    await until(are_claimed)
    settle, begun, go_on = consumer._store.settle, asyncio.Event(), asyncio.Event()

    async def late(told: list[Word]) -> None:
        begun.set()
        await go_on.wait()
        await settle(told)

    monkeypatch.setattr(consumer._store, "settle", late)
    smaller = asyncio.create_task(consumer.resize(0))
    await begun.wait()
    next_ones = asyncio.create_task(anext(consumer))
    await asyncio.sleep(0)
    go_on.set()
    await smaller
    assert not next_ones.done()
    assert await broker.size("mail") == 3
    await settle_all(consumer, [held], ACK)
    await consumer.close()
    with pytest.raises(StopAsyncIteration):
        await next_ones


async def test_what_could_not_be_given_back_is_handed_out(broker: RedisBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    await broker.publish(to("mail", calls(1)))
    consumer = await broker.consume(["mail"], 5)
    assert isinstance(consumer, RedisConsumer)
    assert len(await anext(consumer)) == 1
    await broker.publish(to("mail", calls(3)))

    async def are_claimed() -> bool:
        return len(consumer._waiting) == 3

    await until(are_claimed)

    async def refuse(told: list[Word]) -> None:
        raise StoreUnreachable("cut by the test")

    with monkeypatch.context() as patch:
        patch.setattr(consumer._store, "settle", refuse)
        await consumer.resize(0)
    assert len(await anext(consumer)) == 3
    await consumer.close()
    assert await broker.size("mail") == 4
