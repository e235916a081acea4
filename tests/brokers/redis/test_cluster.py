"""Queues and results on a Redis Cluster whose slots move and whose servers die."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import anyio
import pytest

from tests.brokers.redis.letters import call, calls, ids, stop
from tools.redis_cluster import RedisCluster
from tools.redis_server import RedisServer
from umbel.backends.redis import RedisBackend
from umbel.brokers.redis import RedisBroker
from umbel.brokers.redis.cluster_consumer import ClusterConsumer
from umbel.errors import StoreError, StoreUnreachable
from umbel.model import ACK, Delivery, Envelope, SealedRecord, Settlement, dead
from umbel.ports import KeepsRecords
from umbel.stores.redis.cluster import ClusterLink
from umbel.stores.redis.cluster_layout import ClusterLayout
from umbel.stores.redis.cluster_store import ClusterStore
from umbel.testing.conformance.harness import PATIENCE, listening, settle_all, take, to, until

pytestmark = pytest.mark.server


@pytest.fixture
def prefix() -> str:
    return f"{uuid.uuid4().hex}:"


@pytest.fixture
def url(redis_cluster: RedisCluster, prefix: str) -> str:
    """A part of the cluster that is this test's own."""
    return f"{redis_cluster.url}?global_keyprefix={prefix}"


@pytest.fixture
async def broker(url: str) -> AsyncIterator[RedisBroker]:
    async with RedisBroker(url) as made:
        yield made


@pytest.fixture
async def backend(url: str) -> AsyncIterator[RedisBackend]:
    async with RedisBackend(url) as made:
        yield made


def of_server(cluster: RedisCluster, prefix: str, server: RedisServer) -> str:
    """The name of a queue whose keys this server has."""
    names = (f"queue-{n}" for n in range(1000))
    return next(name for name in names if cluster.owner(ClusterLayout(prefix, name).claims) is server)


class Rounds:
    """Publishes calls one by one, and stores a record of each that comes and settles it, until it is told to end."""

    def __init__(self, broker: RedisBroker, backend: RedisBackend, queue: str) -> None:
        self.broker, self.backend, self.queue = broker, backend, queue
        self.sent: list[str] = []
        self.came: list[Delivery] = []
        self.settled = 0
        self.over = self.all_sent = False

    async def publish(self) -> None:
        while not self.over:
            envelope = call(len(self.sent))
            await self.broker.publish(to(self.queue, [envelope]))
            self.sent.append(envelope.id)
        self.all_sent = True

    async def settle(self, consumer: ClusterConsumer) -> None:
        async for batch in consumer:
            self.came += batch
            records = [SealedRecord(each.envelope.id, "SUCCESS", b"done", time.time() + 600) for each in batch]
            await self.backend.store(records)
            await self._insist(consumer, [Settlement(each, ACK) for each in batch])
            self.settled += len(batch)

    async def _insist(self, consumer: ClusterConsumer, settlements: list[Settlement]) -> None:
        while True:
            try:
                return await consumer.settle(settlements)
            except StoreUnreachable:
                await asyncio.sleep(0.05)


async def test_while_its_slot_goes_from_server_to_server_each_message_comes_once_and_keeps_its_record(
    redis_cluster: RedisCluster, broker: RedisBroker, backend: RedisBackend, prefix: str
) -> None:
    rounds = Rounds(broker, backend, "mail")
    layout = ClusterLayout(prefix, "mail")
    slot = redis_cluster.slot(layout.claims)
    consumer = await broker.consume(["mail"], 20)
    assert isinstance(consumer, ClusterConsumer)
    with anyio.fail_after(3 * PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(rounds.publish)
            group.start_soon(rounds.settle, consumer)
            seen = 0
            for _ in range(3):
                giver = redis_cluster.owner(layout.claims)
                receiver = next(server for server in redis_cluster.primaries if server is not giver)
                await until(lambda so_far=seen: _more(rounds, so_far + 50))  # type: ignore[misc]
                await anyio.to_thread.run_sync(redis_cluster.move, slot, giver, receiver)
                seen = len(rounds.came)
            await until(lambda: _more(rounds, seen + 50))
            rounds.over = True
            await until(lambda: _all_settled(rounds))
            await consumer.close()
    assert sorted(ids(rounds.came)) == sorted(rounds.sent)
    assert set(await backend.load(rounds.sent)) == set(rounds.sent)
    assert not any(delivery.redelivered for delivery in rounds.came)
    assert (await broker.size("mail"), await broker.queues()) == (0, [])


async def _more(rounds: Rounds, count: int) -> bool:
    return len(rounds.came) >= count


async def _all_settled(rounds: Rounds) -> bool:
    return rounds.all_sent and rounds.settled >= len(rounds.sent) > 0


async def test_what_waits_for_news_hears_it_when_the_slot_has_moved(
    redis_cluster: RedisCluster, broker: RedisBroker, backend: RedisBackend, prefix: str
) -> None:
    record = SealedRecord("one", "SUCCESS", b'{"status": "SUCCESS"}')
    seen: list[str] = []

    async def watch() -> None:
        seen.extend([found.id async for found in backend.watch(["one"])])

    keys = [ClusterLayout(prefix, "mail").lists("mail")[0], ClusterLayout(prefix).record("one")]
    givers = [redis_cluster.owner(key) for key in keys]

    async def all_wait() -> bool:
        blocked = givers[0].command("CLIENT", "LIST").count("cmd=blmove")
        return blocked >= 4 and givers[1].command("PUBSUB", "NUMSUB", keys[1]).endswith("1")

    async with listening(await broker.consume(["mail"], 5)) as ear:
        with anyio.fail_after(2 * PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(watch)
                await until(all_wait)
                for key, giver in zip(keys, givers, strict=True):
                    receiver = next(server for server in redis_cluster.primaries if server is not giver)
                    await anyio.to_thread.run_sync(redis_cluster.move, redis_cluster.slot(key), giver, receiver)
                await broker.publish(to("mail", calls(1)))
                await ear.hears(1)
                await backend.store([record])
    assert seen == ["one"]


async def test_a_primary_that_dies_is_replaced_and_nothing_is_lost(
    redis_cluster: RedisCluster, broker: RedisBroker, backend: RedisBackend, prefix: str
) -> None:
    primary, replica = redis_cluster.pair()
    name = of_server(redis_cluster, prefix, primary)
    other = of_server(redis_cluster, prefix, next(each for each in redis_cluster.primaries if each is not primary))
    first, second, elsewhere = calls(20), calls(20), calls(5)
    awaited = of_server(redis_cluster, prefix, primary)  # the keys of a record of this id are there, too
    watching: asyncio.Future[SealedRecord] = asyncio.ensure_future(anext(backend.watch([awaited])))
    channel = ClusterLayout(prefix).record(awaited)

    async def is_watched() -> bool:
        return primary.command("PUBSUB", "NUMSUB", channel).endswith("1")

    await until(is_watched)
    try:
        async with listening(await broker.consume([name, other], 100)) as ear:
            await broker.publish(to(name, first))
            await ear.hears(20)
            redis_cluster.caught_up(primary)
            primary.kill()
            await broker.publish(to(other, elsewhere))  # those of another server go on
            await ear.hears(25)
            await anyio.to_thread.run_sync(redis_cluster.taken_over, primary, replica)
            await broker.publish(to(name, second))
            everything = await ear.hears(45)
            assert set(ids(everything)) == {each.id for each in (*first, *second, *elsewhere)}
            await settle_all(ear.consumer, everything, ACK)
        assert await broker.queues() == []
        await backend.store([SealedRecord(awaited, "SUCCESS", b'{"status": "SUCCESS"}')])
        with anyio.fail_after(PATIENCE):
            assert (await watching).id == awaited
    finally:
        await anyio.to_thread.run_sync(redis_cluster.bring_back, primary)


async def test_what_a_dead_node_held_comes_back_from_every_server(redis_cluster: RedisCluster, url: str) -> None:
    names = [of_server(redis_cluster, url.partition("=")[2], server) for server in redis_cluster.primaries]
    sent = {name: call() for name in names}
    async with RedisBroker(f"{url}&lease=1") as hasty, RedisBroker(f"{url}&lease=1") as heir:
        await hasty.publish([pair for name, envelope in sent.items() for pair in to(name, [envelope])])
        async with listening(await hasty.consume(names, 10)) as ear:
            await ear.hears(3)
            assert isinstance(ear.consumer, ClusterConsumer)
            for consumer in ear.consumer.consumers:
                stop(consumer)
            async with listening(await heir.consume(names, 10)) as second:
                again = await second.hears(3)
                assert {delivery.queue: delivery.envelope.id for delivery in again} == {
                    name: envelope.id for name, envelope in sent.items()
                }
                assert all(delivery.redelivered for delivery in again)
                await settle_all(second.consumer, again, ACK)


async def test_a_message_that_is_taken_back_by_one_who_dies_meanwhile_comes_again(
    broker: RedisBroker, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is claimed, then its end is recorded, then it is removed."""

    async def cut(*args: object) -> None:
        raise StoreUnreachable("cut by the test")

    ready, later = calls(2)
    await broker.publish([*to("mail", [ready]), *to("mail", [later], time.time() + 3600)])
    async with RedisBroker(f"{url}&lease=1") as hasty:
        with monkeypatch.context() as patch:
            patch.setattr(hasty.keeper, "write", cut)
            with pytest.raises(StoreUnreachable, match="cut by the test"):
                await hasty.withdraw([ready.id, later.id], lambda envelope: [SealedRecord(envelope.id, "REVOKED", b"")])
        assert await broker.size("mail") == 1
        async with listening(await hasty.consume(["mail"], 5)) as ear:
            (again,) = await ear.hears(1)
        assert (again.envelope.id, again.redelivered) == (ready.id, True)
        assert await broker.size("mail") == 2


async def test_messages_for_several_queues_leave_in_one_call_and_an_error_says_when_some_have_arrived(
    redis_cluster: RedisCluster, broker: RedisBroker, prefix: str
) -> None:
    await broker.publish([pair for name in ("a", "b", "c") for pair in to(name, calls(2))])
    assert [await broker.size(name) for name in ("a", "b", "c")] == [2, 2, 2]
    link = ClusterLink(broker.keeper.addresses)
    await link.ask("SET", ClusterLayout(prefix).lists("bad")[0], "text")
    with pytest.raises(StoreUnreachable, match=r"1 of 2 queues .* should be a list") as caught:
        await broker.publish([*to("a", calls(1)), *to("bad", calls(1))])
    assert caught.value.doubtful
    assert await broker.size("a") == 3
    with pytest.raises(StoreError, match="should be a list") as alone:
        await broker.publish(to("bad", calls(1)))
    assert not isinstance(alone.value, StoreUnreachable)
    await link.close()


async def test_letters_of_two_queues_that_have_one_number_are_told_apart(broker: RedisBroker, prefix: str) -> None:
    sent: dict[str, Envelope] = {}
    for name in ("a", "b"):
        (sent[name],) = calls(1)
        await broker.publish(to(name, [sent[name]]))
        async with listening(await broker.consume([name], 1)) as ear:
            await settle_all(ear.consumer, await ear.hears(1), dead("why not"))
    store = broker.keeper
    assert isinstance(store, ClusterStore)
    number = (await broker.dead_letters())[0].number
    layout = store.of("b").layout
    known = await store.link.ask("HGETALL", layout.letters)
    await store.link.ask("HSET", layout.letters, f"{number:019d}", known[1])
    await store.link.ask("HDEL", layout.letters, known[0])
    for key in (layout.numbers, f"{layout.numbers_of}b"):
        await store.link.ask("DEL", key)
        await store.link.ask("ZADD", key, 0, f"{number:019d}:b")
    letters = await broker.dead_letters()
    assert [letter.number for letter in letters] == [number, number]
    assert await broker.replay([(number, next(each.envelope for each in letters if each.queue == "b"))]) == 1
    assert ids(await take(broker, "b", 1)) == [sent["b"].id]
    assert [letter.queue for letter in await broker.dead_letters()] == ["a"]
    assert await broker.drop_dead_letters([number]) == 1


async def test_shortcomings_are_told_of_each_server(redis_cluster: RedisCluster, broker: RedisBroker) -> None:
    told = await broker.shortcomings()
    for server in redis_cluster.primaries:
        assert any(f":{server.port}: a power cut may lose the last second" in sentence for sentence in told)


async def test_records_are_left_to_whoever_has_them(broker: RedisBroker) -> None:
    """They stand in another slot than their messages."""
    consumer = await broker.consume(["queue"], 1)
    assert not isinstance(consumer, KeepsRecords)
    await consumer.close()
