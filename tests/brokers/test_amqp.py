"""The RabbitMQ broker against the broker suites, and what is peculiar to it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tools.ports import free_port
from tools.rabbitmq import RabbitMQ
from umbel.brokers.amqp import AmqpBroker
from umbel.errors import ConfigurationError, StoreError, StoreRefused, StoreUnreachable
from umbel.model import ACK, REQUEUE, RETURN, Envelope, Queue, Route, Settlement, dead, later
from umbel.ports import Broker, DeadLetter
from umbel.stores.amqp.address import addresses
from umbel.stores.amqp.channel import Channel, ChannelRefused
from umbel.stores.amqp.entities import declare_exchange, declare_queue, delete_queue
from umbel.stores.amqp.opening import connect
from umbel.testing.conformance.broker import FAR_AWAY, BrokerConformance
from umbel.testing.conformance.consumer import ConsumerConformance
from umbel.testing.conformance.harness import listening, settle_all, take, to, until
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

    async def test_what_is_settled_of_one_queue_leaves_what_came_from_another_alone(
        self, broker: Broker, queue: str
    ) -> None:
        other = f"{queue}-other"
        async with listening(await broker.consume([queue, other], 200)) as ear:
            pairs = [(Route((queue, other)[n % 2]), envelope) for n, envelope in enumerate(self.numbered(broker, 200))]
            await broker.publish(to(queue, self.numbered(broker, 1)) + to(other, self.numbered(broker, 1)))
            first = list(await ear.hears(2))  # now both are claimed, and what comes is mixed
            await settle_all(ear.consumer, first, ACK)
            await broker.publish(pairs)
            held = (await ear.hears(202))[2:]
            await settle_all(ear.consumer, [delivery for delivery in held if delivery.queue == queue], ACK)
        assert (await broker.size(queue), await broker.size(other)) == (0, 100)

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

    async def test_a_smaller_prefetch_holds_at_once_and_the_server_is_told_now_and_then(
        self, broker: Broker, queue: str
    ) -> None:
        async with listening(await broker.consume([queue], 10)) as ear:
            await broker.publish(to(queue, self.numbered(broker, 1)))
            await settle_all(ear.consumer, await ear.hears(1), ACK)
            await ear.consumer.resize(2)
            await broker.publish(to(queue, self.numbered(broker, 6)))
            await ear.hears(3)

            async def taken() -> bool:
                return await broker.size(queue) == 0

            await until(taken)
            assert len(ear.deliveries) == 3
        assert await broker.size(queue) == 6


@pytest.fixture
async def broker(rabbitmq: RabbitMQ) -> AsyncIterator[AmqpBroker]:
    async with AmqpBroker(rabbitmq.url) as made:
        yield made


@pytest.fixture
def queue() -> str:
    return f"amqp-{uuid.uuid4().hex}"


def letter(body: bytes = b"[]") -> Envelope:
    task_id = str(uuid.uuid4())
    headers = {"task": "t", "id": task_id}
    head = pack_properties({"content_type": "application/json", "headers": headers, "correlation_id": task_id})
    return Envelope("amqp", task_id, head, body)


@asynccontextmanager
async def channel_to(rabbitmq: RabbitMQ) -> AsyncIterator[Channel]:
    """A channel of somebody else's."""
    connection = await connect(addresses(rabbitmq.url))
    try:
        yield await connection.channel()
    finally:
        await connection.close()


class TestEntities:
    async def test_a_queue_is_made_as_celery_makes_it(self, rabbitmq: RabbitMQ, broker: AmqpBroker, queue: str) -> None:
        await broker.declare(Queue(queue))
        async with channel_to(rabbitmq) as channel:
            await declare_queue(channel, queue)
            await declare_exchange(channel, queue, "direct")

    async def test_a_queue_that_somebody_made_otherwise_is_taken_as_it_is(
        self, rabbitmq: RabbitMQ, broker: AmqpBroker, queue: str
    ) -> None:
        async with channel_to(rabbitmq) as channel:
            await declare_queue(channel, queue, arguments={"x-max-priority": 5, "x-queue-mode": "lazy"})
            await declare_exchange(channel, queue, "topic")
        envelope = letter()
        await broker.publish([(Route(queue), envelope)])
        assert [delivery.envelope for delivery in await take(broker, queue, 1)] == [envelope]

    async def test_one_setting_makes_quorum_queues(self, rabbitmq: RabbitMQ, queue: str) -> None:
        async with AmqpBroker(rabbitmq.url, {"task_default_queue_type": "quorum"}) as broker:
            envelope = letter()
            await broker.publish([(Route(queue), envelope)])
            assert [delivery.envelope for delivery in await take(broker, queue, 1)] == [envelope]
        async with channel_to(rabbitmq) as channel:
            with pytest.raises(ChannelRefused, match=r"406.*x-queue-type"):
                await declare_queue(channel, queue)

    async def test_a_quorum_queue_with_priorities_is_refused(self, broker: AmqpBroker, queue: str) -> None:
        wrong = Queue(queue, max_priority=5, arguments={"x-queue-type": "quorum"})
        with pytest.raises(ConfigurationError, match="a quorum queue has no priorities"):
            await broker.declare(wrong)

    async def test_a_name_that_would_match_other_queues_is_refused(self, broker: AmqpBroker) -> None:
        with pytest.raises(ConfigurationError, match="means every queue"):
            await broker.declare(Queue("mail.#"))

    async def test_what_is_sent_to_an_exchange_that_leads_nowhere_is_refused(
        self, broker: AmqpBroker, queue: str
    ) -> None:
        await broker.declare(Queue(queue))
        with pytest.raises(StoreRefused, match="no queue takes what is sent to the exchange"):
            await broker.publish([(Route(queue, None, None, queue, "somewhere.else"), letter())])

    async def test_what_is_delayed_for_a_queue_that_is_gone_when_it_is_due_is_a_dead_letter(
        self, rabbitmq: RabbitMQ, broker: AmqpBroker, queue: str
    ) -> None:
        envelope = letter()
        await broker.publish([(Route(queue, due=time.time() + 0.5), envelope)])
        async with channel_to(rabbitmq) as channel:
            await delete_queue(channel, queue)

        async def is_there() -> bool:
            return any(each.envelope.id == envelope.id for each in await broker.dead_letters())

        await until(is_there)
        (found,) = [each for each in await broker.dead_letters() if each.envelope.id == envelope.id]
        assert (found.queue, found.envelope.body) == (queue, b"[]")
        assert "was gone" in found.reason
        assert await broker.drop_dead_letters([found.number]) == 1


class TestDeadLetters:
    async def bury(self, broker: AmqpBroker, queue: str, envelope: Envelope, reason: str) -> DeadLetter:
        await broker.publish([(Route(queue), envelope)])
        async with listening(await broker.consume([queue], 1)) as ear:
            await settle_all(ear.consumer, await ear.hears(1), dead(reason))
        (found,) = [each for each in await broker.dead_letters(limit=10_000) if each.envelope.id == envelope.id]
        return found

    async def test_the_bytes_and_the_reason_are_kept(self, broker: AmqpBroker, queue: str) -> None:
        envelope = letter(b"\x00 any bytes \xff")
        found = await self.bury(broker, queue, envelope, "because: żółw")
        assert (found.envelope, found.queue, found.reason) == (envelope, queue, "because: żółw")
        assert abs(found.died - time.time()) < 60

    async def test_one_is_replayed_to_its_queue_and_gone_from_there(self, broker: AmqpBroker, queue: str) -> None:
        envelope = letter()
        found = await self.bury(broker, queue, envelope, "why")
        assert await broker.replay([(found.number, envelope)]) == 1
        assert [delivery.envelope for delivery in await take(broker, queue, 1)] == [envelope]
        assert await broker.replay([(found.number, envelope)]) == 0

    async def test_one_is_dropped_and_the_others_stay(self, broker: AmqpBroker, queue: str) -> None:
        first = await self.bury(broker, queue, letter(), "one")
        second = await self.bury(broker, queue, letter(), "two")
        assert await broker.drop_dead_letters([first.number]) == 1
        numbers = [each.number for each in await broker.dead_letters(limit=10_000)]
        assert (first.number in numbers, second.number in numbers) == (False, True)
        assert await broker.dead_letters(after=second.number) == []


class TestRefusals:
    """One clear error each, without the password."""

    @pytest.mark.parametrize(
        ("change", "error", "told"),
        [
            (("guest:guest", "guest:secret"), StoreRefused, "login refused: user 'guest'"),
            (("guest:guest", "nobody:secret"), StoreRefused, "login refused: user 'nobody'"),
            (("//", "/nowhere"), StoreRefused, "the virtual host 'nowhere' is not open"),
            (("127.0.0.1", "no.such.host.invalid"), StoreUnreachable, "no such host"),
            (("amqp://", "amqps://"), StoreRefused, "no TLS connection"),
        ],
    )
    async def test_a_wrong_url_is_told_at_once(
        self, rabbitmq: RabbitMQ, change: tuple[str, str], error: type[StoreError], told: str
    ) -> None:
        url = rabbitmq.url.replace(change[0], change[1], 1) if change[0] != "//" else f"{rabbitmq.url[:-2]}{change[1]}"
        async with AmqpBroker(url) as broker:
            with pytest.raises(error, match=told) as caught:
                await broker.publish([(Route("q"), letter())])
        assert "secret" not in str(caught.value)
        assert "Traceback" not in str(caught.value)

    async def test_a_closed_port_is_told_at_once(self) -> None:
        async with AmqpBroker(f"amqp://guest:guest@127.0.0.1:{free_port()}//") as broker:
            with pytest.raises(StoreUnreachable, match=r"127\.0\.0\.1"):
                await broker.publish([(Route("q"), letter())])

    async def test_another_protocol_is_told(self) -> None:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, AmqpBroker(f"amqp://127.0.0.1:{port}//") as broker:
            with pytest.raises(StoreUnreachable, match="does not speak AMQP"):
                await broker.publish([(Route("q"), letter())])

    async def test_the_next_server_of_several_is_tried(self, rabbitmq: RabbitMQ, queue: str) -> None:
        async with AmqpBroker(f"amqp://guest:guest@127.0.0.1:{free_port()}//;{rabbitmq.url}") as broker:
            await broker.publish([(Route(queue), letter())])
            assert await broker.size(queue) == 1


async def test_a_queue_that_was_removed_meanwhile_is_made_again(
    rabbitmq: RabbitMQ, broker: AmqpBroker, queue: str
) -> None:
    await broker.publish([(Route(queue), letter())])
    async with channel_to(rabbitmq) as channel:
        await delete_queue(channel, queue)
    await broker.publish([(Route(queue), letter()), (Route(f"{queue}.b"), letter())])
    assert (await broker.size(queue), await broker.size(f"{queue}.b")) == (1, 1)
