"""How messages stand on a Redis server, where others look for them."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.brokers.redis.letters import BOUND, call, calls, ids, keys
from tools.redis_server import RedisServer
from umbel.brokers.redis import RedisBroker
from umbel.model import ACK, REQUEUE, RETURN, Message, Queue, Route, dead
from umbel.stores.redis.link import Link
from umbel.testing.conformance.broker import FAR_AWAY
from umbel.testing.conformance.harness import listening, settle_all, take, to, until
from umbel.wire.kombu import told_by
from umbel.wire.task_v2 import encode

pytestmark = pytest.mark.server


async def test_what_is_claimed_stands_where_a_celery_worker_looks_for_it(
    broker: RedisBroker, link: Link, queue: str
) -> None:
    await broker.publish(to("mail", [call()]))
    (entry,) = await link.ask("LRANGE", f"{queue}:mail", 0, -1)
    async with listening(await broker.consume(["mail"], 5)) as ear:
        held = await ear.hears(1)
        assert held[0].envelope.head == entry
        ((tag, value),) = (await link.ask("HGETALL", f"{queue}:unacked"),)
        assert json.loads(value) == [json.loads(entry), "", "mail"]
        for index in ("unacked_index", "umbel.claims"):
            ((member, score),) = (await link.ask("ZRANGE", f"{queue}:{index}", 0, -1, "WITHSCORES"),)
            assert member == tag
            assert abs(float(score) - time.time()) < 60
        assert await link.ask("EXISTS", f"{queue}:mail") == 0
        await settle_all(ear.consumer, held, ACK)
        assert await keys(link, f"{queue}:") == {*BOUND, "umbel.reads.mail"}


async def test_a_queue_is_bound_as_celery_binds_it(url: str, link: Link, queue: str) -> None:
    settings = {"task_queues": [Queue("mail", exchange="post", routing_key="letters")]}
    async with RedisBroker(url, settings) as broker:
        await broker.declare(Queue("mail", exchange="post", routing_key="letters"))
        await broker.publish(to("other", [call()]))
    assert await link.ask("SMEMBERS", f"{queue}:_kombu.binding.post") == [b"letters\x06\x16\x06\x16mail"]
    assert await link.ask("SMEMBERS", f"{queue}:_kombu.binding.other") == [b"other\x06\x16\x06\x16other"]


async def test_a_priority_is_celerys_turned_round(broker: RedisBroker, link: Link, queue: str) -> None:
    await broker.publish([(Route("mail", priority), call(priority=priority)) for priority in (None, 9, 7, 6, 3, 0)])
    lengths = [await link.ask("LLEN", f"{queue}:mail{step}") for step in ("", "\x06\x163", "\x06\x166", "\x06\x169")]
    assert lengths == [3, 1, 1, 1]
    found = await link.ask("LRANGE", f"{queue}:mail", 0, -1)
    assert [json.loads(entry)["properties"]["priority"] for entry in found] == [2, 0, 0]


async def test_every_key_has_the_prefix(redis: RedisServer, queue: str) -> None:
    server_url = redis.url.replace("/0", f"/9?global_keyprefix={queue}:")
    async with RedisBroker(server_url) as broker:
        soon = datetime.now(UTC) + timedelta(seconds=0.3)
        await broker.publish([(Route("mail", due=soon.timestamp()), call(eta=soon)), (Route("mail", 3), call())])
        async with listening(await broker.consume(["mail"], 5)) as ear:
            held = await ear.hears(2)
            await settle_all(ear.consumer, held[:1], dead("why"))
            strangers = [
                key for key in redis.command("-n", "9", "KEYS", "*").split("\n") if not key.startswith(f"{queue}:")
            ]
        assert strangers == []
        assert len(await broker.dead_letters()) == 1


async def test_a_message_of_many_kinds_of_bytes_is_given_back_as_it_was(
    broker: RedisBroker, link: Link, queue: str
) -> None:
    entries = [b"no JSON \x00\xff", b'["a list"]', b"{}", b'{"body": 3, "properties": {"priority": 3}}', b"\xc3\x28"]
    await link.ask("LPUSH", f"{queue}:mail", *entries)
    for verdict in (RETURN, REQUEUE):
        async with listening(await broker.consume(["mail"], 9)) as ear:
            held = await ear.hears(5)
            assert [delivery.envelope.head for delivery in held] == entries
            await ear.consumer.resize(0)
            await settle_all(ear.consumer, held, verdict)
    assert await link.ask("LRANGE", f"{queue}:mail", 0, -1) == entries[::-1]


async def test_large_messages_are_claimed_a_few_at_a_time(broker: RedisBroker, queue: str) -> None:
    envelopes = [encode(Message(task="t", id=str(n), args=["x" * 600_000]), "kombu") for n in range(12)]
    await broker.publish(to("mail", envelopes))
    async with listening(await broker.consume(["mail"], 100)) as ear:
        assert ids(await ear.hears(12)) == [str(n) for n in range(12)]
        assert len(ear.batches) > 1


async def test_many_queues_are_looked_at_again_and_again(broker: RedisBroker) -> None:
    names = [f"q{n}" for n in range(7)]
    async with listening(await broker.consume(names, 50)) as ear:
        for count, name in enumerate(reversed(names), 1):
            await broker.publish(to(name, [call()]))
            assert (await ear.hears(count))[-1].queue == name


# -- what waits for its time


async def test_what_others_send_for_later_is_parked_and_comes_when_it_is_due(
    broker: RedisBroker, link: Link, queue: str
) -> None:
    due = datetime.now(UTC) + timedelta(seconds=0.6)
    early, late = call(eta=due), call(eta=datetime(2099, 1, 1, tzinfo=UTC))
    async with listening(await broker.consume(["mail"], 1)) as ear:
        await link.ask("LPUSH", f"{queue}:mail", early.head, late.head)

        async def parked() -> bool:
            return bool(await link.ask("ZCARD", f"{queue}:umbel.due.mail") == 2)

        await until(parked)
        assert ear.deliveries == []
        assert ids(await ear.hears(1)) == [early.id]
        assert time.time() >= due.timestamp()
    assert await broker.size("mail") == 2


async def test_who_sends_for_later_parks_it_only_where_somebody_knows_of_it(
    broker: RedisBroker, link: Link, queue: str
) -> None:
    due = datetime(2099, 1, 1, tzinfo=UTC)
    letter = [(Route("mail", due=due.timestamp()), call(eta=due))]
    await broker.publish(letter)
    assert await link.ask("LLEN", f"{queue}:mail") == 1
    async with listening(await broker.consume(["mail"], 1)):

        async def parked() -> bool:
            return bool(await link.ask("ZCARD", f"{queue}:umbel.due.mail") == 1)

        await until(parked)
        await broker.publish([(Route("mail", due=due.timestamp()), call(eta=due))])
        assert await link.ask("ZCARD", f"{queue}:umbel.due.mail") == 2
    assert await link.ask("LLEN", f"{queue}:mail") == 2
    await broker.publish([(Route("mail", due=due.timestamp()), call(eta=due))])
    assert await link.ask("LLEN", f"{queue}:mail") == 3


async def test_the_last_one_who_goes_puts_what_waits_where_others_find_it(
    broker: RedisBroker, url: str, link: Link, queue: str
) -> None:
    due = datetime(2099, 1, 1, tzinfo=UTC)
    lasting = calls(150)  # nothing in them says that they are for later: they wait for who knows
    async with RedisBroker(url) as other, listening(await other.consume(["mail"], 1)):
        async with listening(await broker.consume(["mail"], 1)):

            async def both_read() -> bool:
                return bool(await link.ask("ZCARD", f"{queue}:umbel.reads.mail") == 2)

            await until(both_read)
            await broker.publish(to("mail", lasting, due=FAR_AWAY))
            sent = [(Route("mail", 9 - n % 10, due.timestamp()), call(eta=due)) for n in range(250)]
            await broker.publish(sent)
        assert await link.ask("ZCARD", f"{queue}:umbel.due.mail") == 400
    assert await link.ask("ZCARD", f"{queue}:umbel.due.mail") == 150
    by_step = [[envelope.id for route, envelope in sent if (9 - (route.priority or 0)) // 3 == n] for n in range(4)]
    for name, expected in zip(broker.keeper.layout.lists("mail"), by_step, strict=True):
        found = [told_by(entry).id for entry in await link.ask("LRANGE", name, 0, -1)]
        assert found[::-1] == expected


async def test_who_waits_is_told_of_what_is_due_sooner(broker: RedisBroker, url: str, link: Link) -> None:
    await broker.publish(to("mail", calls(1), due=FAR_AWAY))
    async with listening(await broker.consume(["mail"], 1)) as ear, RedisBroker(url) as other:
        envelope = call()

        async def listens() -> bool:
            return b"cmd=blmove" in await link.ask("CLIENT", "LIST")

        await until(listens)
        await other.publish(to("mail", [envelope], due=time.time() + 0.5))
        assert ids(await ear.hears(1)) == [envelope.id]


async def test_what_is_due_at_the_same_time_comes_in_the_order_in_which_it_was_sent(broker: RedisBroker) -> None:
    envelopes = calls(100)
    await broker.publish(to("mail", envelopes, due=time.time() + 0.4))
    assert ids(await take(broker, "mail", 100)) == [envelope.id for envelope in envelopes]
