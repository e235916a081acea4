"""What is peculiar to progress that a Redis server keeps, and to places in its queues."""

from __future__ import annotations

import time

import pytest

from tests.brokers.redis.letters import call, calls
from tools.redis_server import RedisServer
from umbel.brokers.redis import RedisBroker
from umbel.model import Envelope, Route
from umbel.stores.redis.link import Link
from umbel.testing.conformance.harness import to, until
from umbel.testing.conformance.progress import note, watching
from umbel.tracking import Seen

pytestmark = pytest.mark.server


async def test_every_key_ends_with_the_last_note_that_needs_it(broker: RedisBroker, link: Link, queue: str) -> None:
    await broker.write_progress([note("parent", seconds=10), note("a", parent="parent", share="running", seconds=500)])
    await broker.write_progress([note("b", parent="parent", share="running", seconds=50)])
    for id, seconds in (("parent", 500), ("a", 500), ("b", 50)):
        assert seconds - 10 < await link.ask("TTL", f"{queue}:umbel.progress.{id}") <= seconds + 1
    assert len(await link.ask("KEYS", f"{queue}:*")) == 3


async def test_a_child_that_outlives_what_was_counted_makes_no_debts(
    broker: RedisBroker, link: Link, queue: str
) -> None:
    await broker.write_progress([note("a", parent="parent", share="running")])
    await link.ask("DEL", f"{queue}:umbel.progress.parent")
    await broker.write_progress([note("a", 2, final=True, parent="parent", share="done")])
    assert (await broker.read_progress(["parent"])) == {"parent": Seen(None, done=1)}
    await link.ask("DEL", f"{queue}:umbel.progress.parent")
    await broker.write_progress([note("a", turn=1, parent="parent", share="")])
    assert await broker.read_progress(["parent"]) == {}
    assert await link.ask("EXISTS", f"{queue}:umbel.progress.parent") == 0


async def test_whoever_watches_looks_at_everything_after_the_connection_was_lost(
    broker: RedisBroker, redis: RedisServer, link: Link
) -> None:
    steps = 0
    async with watching(broker) as ear:
        await broker.write_progress([note("a")])
        await ear.hears("a")
    stream = broker.watch_progress()
    async for moved in stream:
        steps += 1
        assert moved == frozenset()
        if steps == 2:
            break
        await link.ask("CLIENT", "KILL", "TYPE", "pubsub")
    await stream.aclose()  # type: ignore[attr-defined]


async def test_thousands_are_written_read_and_told(broker: RedisBroker) -> None:
    notes = [note(f"ü {n}", n, bytes(range(256))) for n in range(1201)]
    async with watching(broker) as ear:
        await broker.write_progress(notes)
        await ear.hears(*(each.id for each in notes))
    assert await broker.read_progress([each.id for each in notes]) == {each.id: Seen(each) for each in notes}


async def test_what_stands_too_far_back_has_no_place(
    broker: RedisBroker, link: Link, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umbel.brokers.redis.places.MOST_AHEAD", 3)
    monkeypatch.setattr("umbel.brokers.redis.places._AT_ONCE", 2)
    envelopes = calls(6)
    await broker.publish([(Route("mail", priority=5 if n < 2 else 1), each) for n, each in enumerate(envelopes)])
    places = await broker.places([each.id for each in envelopes])
    assert places == {each.id: n for n, each in enumerate(envelopes[:3])}


async def test_the_message_of_a_child_is_not_taken_for_its_parents(broker: RedisBroker) -> None:
    child, parent = call(parent_id="the-parent", root_id="the-parent"), call()
    strange = Envelope("kombu", "x", b'{"no": "id"}', b"")
    await broker.publish(to("mail", [child, strange, parent]))
    assert await broker.places(["the-parent", parent.id]) == {parent.id: 2}


async def test_what_waits_for_its_time_has_no_place(broker: RedisBroker) -> None:
    late, soon = call(), call()
    await broker.publish([*to("mail", [late], time.time() + 600), *to("mail", [soon])])

    async def is_seen() -> bool:
        return await broker.places([late.id, soon.id]) == {soon.id: 0}

    await until(is_seen)
