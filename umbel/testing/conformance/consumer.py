"""What every broker's consumer must do with the deliveries that it makes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import anyio
import pytest

from umbel.model import ACK, REQUEUE, RETURN, Delivery, Route, Settlement, dead, later
from umbel.ports import Broker
from umbel.testing.conformance.harness import PATIENCE, AdapterSuite, listening, settle_all, take, to, until


class ConsumerConformance(AdapterSuite):
    """Prefetch, verdicts, follow-ups, giving back. Override ``make_broker``."""

    @pytest.fixture
    def make_broker(self) -> Callable[[], Broker]:
        """Makes an adapter that is not entered yet; all that one test makes are on the same store."""
        pytest.fail("override the fixture make_broker")

    @pytest.fixture
    async def broker(self, make_broker: Callable[[], Broker]) -> AsyncIterator[Broker]:
        async with make_broker() as broker:
            yield broker

    # -- claiming

    async def test_nothing_is_claimed_before_the_first_iteration(self, broker: Broker, queue: str) -> None:
        await broker.publish(to(queue, self.numbered(broker, 3)))
        consumer = await broker.consume([queue], 10)
        try:
            await take(broker, queue, 3)
            assert await broker.size(queue) == 3
        finally:
            await consumer.close()

    async def test_a_batch_is_never_empty(self, broker: Broker, queue: str) -> None:
        async with listening(await broker.consume([queue], 4)) as ear:
            for count in range(1, 6):
                await broker.publish(to(queue, self.numbered(broker, 1)))
                await settle_all(ear.consumer, (await ear.hears(count))[-1:], ACK)
        assert all(ear.batches)

    async def test_prefetch_bounds_the_unsettled(self, broker: Broker, queue: str) -> None:
        await broker.publish(to(queue, self.numbered(broker, 20)))
        unsettled: list[Delivery] = []
        consumer = await broker.consume([queue], 3)
        done = 0
        with anyio.fail_after(PATIENCE):
            async for batch in consumer:
                unsettled += batch
                assert len(unsettled) <= 3
                done += 1
                await settle_all(consumer, [unsettled.pop(0)], ACK)
                if done == 18:
                    break
        await consumer.close()
        assert await broker.size(queue) == 2

    async def test_resizing_up_hands_out_more(self, broker: Broker, queue: str) -> None:
        await broker.publish(to(queue, self.numbered(broker, 5)))
        async with listening(await broker.consume([queue], 2)) as ear:
            await ear.hears(2)
            await ear.consumer.resize(4)
            await ear.hears(4)

    async def test_resizing_down_counts_what_is_held(self, broker: Broker, queue: str) -> None:
        await broker.publish(to(queue, self.numbered(broker, 6)))
        async with listening(await broker.consume([queue], 4)) as ear:
            held = await ear.hears(4)
            await ear.consumer.resize(2)
            await settle_all(ear.consumer, held[:2], ACK)
            assert await broker.size(queue) == 2
            await settle_all(ear.consumer, held[2:3], ACK)
            await ear.hears(5)

    async def test_a_prefetch_of_zero_stops_claiming_until_it_grows(self, broker: Broker, queue: str) -> None:
        async with listening(await broker.consume([queue], 5)) as ear:
            await broker.publish(to(queue, self.numbered(broker, 1)))
            first = await ear.hears(1)
            await ear.consumer.resize(0)
            await broker.publish(to(queue, self.numbered(broker, 2)))
            await settle_all(ear.consumer, first, ACK)
            assert await broker.size(queue) == 2
            assert len(ear.deliveries) == 1
            await ear.consumer.resize(5)
            await ear.hears(3)

    async def test_only_the_named_queues_are_claimed(self, broker: Broker, queue: str) -> None:
        mine, other = self.numbered(broker, 2)
        await broker.publish([(Route(f"{queue}.other"), other), (Route(queue), mine)])
        assert [delivery.envelope for delivery in await take(broker, queue, 1)] == [mine]
        assert await broker.size(f"{queue}.other") == 1

    async def test_from_no_queue_nothing_is_claimed(self, broker: Broker, queue: str) -> None:
        await broker.publish(to(queue, self.numbered(broker, 1)))
        async with listening(await broker.consume([], 5)) as ear:
            await take(broker, queue, 1)
            assert ear.batches == []

    async def test_a_long_queue_does_not_starve_a_short_one(self, broker: Broker, queue: str) -> None:
        long, short = f"{queue}.long", f"{queue}.short"
        await broker.publish([*to(long, self.numbered(broker, 50)), *to(short, self.numbered(broker, 3))])
        async with listening(await broker.consume([long, short], 1)) as ear:
            for count in range(1, 8):
                await settle_all(ear.consumer, (await ear.hears(count))[-1:], ACK)
            await ear.hears(8)
        assert [delivery.queue for delivery in ear.deliveries].count(short) == 3

    async def test_two_consumers_share_and_nothing_comes_twice(
        self, broker: Broker, make_broker: Callable[[], Broker], queue: str
    ) -> None:
        envelopes = self.numbered(broker, 30)
        async with (
            make_broker() as other,
            listening(await broker.consume([queue], 10)) as left,
            listening(await other.consume([queue], 20)) as right,
        ):
            await broker.publish(to(queue, envelopes))
            await left.hears(10)
            await right.hears(20)
            assert sorted(left.bodies + right.bodies) == [envelope.body for envelope in envelopes]

    async def test_an_iteration_that_is_cancelled_loses_nothing(self, broker: Broker, queue: str) -> None:
        consumer = await broker.consume([queue], 1000)
        heard: list[Delivery] = []

        async def listen_once() -> None:
            heard.extend(await anext(aiter(consumer)))

        with anyio.fail_after(PATIENCE):
            for _ in range(40):
                async with anyio.create_task_group() as group:
                    group.start_soon(listen_once)
                    await anyio.lowlevel.checkpoint()
                    await broker.publish(to(queue, self.numbered(broker, 1)))
                    group.cancel_scope.cancel()
            while len(heard) < 40:
                await listen_once()
        assert len({delivery.envelope.id for delivery in heard}) == 40
        await consumer.close()

    # -- verdicts

    async def test_what_is_acknowledged_never_comes_again(self, broker: Broker, queue: str) -> None:
        envelopes = self.numbered(broker, 3)
        await broker.publish(to(queue, envelopes))
        async with listening(await broker.consume([queue], 10)) as ear:
            await settle_all(ear.consumer, (await ear.hears(3))[:2], ACK)
        assert [delivery.envelope for delivery in await take(broker, queue, 1)] == envelopes[2:]

    async def test_what_is_requeued_comes_again_at_its_old_place_and_marked(self, broker: Broker, queue: str) -> None:
        envelopes = self.numbered(broker, 3)
        await broker.publish([(Route(queue, priority=2), envelope) for envelope in envelopes])
        async with listening(await broker.consume([queue], 1)) as ear:
            await settle_all(ear.consumer, await ear.hears(1), REQUEUE)
            again = (await ear.hears(2))[1]
        assert (again.envelope, again.redelivered, again.priority) == (self.arrives_as(envelopes[0], 2), True, 2)

    async def test_what_is_returned_comes_again_at_its_old_place_and_marked_as_it_came(
        self, broker: Broker, queue: str
    ) -> None:
        fresh, started = envelopes = self.numbered(broker, 2)
        await broker.publish([(Route(queue, priority=2), envelope) for envelope in envelopes])
        async with listening(await broker.consume([queue], 2)) as ear:
            await settle_all(ear.consumer, (await ear.hears(2))[1:], REQUEUE)
            await settle_all(ear.consumer, (await ear.hears(3))[2:], RETURN)
            again = (await ear.hears(4))[3]
            assert (again.envelope, again.redelivered, again.priority) == (self.arrives_as(started, 2), True, 2)
            await settle_all(ear.consumer, [ear.deliveries[0], again], RETURN)
            first, second = (await ear.hears(6))[4:]
        assert (first.envelope, first.redelivered, first.priority) == (self.arrives_as(fresh, 2), False, 2)
        assert (second.envelope, second.redelivered) == (self.arrives_as(started, 2), True)

    async def test_what_is_put_off_comes_when_due_and_not_marked(self, broker: Broker, queue: str) -> None:
        first, second = self.numbered(broker, 2)
        await broker.publish(to(queue, [first, second]))
        async with listening(await broker.consume([queue], 1)) as ear:
            due = time.time() + 0.4
            await settle_all(ear.consumer, await ear.hears(1), later(due))
            held = (await ear.hears(2))[1]
            assert held.envelope == second
            assert await broker.size(queue) == 1
            await settle_all(ear.consumer, [held], ACK)
            again = (await ear.hears(3))[2]
            assert time.time() >= due
            assert (again.envelope, again.redelivered) == (first, False)

    async def test_the_dead_never_come_again(self, broker: Broker, queue: str) -> None:
        envelopes = self.numbered(broker, 2)
        await broker.publish(to(queue, envelopes))
        async with listening(await broker.consume([queue], 10)) as ear:
            await settle_all(ear.consumer, (await ear.hears(2))[:1], dead("nobody knows this task"))
        assert [delivery.envelope for delivery in await take(broker, queue, 1)] == envelopes[1:]

    async def test_one_call_settles_many_in_many_ways(self, broker: Broker, queue: str) -> None:
        envelopes = self.numbered(broker, 40)
        await broker.publish(to(queue, envelopes))
        async with listening(await broker.consume([queue], 40)) as ear:
            held = await ear.hears(40)
            verdicts = [ACK, REQUEUE, dead("why not"), later(time.time() + 3600), RETURN] * 8
            await ear.consumer.settle([Settlement(d, v) for d, v in zip(held, verdicts, strict=True)])
            again = (await ear.hears(56))[40:]
        back = [(envelope, number % 5 == 1) for number, envelope in enumerate(envelopes) if number % 5 in (1, 4)]
        assert [(delivery.envelope, delivery.redelivered) for delivery in again] == back
        assert await broker.size(queue) == 24

    async def test_settling_nothing_is_no_error(self, broker: Broker, queue: str) -> None:
        consumer = await broker.consume([queue], 1)
        await consumer.settle([])
        await consumer.close()

    # -- follow-ups

    async def test_follow_ups_are_published_with_the_verdict(self, broker: Broker, queue: str) -> None:
        first, then, other = self.numbered(broker, 3)
        await broker.publish(to(queue, [first]))
        async with listening(await broker.consume([queue], 10)) as ear:
            (held,) = await ear.hears(1)
            follow_ups = [(Route(queue, priority=4), then), (Route(f"{queue}.b"), other)]
            await ear.consumer.settle([Settlement(held, ACK, follow_ups)])
            delivery = (await ear.hears(2))[1]
            then = self.arrives_as(then, 4)
            assert (delivery.envelope, delivery.priority, delivery.redelivered) == (then, 4, False)
        assert [delivery.envelope for delivery in await take(broker, f"{queue}.b", 1)] == [other]

    async def test_a_follow_up_waits_until_it_is_due(self, broker: Broker, queue: str) -> None:
        first, retry = self.numbered(broker, 2)
        await broker.publish(to(queue, [first]))
        async with listening(await broker.consume([queue], 10)) as ear:
            due = time.time() + 0.3
            await ear.consumer.settle([Settlement(held, ACK, to(queue, [retry], due)) for held in await ear.hears(1)])
            assert (await ear.hears(2))[1].envelope == retry
            assert time.time() >= due

    # -- what is no longer held

    async def test_a_second_verdict_changes_nothing(self, broker: Broker, queue: str) -> None:
        await broker.publish(to(queue, self.numbered(broker, 1)))
        async with listening(await broker.consume([queue], 10)) as ear:
            held = await ear.hears(1)
            await settle_all(ear.consumer, held, ACK)
            await ear.consumer.settle([Settlement(held[0], REQUEUE, to(queue, self.numbered(broker, 1)))])
        assert await broker.size(queue) == 0

    async def test_the_verdict_on_a_delivery_that_was_requeued_since_changes_nothing(
        self, broker: Broker, queue: str
    ) -> None:
        await broker.publish(to(queue, self.numbered(broker, 1)))
        async with listening(await broker.consume([queue], 10)) as ear:
            held = await ear.hears(1)
            await settle_all(ear.consumer, held, REQUEUE)
            await ear.hears(2)
            await ear.consumer.settle([Settlement(held[0], ACK, to(queue, self.numbered(broker, 1)))])
        assert await broker.size(queue) == 1

    async def test_the_verdict_of_another_consumer_changes_nothing(self, broker: Broker, queue: str) -> None:
        await broker.publish(to(queue, self.numbered(broker, 1)))
        stranger = await broker.consume([f"{queue}.b"], 1)
        async with listening(await broker.consume([queue], 10)) as ear:
            held = await ear.hears(1)
            await settle_all(stranger, held, ACK)
        await stranger.close()
        assert await broker.size(queue) == 1

    # -- closing

    async def test_closing_gives_back_at_once_in_order_and_marked_as_it_came(self, broker: Broker, queue: str) -> None:
        envelopes = self.numbered(broker, 4)
        await broker.publish(to(queue, envelopes))
        async with listening(await broker.consume([queue], 2)) as ear:
            await settle_all(ear.consumer, (await ear.hears(2))[:1], REQUEUE)
            await ear.hears(3)
        deliveries = await take(broker, queue, 4)
        assert [delivery.envelope for delivery in deliveries] == envelopes
        assert [delivery.redelivered for delivery in deliveries] == [True, False, False, False]

    async def test_closing_ends_the_iteration_and_can_be_repeated(self, broker: Broker, queue: str) -> None:
        consumer = await broker.consume([queue], 2)
        async with listening(consumer) as ear:
            await broker.publish(to(queue, self.numbered(broker, 1)))
            await ear.hears(1)
            await consumer.close()
            await ear.ends()
            await consumer.close()
        with pytest.raises(StopAsyncIteration):
            await anext(aiter(consumer))

    async def test_closing_what_never_iterated_is_no_error(self, broker: Broker, queue: str) -> None:
        consumer = await broker.consume([queue], 2)
        await consumer.close()
        with pytest.raises(StopAsyncIteration):
            await anext(aiter(consumer))

    async def test_a_verdict_after_closing_changes_nothing(self, broker: Broker, queue: str) -> None:
        await broker.publish(to(queue, self.numbered(broker, 1)))
        async with listening(await broker.consume([queue], 2)) as ear:
            held = await ear.hears(1)
            await ear.consumer.close()
            await settle_all(ear.consumer, held, ACK)
        assert await broker.size(queue) == 1

    async def test_a_waiting_consumer_gets_what_another_gives_back(
        self, broker: Broker, make_broker: Callable[[], Broker], queue: str
    ) -> None:
        envelopes = self.numbered(broker, 3)
        await broker.publish(to(queue, envelopes))
        async with listening(await broker.consume([queue], 10)) as first:
            await first.hears(3)
            async with make_broker() as other, listening(await other.consume([queue], 10)) as second:
                await first.consumer.close()
                assert [delivery.envelope for delivery in await second.hears(3)] == envelopes

    async def test_a_queue_is_drained_while_it_is_filled(self, broker: Broker, queue: str) -> None:
        done: set[str] = set()
        consumer = await broker.consume([queue], 16)

        async def work() -> None:
            async for batch in consumer:
                await settle_all(consumer, batch, ACK)
                done.update(delivery.envelope.id for delivery in batch)

        async def all_are_done() -> bool:
            return len(done) == 500

        async with anyio.create_task_group() as group:
            group.start_soon(work)
            for _ in range(50):
                await broker.publish(to(queue, self.numbered(broker, 10)))
            await until(all_are_done)
            await consumer.close()
        assert await broker.size(queue) == 0
