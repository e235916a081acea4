"""What a broker and its consumer on RabbitMQ do when their connections are lost, and with what comes again."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence

import pytest

from tests.brokers.test_amqp import letter
from tests.servers.proxy import Proxy
from tools.rabbitmq import RabbitMQ
from umbel.brokers.amqp import AmqpBroker
from umbel.brokers.amqp.consumer import AmqpConsumer
from umbel.errors import StoreUnreachable
from umbel.model import ACK, REQUEUE, RETURN, Delivery, Envelope, Queue, Route, Settlement, dead
from umbel.ports import AnswersLate
from umbel.testing.conformance.harness import Ear, listening, settle_all, take, to, until
from umbel.wire.amqp import resent, starts_of

pytestmark = pytest.mark.server


@pytest.fixture
async def broker(rabbitmq: RabbitMQ) -> AsyncIterator[AmqpBroker]:
    async with AmqpBroker(rabbitmq.url) as made:
        yield made


@pytest.fixture
def queue() -> str:
    return f"lost-{uuid.uuid4().hex}"


async def cut(consumer: AmqpConsumer) -> None:
    (await consumer.link.connection()).abort(StoreUnreachable("cut by the test"))


class TestLostConnections:
    async def test_a_publisher_whose_connection_was_cut_connects_again(self, broker: AmqpBroker, queue: str) -> None:
        await broker.publish([(Route(queue), letter())])
        connection = await broker.link.connection()
        connection.abort(StoreUnreachable("cut by the test"))
        await broker.publish([(Route(queue), letter())])
        assert await broker.size(queue) == 2

    async def test_what_the_server_has_heard_of_does_not_come_again(
        self, rabbitmq: RabbitMQ, broker: AmqpBroker, queue: str
    ) -> None:
        """Whoever starts a task only then may be killed in the same moment: it is run at most once."""
        await broker.publish(to(queue, [letter()]))
        with Proxy(rabbitmq.port) as proxy:
            async with AmqpBroker(proxy.url(rabbitmq.url)) as far, listening(await far.consume([queue], 1)) as ear:
                (delivery,) = await ear.hears(1)
                assert isinstance(ear.consumer, AnswersLate)
                proxy.stall()
                await ear.consumer.settle([Settlement(delivery, ACK)])
                hearing = asyncio.create_task(ear.consumer.heard())
                done, _ = await asyncio.wait([hearing], timeout=0.2)
                assert not done
                proxy.flow()
                await hearing
                proxy.refuse()
                proxy.cut()
                behind = letter()
                await broker.publish(to(queue, [behind]))
                assert [each.envelope for each in await take(broker, queue, 1)] == [behind]

    async def test_who_gives_up_what_it_has_asked_the_server_takes_nobodys_connection(
        self, rabbitmq: RabbitMQ, broker: AmqpBroker, queue: str
    ) -> None:
        """As a worker that is stopped while its prefetch grows, and runs tasks that have their grace."""
        await broker.publish(to(queue, [letter()]))
        with Proxy(rabbitmq.port) as proxy:
            async with AmqpBroker(proxy.url(rabbitmq.url)) as far:
                consumer, lost = await far.consume([queue], 1), asyncio.Event()
                async with listening(consumer) as ear:
                    (delivery,) = await ear.hears(1)
                    assert isinstance(consumer, AmqpConsumer)
                    consumer.on_lost(lost.set)
                    connection = await far.link.connection()
                    proxy.stall()
                    asking = [asyncio.create_task(each) for each in (consumer.resize(2), far.size(queue))]
                    await asyncio.wait(asking, timeout=0.1)
                    for task in asking:
                        assert task.cancel()
                    proxy.flow()
                    await asyncio.wait(asking)
                    await consumer.settle([Settlement(delivery, ACK)])
                    await consumer.heard()
                    assert await far.size(queue) == 0
                    assert await far.link.connection() is connection
                    assert not lost.is_set()

    async def test_what_comes_back_to_whoever_held_it_is_not_handed_out_again(
        self, broker: AmqpBroker, queue: str
    ) -> None:
        await broker.publish(to(queue, [letter(b"1"), letter(b"2")]))
        consumer = await broker.consume([queue], 3)
        async with listening(consumer) as ear:
            old = await ear.hears(2)
            lost: list[int] = []
            consumer.on_lost(lambda: lost.append(1))
            await cut(consumer)
            third = letter(b"3")
            await broker.publish(to(queue, [third]))
            assert [delivery.envelope for delivery in (await ear.hears(3))[2:]] == [third]
            await settle_all(consumer, old, ACK)
            await settle_all(consumer, ear.deliveries[2:], ACK)
        assert len(ear.deliveries) == 3
        assert lost
        assert await broker.size(queue) == 0

    async def test_what_ended_while_it_was_lost_is_settled_when_it_comes_back(
        self, broker: AmqpBroker, queue: str
    ) -> None:
        envelopes = [letter(b"1"), letter(b"2"), letter(b"3")]
        await broker.publish(to(queue, envelopes))
        consumer = await broker.consume([queue], 10)
        async with listening(consumer) as ear:
            first, second, third = await ear.hears(3)
            await cut(consumer)
            await consumer.settle([Settlement(first, ACK), Settlement(second, dead("why")), Settlement(third, RETURN)])
            assert (await ear.hears(4))[3].envelope == third.envelope

            async def is_buried() -> bool:
                return second.envelope in [each.envelope for each in await broker.dead_letters()]

            await until(is_buried)
        assert len(ear.deliveries) == 4
        assert await broker.size(queue) == 1

    async def test_what_goes_back_comes_back_when_its_claim_is_lost_in_the_middle_of_settling(
        self, broker: AmqpBroker, queue: str
    ) -> None:
        await broker.publish(to(queue, [letter(b"1"), letter(b"2")]))
        consumer = await broker.consume([queue], 10)
        async with listening(consumer) as ear:
            first, second = await ear.hears(2)
            settling = asyncio.create_task(
                consumer.settle([Settlement(first, dead("why")), Settlement(second, REQUEUE)])
            )
            await asyncio.sleep(0)  # the dead letter is on its way, and nothing confirms it yet
            assert not settling.done()
            await cut(consumer)
            await settling
            (again,) = (await ear.hears(3))[2:]
            assert (again.envelope, again.redelivered) == (second.envelope, True)
            await settle_all(consumer, [again], ACK)
        assert len(ear.deliveries) == 3
        assert await broker.size(queue) == 0

    async def test_a_copy_of_what_is_held_is_settled_with_it(self, broker: AmqpBroker, queue: str) -> None:
        envelope = letter()
        await broker.publish([(Route(queue), envelope)])
        async with listening(await broker.consume([queue], 10)) as ear:
            held = await ear.hears(1)
            copy = envelope._replace(head=resent(envelope.head))
            await broker.publish(to(queue, [copy, letter(b"behind")]))
            behind = (await ear.hears(2))[1]
            assert behind.envelope.body == b"behind"
            await settle_all(ear.consumer, [*held, behind], ACK)
        assert await broker.size(queue) == 0

    async def test_what_is_given_back_often_is_replaced_by_a_copy(self, rabbitmq: RabbitMQ, queue: str) -> None:
        async with AmqpBroker(rabbitmq.url, {"task_default_queue_type": "quorum"}) as broker:
            await broker.declare(Queue(queue, arguments={"x-delivery-limit": 12}))
            await broker.publish([(Route(queue), letter())])
            async with listening(await broker.consume([queue], 1)) as ear:
                for number in range(30):
                    await settle_all(ear.consumer, (await ear.hears(number + 1))[-1:], REQUEUE)
                await ear.hears(31)

    async def test_what_is_held_through_many_losses_is_not_dropped_for_that(
        self, rabbitmq: RabbitMQ, queue: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("umbel.brokers.amqp.shelter.RETURNS", 0.2)
        async with AmqpBroker(rabbitmq.url, {"task_default_queue_type": "quorum"}) as broker:
            await broker.declare(Queue(queue, arguments={"x-delivery-limit": 12}))
            envelopes = [letter(b"%d" % number) for number in range(5)]
            await broker.publish(to(queue, envelopes))
            consumer = await broker.consume([queue], 10)
            async with listening(consumer) as ear:
                held, *given_back = await ear.hears(5)
                for _ in range(25):
                    given_back = await self.given_back_and_again(consumer, ear, given_back)
                given_back = await self.given_back_and_again(consumer, ear, [held, *given_back])
                await settle_all(consumer, given_back, ACK)

    async def given_back_and_again(self, consumer: AmqpConsumer, ear: Ear, held: list[Delivery]) -> list[Delivery]:
        """Lose the connection; what is held goes back, as a node has it that has not started it, and comes again."""
        await cut(consumer)
        await settle_all(consumer, held, RETURN)
        known, bodies = len(ear.deliveries), {delivery.envelope.body for delivery in held}

        async def are_all_here() -> bool:
            return bodies <= {delivery.envelope.body for delivery in ear.deliveries[known:]}

        await until(are_all_here)
        return ear.deliveries[known:]


class TestStarts:
    """What a message says of its starts."""

    @pytest.fixture(autouse=True)
    def quickly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have copies that nobody holds go home soon."""
        monkeypatch.setattr("umbel.brokers.amqp.shelter.RETURNS", 0.2)

    async def test_a_start_is_known_to_whoever_gets_the_message_next(self, broker: AmqpBroker, queue: str) -> None:
        await broker.publish([(Route(queue), letter())])
        for starts in (1, 2, 3):
            consumer = await broker.consume([queue], 1)
            async with listening(consumer) as ear:
                (delivery,) = await ear.hears(1)
                assert consumer.starts_of(delivery) == starts - 1
                for _ in range(2):  # as when the first answer was lost
                    await consumer.count_start(delivery, starts)
        consumer = await broker.consume([queue], 1)
        async with listening(consumer) as ear:
            (delivery,) = await ear.hears(1)
            assert (consumer.starts_of(delivery), starts_of(delivery.envelope.head)) == (3, 3)
            await settle_all(consumer, [delivery], ACK)
        assert await broker.size(queue) == 0

    async def test_a_start_that_is_given_back_does_not_count(self, broker: AmqpBroker, queue: str) -> None:
        await broker.publish([(Route(queue), letter())])
        for verdict in (REQUEUE, RETURN, REQUEUE):
            consumer = await broker.consume([queue], 1)
            async with listening(consumer) as ear:
                (delivery,) = await ear.hears(1)
                await consumer.count_start(delivery, 1 + consumer.starts_of(delivery))
                await consumer.resize(0)  # as one does that stops: what it gives back is not handed out to it
                await consumer.settle([Settlement(delivery, verdict)])
        consumer = await broker.consume([queue], 1)
        async with listening(consumer) as ear:
            (delivery,) = await ear.hears(1)
            assert starts_of(delivery.envelope.head) == 0

    async def test_what_is_given_back_as_a_copy_may_come_to_whoever_gave_it_back(
        self, broker: AmqpBroker, queue: str
    ) -> None:
        await broker.publish([(Route(queue), letter())])
        consumer = await broker.consume([queue], 5)
        async with listening(consumer) as ear:
            for times in range(1, 31):
                delivery = (await ear.hears(times))[-1]
                await consumer.count_start(delivery, 1)
                await consumer.settle([Settlement(delivery, REQUEUE)])
            await settle_all(consumer, (await ear.hears(31))[-1:], ACK)
        assert await broker.size(queue) == 0

    async def test_what_gets_a_copy_while_it_is_given_back_is_given_back(
        self, broker: AmqpBroker, queue: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await broker.publish(to(queue, [letter(b"1"), letter(b"2")]))
        consumer = await broker.consume([queue], 2)
        async with listening(consumer) as ear:
            one, two = await ear.hears(2)
            publish, begun, go_on = consumer._outlet.publish, asyncio.Event(), asyncio.Event()

            async def late(messages: Sequence[tuple[Route, Envelope]]) -> None:
                begun.set()
                await go_on.wait()
                await publish(messages)

            monkeypatch.setattr(consumer._outlet, "publish", late)
            await consumer.resize(0)
            follow_up = (Route(f"{queue}-next"), letter())
            settling = asyncio.create_task(
                consumer.settle([Settlement(one, RETURN), Settlement(two, ACK, [follow_up])])
            )
            await begun.wait()
            await consumer.count_start(one, 1)
            go_on.set()
            await settling
        assert [each.envelope.body for each in await take(broker, queue, 1)] == [b"1"]

    async def test_what_is_handed_out_again_is_presumed_to_have_been_started_once(
        self, broker: AmqpBroker, queue: str
    ) -> None:
        await broker.publish([(Route(queue), letter())])
        for presumed in (0, 1, 1):
            consumer = await broker.consume([queue], 1)
            async with listening(consumer) as ear:
                (delivery,) = await ear.hears(1)
                assert (delivery.redelivered, consumer.starts_of(delivery)) == (presumed > 0, presumed)

    async def test_what_is_lost_meanwhile_is_left_alone(self, broker: AmqpBroker, queue: str) -> None:
        await broker.publish([(Route(queue), letter())])
        consumer = await broker.consume([queue], 1)
        async with listening(consumer) as ear:
            (delivery,) = await ear.hears(1)
            await consumer.settle([Settlement(delivery, ACK)])
            await consumer.count_start(delivery, 2)
        assert await broker.size(queue) == 0
