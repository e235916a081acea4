"""Keys that are not what they should be, a server without memory, and what is left behind."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.brokers.redis.letters import BOUND, call, calls, keys
from tools.redis_server import RedisServer
from umbel.brokers.redis import RedisBroker
from umbel.errors import StoreError, StoreFull
from umbel.model import ACK, REQUEUE, Envelope, Route, Settlement, dead
from umbel.stores.redis.link import Link
from umbel.testing.conformance.harness import listening, settle_all, to, until
from umbel.wire.kombu import told_by

pytestmark = pytest.mark.server


async def test_a_queue_whose_key_is_something_else_is_named(broker: RedisBroker, link: Link, queue: str) -> None:
    await link.ask("SET", f"{queue}:mail", "text")
    with pytest.raises(StoreError, match=f"the key '{queue}:mail' is a string and should be a list: another program"):
        await broker.publish(to("mail", calls(1)))
    await broker.publish([(Route("mail", 3), call())])


async def test_a_consumer_waits_until_the_key_is_what_it_should_be(
    broker: RedisBroker, link: Link, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    await broker.publish([(Route("mail", 0), call())])
    await link.ask("SADD", f"{queue}:mail", "member")
    async with listening(await broker.consume(["mail"], 1)) as ear:

        async def is_told() -> bool:
            return f"the key '{queue}:mail' is a set and should be a list" in caplog.text

        await until(is_told)
        await link.ask("DEL", f"{queue}:mail")
        await ear.hears(1)


async def test_one_follow_up_that_has_no_place_holds_up_nothing_else(
    broker: RedisBroker, link: Link, queue: str
) -> None:
    await broker.publish(to("mail", calls(3)))
    await link.ask("SET", f"{queue}:wrong", "text")
    async with listening(await broker.consume(["mail"], 3)) as ear:
        held = await ear.hears(3)
        follow_ups = [*to("good", [call()]), *to("wrong", [call()])]
        settlements = [Settlement(held[0], ACK), Settlement(held[1], ACK, follow_ups), Settlement(held[2], dead("x"))]
        for _ in range(2):
            with pytest.raises(StoreError, match=f"the key '{queue}:wrong' is a string"):
                await ear.consumer.settle(settlements)
        assert await broker.size("good") == 0
        assert len(await broker.dead_letters()) == 1
        await link.ask("DEL", f"{queue}:wrong")
        await ear.consumer.settle(settlements)
        assert (await broker.size("good"), await broker.size("wrong")) == (1, 1)
        assert await link.ask("HLEN", f"{queue}:unacked") == 0
    assert await broker.size("mail") == 0


async def test_messages_leave_a_server_that_has_no_memory_left(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "server", "--maxmemory-policy", "noeviction")
    server.start()
    try:
        async with RedisBroker(server.url, {"broker_publish_timeout": 0.5}) as broker:
            await broker.publish(to("mail", [call(n) for n in range(100)]))
            server.command("CONFIG", "SET", "maxmemory", "1")
            with pytest.raises(StoreFull, match="no memory is left for it"):
                await broker.publish(to("mail", calls(1)))
            async with listening(await broker.consume(["mail"], 10)) as ear:
                for count in range(10, 101, 10):
                    await settle_all(ear.consumer, (await ear.hears(count))[-10:], ACK)
            assert await broker.size("mail") == 0
    finally:
        server.close()


async def test_nothing_is_left_behind(broker: RedisBroker, link: Link, queue: str) -> None:
    due = time.time() + 0.3
    await broker.publish([*to("mail", calls(20)), *to("mail", calls(20), due=due)])
    async with listening(await broker.consume(["mail"], 100)) as ear:
        held = await ear.hears(40)
        await settle_all(ear.consumer, held[:10], REQUEUE)
        await settle_all(ear.consumer, (await ear.hears(50))[40:], dead("x"))
        await settle_all(ear.consumer, held[10:], ACK)
    letters = await broker.dead_letters()
    await broker.replay([(letter.number, letter.envelope) for letter in letters[:5]])
    await broker.drop_dead_letters([letter.number for letter in letters[5:]])
    assert await broker.purge("mail") == 5
    assert await keys(link, f"{queue}:") == BOUND


async def test_dead_letters_are_bounded_by_queue_and_expire(url: str, link: Link, queue: str) -> None:
    async with RedisBroker(url, {"dead_letter_max": 3, "dead_letter_expires": 3600.0}) as broker:
        for name in ("a", "b"):
            await broker.publish(to(name, calls(5)))
            async with listening(await broker.consume([name], 5)) as ear:
                await settle_all(ear.consumer, await ear.hears(5), dead("x"))
        letters = await broker.dead_letters()
        assert [told_args(letter.envelope) for letter in letters] == [2, 3, 4, 2, 3, 4]
        for key in ("umbel.dead", "umbel.dead.numbers", "umbel.dead.numbers.a"):
            assert 3500 < await link.ask("TTL", f"{queue}:{key}") <= 3600


def told_args(envelope: Envelope) -> int:
    from umbel.wire.task_v2 import decode

    return int(decode(envelope, accept=frozenset({"application/json"})).args[0])


async def test_a_delivery_that_nobody_can_read_has_no_id(broker: RedisBroker, link: Link, queue: str) -> None:
    await link.ask("LPUSH", f"{queue}:mail", "foreign")
    async with listening(await broker.consume(["mail"], 1)) as ear:
        (held,) = await ear.hears(1)
        assert (held.envelope.id, held.redelivered) == ("", False)
        assert told_by(held.envelope.head).id == ""
        await settle_all(ear.consumer, [held], dead("nothing that is known here"))
    (letter,) = await broker.dead_letters()
    assert letter.envelope.head == b"foreign"
