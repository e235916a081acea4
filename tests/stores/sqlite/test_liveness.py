"""Whose claims stand, and whose return."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.stores.sqlite.conftest import Act, Actor, finish, line, messages, query
from umbel.brokers.sqlite import SqliteBroker
from umbel.clock import SystemClock
from umbel.model import ACK, SealedRecord, Settlement
from umbel.stores.sqlite.presence import LEASE
from umbel.stores.sqlite.reaper import Reaper
from umbel.stores.sqlite.store import SqliteStore
from umbel.testing.conformance.harness import listening, settle_all, take, to, until


class LateClock(SystemClock):
    """This machine's clock, some seconds on, and perhaps after another boot."""

    ahead = 0.0
    other_boot: str | None = None

    def boot(self) -> float:
        return super().boot() + self.ahead

    def boot_id(self) -> str:
        return self.other_boot or super().boot_id()


@pytest.fixture
def clock(store: SqliteStore) -> LateClock:
    """The clock by which this process, not the actors, judges."""
    clock = LateClock()
    store.clock = clock
    return clock


@pytest.fixture
def reaper(store: SqliteStore) -> Reaper:
    return Reaper(store, store.seat())


def dies(actor: Actor) -> None:
    """Kill an actor with everything that is in its process group, and wait until it is gone."""
    os.killpg(actor.pid, signal.SIGKILL)
    actor.wait()


def files(store: SqliteStore) -> set[str]:
    return {name for name in os.listdir(store.folder) if name[0].isdigit()}


async def test_what_a_killed_process_held_comes_again_at_once_and_marked(
    broker: SqliteBroker, act: Act, url: str
) -> None:
    broker.publish_now(messages(5))
    holder = act("hold", url, 3)
    assert line(holder)[0] == "holding"
    async with broker, listening(await broker.consume(["q"], 10)) as ear:
        await ear.hears(2)
        dies(holder)
        deliveries = await ear.hears(5)
    assert {delivery.envelope.id for delivery in deliveries} == {f"id-{number}" for number in range(5)}
    assert [delivery.redelivered for delivery in deliveries] == [False] * 2 + [True] * 3


async def test_a_node_that_starts_gets_what_dead_ones_held_in_its_first_batch(
    broker: SqliteBroker, act: Act, url: str
) -> None:
    broker.publish_now(messages(5))
    holder = act("hold", url, 3)
    line(holder)
    dies(holder)
    async with broker, listening(await broker.consume(["q"], 10)) as ear:
        await ear.hears(5)
    assert len(ear.batches) == 1


async def test_a_process_that_ends_in_order_gives_back_unmarked_and_leaves_no_trace(
    broker: SqliteBroker, store: SqliteStore, act: Act, url: str
) -> None:
    broker.publish_now(messages(3))
    holder = act("hold", url, 3)
    line(holder)
    finish(holder)
    async with broker:
        assert [delivery.redelivered for delivery in await take(broker, "q", 3)] == [False] * 3
    assert files(store) == set()
    assert query(store, "SELECT count(*) FROM nodes") == [(0,)]


async def test_a_stopped_process_keeps_its_claims_however_long(
    broker: SqliteBroker, reaper: Reaper, clock: LateClock, act: Act, url: str
) -> None:
    broker.publish_now(messages(2))
    holder = act("hold", url, 2)
    line(holder)
    os.killpg(holder.pid, signal.SIGSTOP)
    for clock.ahead in (0.0, LEASE + 1, 86_400.0):
        reaper.sweep()
    clock.other_boot = "another"
    for clock.ahead in (90_000.0, 180_000.0):
        reaper.sweep()
    assert await broker.size("q") == 0
    os.killpg(holder.pid, signal.SIGCONT)
    finish(holder)
    assert await broker.size("q") == 2


async def test_while_a_runner_of_a_dead_node_lives_its_claims_wait_for_the_lease(
    broker: SqliteBroker, reaper: Reaper, clock: LateClock, store: SqliteStore, act: Act, url: str
) -> None:
    broker.publish_now(messages(2))
    holder = act("hold", url, 2, 2)
    runners = [int(line(holder)[1]) for _ in range(2)]
    line(holder)
    dies(holder)
    try:
        for clock.ahead in (0.0, LEASE - 1):
            reaper.sweep()
            assert await broker.size("q") == 0
        clock.ahead = LEASE + 1
        reaper.sweep()
        assert await broker.size("q") == 2
        assert len(files(store)) >= 1, "the file of a runner that lives was removed"
    finally:
        for runner in runners:
            os.kill(runner, signal.SIGKILL)

    async def swept() -> bool:
        reaper.sweep()
        return files(store) == set()

    await until(swept)


async def test_when_the_runners_of_a_dead_node_die_its_claims_return_at_once(
    broker: SqliteBroker, reaper: Reaper, act: Act, url: str
) -> None:
    broker.publish_now(messages(2))
    holder = act("hold", url, 2, 2)
    runners = [int(line(holder)[1]) for _ in range(2)]
    line(holder)
    dies(holder)
    os.kill(runners[0], signal.SIGKILL)
    reaper.sweep()
    assert await broker.size("q") == 0
    os.kill(runners[1], signal.SIGKILL)

    async def returned() -> bool:
        reaper.sweep()
        return await broker.size("q") == 2

    await until(returned)


async def test_without_its_lock_file_a_node_counts_by_its_row(
    broker: SqliteBroker, reaper: Reaper, clock: LateClock, store: SqliteStore, act: Act, url: str
) -> None:
    broker.publish_now(messages(2))
    holder = act("hold", url, 2)
    line(holder)
    for name in files(store):
        os.unlink(os.path.join(store.folder, name))
    for clock.ahead in (0.0, LEASE - 5):
        reaper.sweep()
        assert await broker.size("q") == 0
    clock.ahead = LEASE + 1
    reaper.sweep()
    assert await broker.size("q") == 2


async def test_a_row_of_another_boot_counts_until_it_was_not_renewed_for_the_lease(
    broker: SqliteBroker, reaper: Reaper, clock: LateClock, act: Act, url: str
) -> None:
    broker.publish_now(messages(2))
    holder = act("hold", url, 2)
    line(holder)
    dies(holder)
    clock.other_boot = "another"
    clock.ahead = -1_000_000.0
    reaper.sweep()
    clock.ahead += LEASE - 1
    reaper.sweep()
    assert await broker.size("q") == 0
    clock.ahead += 2
    reaper.sweep()
    assert await broker.size("q") == 2


async def test_nodes_of_this_process_are_never_taken_for_dead(
    broker: SqliteBroker, reaper: Reaper, clock: LateClock
) -> None:
    broker.publish_now(messages(2))
    async with broker, listening(await broker.consume(["q"], 2)) as ear:
        held = await ear.hears(2)
        for clock.ahead in (0.0, 86_400.0):
            reaper.sweep()
        await settle_all(ear.consumer, held, ACK)
    assert await broker.size("q") == 0


def test_files_without_a_row_are_cleared_away(reaper: Reaper, store: SqliteStore) -> None:
    store.write(lambda connection: None)
    os.makedirs(store.folder)
    for name in ("16777300", "16777300.0", "16777301.4", "checkpoint", "notes.txt"):
        Path(store.folder, name).touch()
    reaper.sweep()
    assert set(os.listdir(store.folder)) == {"checkpoint", "notes.txt"}


async def test_a_node_taken_for_dead_by_mistake_changes_nothing_any_more_and_starts_anew(
    broker: SqliteBroker, store: SqliteStore
) -> None:
    broker.publish_now(messages(3))
    async with broker, listening(await broker.consume(["q"], 3)) as ear:
        held = await ear.hears(3)
        query(store, "UPDATE messages SET claim = 1073741824, redelivered = 1")
        query(store, "DELETE FROM nodes")
        follow_up = to("q.next", [held[0].envelope])
        record = SealedRecord(held[0].envelope.id, "SUCCESS", b"")
        await ear.consumer.settle([Settlement(held[0], ACK, follow_up, record)])
        assert await broker.size("q.next") == 0
        assert store.load([record.id]) == {}
        again = (await ear.hears(6))[3:]
        assert all(delivery.redelivered for delivery in again)
        await settle_all(ear.consumer, again, ACK)
    assert await broker.size("q") == 0


async def test_a_claim_that_was_taken_away_alone_is_not_settled(broker: SqliteBroker, store: SqliteStore) -> None:
    broker.publish_now(messages(2))
    async with broker, listening(await broker.consume(["q"], 2)) as ear:
        held = await ear.hears(2)
        query(store, "UPDATE messages SET claim = 77, redelivered = 1 WHERE id = 'id-0'")
        records = [SealedRecord(delivery.envelope.id, "SUCCESS", b"") for delivery in held]
        await ear.consumer.settle([Settlement(d, ACK, (), r) for d, r in zip(held, records, strict=True)])
    assert set(store.load(["id-0", "id-1"])) == {"id-1"}


async def test_claims_of_a_node_that_nobody_knows_return_when_a_node_starts(
    broker: SqliteBroker, store: SqliteStore
) -> None:
    broker.publish_now(messages(2))
    query(store, "UPDATE messages SET claim = 77")
    assert await broker.size("q") == 0
    async with broker:
        assert [delivery.redelivered for delivery in await take(broker, "q", 2)] == [True, True]


async def test_the_row_is_renewed(broker: SqliteBroker, store: SqliteStore, clock: LateClock) -> None:
    def heartbeats() -> list[float]:
        return [beat for (beat,) in query(store, "SELECT heartbeat FROM nodes")]

    async with broker, listening(await broker.consume(["q"], 2)):
        (first,) = heartbeats()
        clock.ahead = 11.0

        async def renewed() -> bool:
            return heartbeats()[0] > first + 10

        await until(renewed)


async def test_a_closed_consumer_has_no_lifelines(broker: SqliteBroker) -> None:
    async with broker:
        consumer = await broker.consume(["q"], 2)
        assert Path(consumer.lifeline(3)).name.endswith(".3")
        await consumer.close()
        with pytest.raises(RuntimeError, match="closed"):
            consumer.lifeline(3)


async def test_many_processes_publish_and_consume_and_each_task_is_done_once(
    broker: SqliteBroker, act: Act, url: str
) -> None:
    workers = [act("work", url) for _ in range(4)]
    for worker in workers:
        assert line(worker) == ["ready"]
    publishers = [
        act("publish", url, 600),
        act("publish", url, 600),
        act("publish", url, 800, 20),
        act("publish", url, 800),
    ]
    sent = [words[1] for publisher in publishers for words in finish(publisher)]
    assert len(sent) == 2800

    async def all_are_done() -> bool:
        records = broker.keeper.load(sent)
        return len(records) == len(sent)

    await until(all_are_done)
    done = [words[1] for worker in workers for words in finish(worker)]
    assert sorted(done) == sorted(sent)
    assert await broker.size("q") == 0


async def test_nothing_is_lost_when_processes_are_killed_in_the_middle(
    broker: SqliteBroker, act: Act, url: str
) -> None:
    sent = messages(1500)
    ids = [envelope.id for _, envelope in sent]
    done: list[str] = []
    broker.publish_now(sent[:500])
    for first in range(500, 1500, 250):
        broker.publish_now(sent[first : first + 250])  # whatever the last one did before it was killed, there is more
        worker = act("work", url, 64)
        line(worker)
        done += [line(worker)[1] for _ in range(150)]
        dies(worker)
    worker = act("work", url, 64)

    async def all_are_done() -> bool:
        return len(broker.keeper.load(ids)) == len(ids)

    await until(all_are_done)
    finish(worker)
    assert await broker.size("q") == 0
