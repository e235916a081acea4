"""What every broker must do with messages that nobody has claimed yet."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable

import anyio
import pytest

from umbel.model import ACK, Queue, Route
from umbel.ports import Broker
from umbel.shortcuts import Immediate
from umbel.testing.conformance.harness import (
    AdapterSuite,
    listening,
    on_another_loop,
    settle_all,
    take,
    to,
    until,
)

ODD_BODIES = [
    b"",
    b"\x00",
    b"\x00" * 300 + b"after zeros",
    bytes(range(256)),
    b"\xff\xfe not utf-8 \xc3\x28",
    "żółw 🐢".encode(),
    b"'; DROP TABLE messages; --\r\n\x1a\x1b[0m",
    b"x" * 1_000_000,
]

FAR_AWAY = 253_370_764_800.0
"""Somewhere in the year 9999."""


class BrokerConformance(AdapterSuite):
    """Publishing, order, delay, size and purge. Override ``make_broker``."""

    @pytest.fixture
    def make_broker(self) -> Callable[[], Broker]:
        """Makes an adapter that is not entered yet; all that one test makes are on the same store."""
        pytest.fail("override the fixture make_broker")

    @pytest.fixture
    async def broker(self, make_broker: Callable[[], Broker]) -> AsyncIterator[Broker]:
        async with make_broker() as broker:
            yield broker

    async def test_a_delivery_says_where_it_comes_from(self, broker: Broker, queue: str) -> None:
        envelope = self.envelope(broker, b"one")
        await broker.publish([(Route(queue, priority=7), envelope)])
        (delivery,) = await take(broker, queue, 1)
        assert delivery.envelope == self.arrives_as(envelope, 7)
        assert (delivery.queue, delivery.priority, delivery.redelivered) == (queue, 7, False)

    @pytest.mark.parametrize("body", ODD_BODIES, ids=lambda body: repr(body[:12]))
    async def test_bytes_pass_unchanged(self, broker: Broker, queue: str, body: bytes) -> None:
        envelope = self.envelope(broker, body)
        await broker.publish([(Route(queue), envelope)])
        (delivery,) = await take(broker, queue, 1)
        assert delivery.envelope == envelope
        assert type(delivery.envelope.body) is bytes
        assert type(delivery.envelope.head) is bytes

    async def test_a_thousand_in_one_call_all_arrive_in_order(self, broker: Broker, queue: str) -> None:
        envelopes = self.numbered(broker, 1000)
        await broker.publish(to(queue, envelopes))
        deliveries = await take(broker, queue, 1000)
        assert [delivery.envelope for delivery in deliveries] == envelopes

    async def test_two_loops_use_one_adapter_side_by_side(self, broker: Broker, queue: str) -> None:
        mine, theirs, last = self.numbered(broker, 20), self.numbered(broker, 20), self.numbered(broker, 1)

        async def elsewhere() -> None:
            async with broker:
                for envelope in theirs:
                    await broker.publish(to(queue, [envelope]))

        async with listening(await broker.consume([queue], 1000)) as ear:
            async with anyio.create_task_group() as group:
                group.start_soon(on_another_loop, elsewhere)
                for envelope in mine:
                    await broker.publish(to(queue, [envelope]))
            arrived = [delivery.envelope for delivery in await ear.hears(40)]
            assert [envelope for envelope in arrived if envelope in mine] == mine
            assert [envelope for envelope in arrived if envelope in theirs] == theirs
            await broker.publish(to(queue, last))
            assert (await ear.hears(41))[-1].envelope == last[0]

    async def test_publishing_nothing_is_no_error(self, broker: Broker, queue: str) -> None:
        await broker.publish([])
        assert await broker.size(queue) == 0

    async def test_the_urgent_come_first_and_equals_in_order(self, broker: Broker, queue: str) -> None:
        urgencies = [0, 9, None, 5, 9, 0]
        envelopes = self.numbered(broker, len(urgencies))
        await broker.publish([(Route(queue, priority=p), e) for p, e in zip(urgencies, envelopes, strict=True)])
        deliveries = await take(broker, queue, len(urgencies))
        expected = [self.arrives_as(envelopes[at], urgencies[at]) for at in (1, 4, 3, 0, 2, 5)]
        assert [delivery.envelope for delivery in deliveries] == expected
        assert [delivery.priority for delivery in deliveries] == [9, 9, 5, 0, 0, 0]

    async def test_an_urgent_latecomer_overtakes_what_waits(self, broker: Broker, queue: str) -> None:
        slow, fast = self.numbered(broker, 2)
        async with listening(await broker.consume([queue], 1)) as ear:
            await broker.publish(to(queue, self.numbered(broker, 1)))
            first = await ear.hears(1)
            await broker.publish([(Route(queue), slow), (Route(queue, priority=3), fast)])
            await settle_all(ear.consumer, first, ACK)
            assert (await ear.hears(2))[1].envelope == self.arrives_as(fast, 3)

    async def test_a_waiting_consumer_is_woken_by_a_message(self, broker: Broker, queue: str) -> None:
        async with listening(await broker.consume([queue], 10)) as ear:
            for count in range(1, 4):
                await broker.publish(to(queue, self.numbered(broker, 1)))
                await ear.hears(count)

    async def test_a_second_adapter_reads_what_the_first_wrote(
        self, broker: Broker, make_broker: Callable[[], Broker], queue: str
    ) -> None:
        envelopes = self.numbered(broker, 2)
        async with make_broker() as other, listening(await other.consume([queue], 10)) as ear:
            await broker.publish(to(queue, envelopes))
            assert [delivery.envelope for delivery in await ear.hears(2)] == envelopes

    async def test_nothing_comes_before_it_is_due(self, broker: Broker, queue: str) -> None:
        delayed, ready = self.numbered(broker, 2)
        due = time.time() + 0.4
        async with listening(await broker.consume([queue], 10)) as ear:
            await broker.publish([(Route(queue, priority=9, due=due), delayed), (Route(queue), ready)])
            first, second = await ear.hears(2)
            assert time.time() >= due
        assert [first.envelope, second.envelope] == [ready, self.arrives_as(delayed, 9)]
        assert (second.redelivered, second.priority) == (False, 9)

    async def test_the_soonest_of_several_delayed_comes_first(self, broker: Broker, queue: str) -> None:
        late, early = self.numbered(broker, 2)
        now = time.time()
        await broker.publish([(Route(queue, due=now + 0.6), late), (Route(queue, due=now + 0.3), early)])
        assert [delivery.envelope for delivery in await take(broker, queue, 2)] == [early, late]

    async def test_a_due_time_in_the_past_means_at_once(self, broker: Broker, queue: str) -> None:
        envelopes = self.numbered(broker, 3)
        dues = [None, time.time() - 3600, 0.0]
        await broker.publish([(Route(queue, due=due), e) for due, e in zip(dues, envelopes, strict=True)])
        assert [delivery.envelope for delivery in await take(broker, queue, 3)] == envelopes

    async def test_what_is_due_in_the_year_9999_blocks_nobody(self, broker: Broker, queue: str) -> None:
        await broker.publish(to(queue, self.numbered(broker, 5), due=FAR_AWAY))
        (envelope,) = self.numbered(broker, 1)
        await broker.publish(to(queue, [envelope]))
        assert [delivery.envelope for delivery in await take(broker, queue, 1, prefetch=2)] == [envelope]

    async def test_size_counts_what_waits_and_not_what_is_handed_out(self, broker: Broker, queue: str) -> None:
        await broker.publish(to(queue, self.numbered(broker, 5)))
        await broker.publish(to(queue, self.numbered(broker, 2), due=FAR_AWAY))
        assert await broker.size(queue) == 7
        async with listening(await broker.consume([queue], 3)) as ear:
            await settle_all(ear.consumer, (await ear.hears(3))[:1], ACK)
            await ear.hears(4)
            assert await broker.size(queue) == 3
        assert await broker.size(queue) == 6

    async def test_purge_drops_what_size_counts(self, broker: Broker, queue: str) -> None:
        envelopes = self.numbered(broker, 3)
        await broker.publish(to(queue, envelopes))
        await broker.publish(to(queue, self.numbered(broker, 2), due=FAR_AWAY))
        async with listening(await broker.consume([queue], 1)) as ear:
            await ear.hears(1)
            assert await broker.purge(queue) == 4
            assert await broker.size(queue) == 0
        assert [delivery.envelope for delivery in await take(broker, queue, 1)] == envelopes[:1]

    async def test_an_unknown_queue_is_empty(self, broker: Broker, queue: str) -> None:
        assert await broker.size(queue) == 0
        assert await broker.purge(queue) == 0

    async def test_purge_leaves_other_queues_alone(self, broker: Broker, queue: str) -> None:
        await broker.publish([*to(queue, self.numbered(broker, 2)), *to(f"{queue}.b", self.numbered(broker, 3))])
        assert await broker.purge(queue) == 2
        assert await broker.size(f"{queue}.b") == 3

    async def test_declaring_again_keeps_what_is_there(self, broker: Broker, queue: str) -> None:
        await broker.declare(Queue(queue))
        await broker.publish(to(queue, self.numbered(broker, 2)))
        await broker.declare(Queue(queue))
        assert await broker.size(queue) == 2

    async def test_queue_names_are_taken_as_they_are(self, broker: Broker, queue: str) -> None:
        names = [f"{queue} with space", f"{queue}.ż%_*", f"{queue}'\""]
        for name in names:
            (envelope,) = self.numbered(broker, 1)
            await broker.declare(Queue(name))
            await broker.publish(to(name, [envelope]))
            (delivery,) = await take(broker, name, 1)
            assert (delivery.queue, delivery.envelope) == (name, envelope)


class ImmediateConformance(AdapterSuite):
    """Publishing in the caller's thread. Override ``make_broker``, as for ``BrokerConformance``."""

    @pytest.fixture
    def make_broker(self) -> Callable[[], Broker]:
        pytest.fail("override the fixture make_broker")

    async def test_it_offers_the_power(self, make_broker: Callable[[], Broker]) -> None:
        assert isinstance(make_broker(), Immediate)

    async def test_it_publishes_without_being_entered(self, make_broker: Callable[[], Broker], queue: str) -> None:
        unentered = make_broker()
        assert isinstance(unentered, Immediate)
        envelopes = self.numbered(unentered, 3)
        unentered.publish_now(to(queue, envelopes))
        async with make_broker() as broker:
            assert [delivery.envelope for delivery in await take(broker, queue, 3)] == envelopes

    async def test_many_threads_publish_through_one_adapter(
        self, make_broker: Callable[[], Broker], queue: str
    ) -> None:
        broker = make_broker()
        assert isinstance(broker, Immediate)
        publish = broker.publish_now
        loads = [self.numbered(broker, 20) for _ in range(8)]

        def work(load_number: int) -> None:
            for envelope in loads[load_number]:
                publish(to(queue, [envelope]))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(loads))]
        async with broker, listening(await broker.consume([queue], 1000)) as ear:
            for thread in threads:
                thread.start()
            deliveries = await ear.hears(160)
            for thread in threads:
                thread.join()
            arrived = [delivery.envelope for delivery in deliveries]
            for load in loads:
                assert [envelope for envelope in arrived if envelope in load] == load

    async def test_it_works_after_the_adapter_was_left(self, make_broker: Callable[[], Broker], queue: str) -> None:
        broker = make_broker()
        assert isinstance(broker, Immediate)
        async with broker:
            broker.publish_now(to(queue, self.numbered(broker, 1)))
        broker.publish_now(to(queue, self.numbered(broker, 1)))

        async def both_are_there() -> bool:
            return await broker.size(queue) == 2

        async with broker:
            await until(both_are_there)
