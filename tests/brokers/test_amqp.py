"""The RabbitMQ broker against the broker suites, and what is peculiar to it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import pytest

from tests.servers.rabbitmq import RabbitMQ
from umbel.brokers.amqp import AmqpBroker
from umbel.model import ACK, REQUEUE, RETURN, Envelope, Route, Settlement, dead, later
from umbel.ports import Broker
from umbel.testing.conformance.broker import FAR_AWAY, BrokerConformance
from umbel.testing.conformance.consumer import ConsumerConformance
from umbel.testing.conformance.harness import listening, settle_all, take, to
from umbel.wire.amqp import pack_properties, with_priority

pytestmark = pytest.mark.server

SETTINGS = {"task_queue_max_priority": 9}


class OnRabbitMQ:
    @pytest.fixture
    def make_broker(self, rabbitmq: RabbitMQ) -> Callable[[], Broker]:
        return lambda: AmqpBroker(rabbitmq.url, SETTINGS)

    def envelope(self, broker: Broker, body: bytes = b"body", head: bytes = b"head", id: str | None = None) -> Envelope:
        task_id = id or f"{uuid.uuid4()}"
        head = pack_properties({"content_type": "application/json", "delivery_mode": 2, "correlation_id": task_id})
        return Envelope(broker.form, task_id, head, body)

    def arrives_as(self, envelope: Envelope, priority: int | None) -> Envelope:
        return envelope if priority is None else envelope._replace(head=with_priority(envelope.head, priority))


class TestAmqpBroker(OnRabbitMQ, BrokerConformance):
    """The server does not count, queue by queue, what waits for its time."""

    async def test_size_counts_what_waits_and_not_what_is_handed_out(self, broker: Broker, queue: str) -> None:
        await broker.publish(to(queue, self.numbered(broker, 5)))
        await broker.publish(to(queue, self.numbered(broker, 2), due=FAR_AWAY))
        assert await broker.size(queue) == 5
        async with listening(await broker.consume([queue], 3)) as ear:
            await settle_all(ear.consumer, (await ear.hears(3))[:1], ACK)
            await ear.hears(4)
            assert await broker.size(queue) == 1
        assert await broker.size(queue) == 4

    async def test_the_soonest_of_several_delayed_comes_first(self, broker: Broker, queue: str) -> None:
        late, early = self.numbered(broker, 2)
        now = time.time()
        await broker.publish([(Route(queue, due=now + 2), late), (Route(queue, due=now + 0.5), early)])
        assert [delivery.envelope for delivery in await take(broker, queue, 2)] == [early, late]

    async def test_purge_drops_what_size_counts(self, broker: Broker, queue: str) -> None:
        envelopes = self.numbered(broker, 3)
        await broker.publish(to(queue, envelopes))
        async with listening(await broker.consume([queue], 1)) as ear:
            await ear.hears(1)
            assert await broker.purge(queue) == 2
            assert await broker.size(queue) == 0
        assert [delivery.envelope for delivery in await take(broker, queue, 1)] == envelopes[:1]


class TestAmqpConsumer(OnRabbitMQ, ConsumerConformance):
    """The server marks all that comes back as redelivered, and holds what is put off elsewhere."""

    async def test_resizing_down_counts_what_is_held(self, broker: Broker, queue: str) -> None:
        await broker.publish(to(queue, self.numbered(broker, 6)))
        async with listening(await broker.consume([queue], 4)) as ear:
            held = await ear.hears(4)
            await ear.consumer.resize(2)
            await settle_all(ear.consumer, held[:2], ACK)
            await ear.hears(4)
            await settle_all(ear.consumer, held[2:3], ACK)
            await ear.hears(5)

    async def test_what_is_returned_comes_again_at_its_old_place_and_marked_as_it_came(
        self, broker: Broker, queue: str
    ) -> None:
        first, second = self.numbered(broker, 2)
        await broker.publish(to(queue, [first, second]))
        async with listening(await broker.consume([queue], 2)) as ear:
            await settle_all(ear.consumer, await ear.hears(2), RETURN)
            again = (await ear.hears(4))[2:]
        assert [delivery.envelope for delivery in again] == [first, second]

    async def test_what_is_put_off_comes_when_due_and_not_marked(self, broker: Broker, queue: str) -> None:
        first, second = self.numbered(broker, 2)
        await broker.publish(to(queue, [first, second]))
        async with listening(await broker.consume([queue], 1)) as ear:
            due = time.time() + 0.4
            await settle_all(ear.consumer, await ear.hears(1), later(due))
            held = (await ear.hears(2))[1]
            assert held.envelope == second
            await settle_all(ear.consumer, [held], ACK)
            again = (await ear.hears(3))[2]
            assert time.time() >= due
            assert (again.envelope, again.redelivered) == (first, False)

    async def test_one_call_settles_many_in_many_ways(self, broker: Broker, queue: str) -> None:
        envelopes = self.numbered(broker, 40)
        await broker.publish(to(queue, envelopes))
        async with listening(await broker.consume([queue], 40)) as ear:
            held = await ear.hears(40)
            verdicts = [ACK, REQUEUE, dead("why not"), later(time.time() + 3600), RETURN] * 8
            await ear.consumer.settle([Settlement(d, v) for d, v in zip(held, verdicts, strict=True)])
            again = (await ear.hears(56))[40:]
        back = [envelope for number, envelope in enumerate(envelopes) if number % 5 in (1, 4)]
        assert [delivery.envelope for delivery in again] == back
        assert await broker.size(queue) == 16

    async def test_closing_gives_back_at_once_in_order_and_marked_as_it_came(self, broker: Broker, queue: str) -> None:
        envelopes = self.numbered(broker, 4)
        await broker.publish(to(queue, envelopes))
        async with listening(await broker.consume([queue], 2)) as ear:
            await settle_all(ear.consumer, (await ear.hears(2))[:1], REQUEUE)
            await ear.hears(3)
        assert [delivery.envelope for delivery in await take(broker, queue, 4)] == envelopes
