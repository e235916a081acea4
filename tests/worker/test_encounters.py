"""What is done with a message that comes again, by what is recorded of its task."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from umbel.backends.memory import MemoryBackend
from umbel.brokers.memory import MemoryBroker
from umbel.clock import SystemClock
from umbel.errors import StoreUnreachable, WorkerLostError
from umbel.model import ACK, Delivery, Envelope, Message, Record, Route, SealedRecord, Settlement, State, Verdict, dead
from umbel.ports import Broker, Consumer
from umbel.testing.conformance.harness import listening, take, until
from umbel.wire import task_v2
from umbel.wire.results import seal
from umbel.worker.encounters import Encounters, came_before
from umbel.worker.settling import Settling

CLOCK = SystemClock()


class Nobody:
    """A node that has nothing yet."""

    def unended(self) -> set[str]:
        return set()

    present = unended


class Dying:
    """A consumer whose node is killed before it can settle anything: no call of ``settle`` ever ends."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.reached = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._consumer, name)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        self.reached.set()
        await asyncio.Event().wait()


@asynccontextmanager
async def settling(broker: Broker, consumer: Consumer, backend: MemoryBackend) -> AsyncIterator[Settling]:
    made = Settling(broker, consumer, backend, CLOCK)
    service = asyncio.create_task(made.run())
    yield made
    service.cancel()
    with suppress(asyncio.CancelledError):
        await service


def end_of(delivery: Delivery) -> SealedRecord:
    return seal(Record(id=delivery.envelope.id, state=State.FAILURE, value=WorkerLostError("three times")))


@pytest.mark.parametrize("verdict", [ACK, dead("three starts")], ids=["settled", "buried"])
async def test_one_whose_worker_died_between_its_record_and_its_verdict_gets_that_verdict(verdict: Verdict) -> None:
    name = uuid.uuid4().hex
    envelope = Envelope("plain", "lost", b"{}", b"[]")
    async with MemoryBroker(f"memory://{name}") as broker, MemoryBackend(f"memory://{name}-results") as backend:
        await broker.publish([(Route("q"), envelope)])
        async with listening(await broker.consume(["q"], 1)) as ear:
            (delivery,) = await ear.hears(1)
            dying = Dying(ear.consumer)
            async with settling(broker, dying, backend) as first:  # type: ignore[arg-type]
                first.settle([Settlement(delivery, verdict, (), end_of(delivery))])
                await dying.reached.wait()
            assert (await backend.load(["lost"]))["lost"].state == "FAILURE"
            assert await broker.dead_letters() == []
        async with listening(await broker.consume(["q"], 1)) as ear:
            (delivery,) = await ear.hears(1)
            async with settling(broker, ear.consumer, backend) as second:
                started: list[Delivery] = []
                encounters = Encounters(backend, CLOCK, second, "here", Nobody(), started.extend, once=True)
                services = [asyncio.create_task(each) for each in encounters.services()]
                encounters.take([delivery])

                async def is_settled() -> bool:
                    return not encounters._waiting and second.idle

                await until(is_settled)
                for service in services:
                    service.cancel()
                await asyncio.gather(*services, return_exceptions=True)
        letters = [(letter.envelope, letter.reason) for letter in await broker.dead_letters()]
        assert letters == ([(envelope, "three starts")] if verdict.kind == "dead" else [])
        assert started == []
        assert await broker.size("q") == 0


class Forgetful(MemoryBroker):
    """A broker whose first answer is lost, the messages are not; before that it cannot be reached at all."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.calls = 0

    async def publish(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        self.calls += 1
        if self.calls > 1:
            await super().publish(messages)
        if self.calls < 3:
            error = StoreUnreachable("the connection was lost")
            error.doubtful = self.calls > 1
            raise error


@pytest.mark.parametrize("early", [False, True], ids=["with its settlement", "after it"])
async def test_what_follows_a_task_is_marked_when_it_is_sent_again_and_may_have_left(early: bool) -> None:
    name = uuid.uuid4().hex
    sent = task_v2.encode(Message(task="next", id="next"), "plain")
    async with Forgetful(f"memory://{name}") as broker, MemoryBackend(f"memory://{name}-results") as backend:
        await MemoryBroker.publish(broker, [(Route("q"), Envelope("plain", "first", b"{}", b"[]"))])
        async with (
            listening(await broker.consume(["q"], 1)) as ear,
            settling(broker, ear.consumer, backend) as service,
        ):
            (delivery,) = await ear.hears(1)
            if early:
                service.follow([(Route("next"), sent)], end_of(delivery))
            else:
                service.settle([Settlement(delivery, ACK, [(Route("next"), sent)], end_of(delivery))])

            async def is_settled() -> bool:
                return service.idle

            await until(is_settled)
        copies = await take(broker, "next", 2)
    assert broker.calls == 3
    assert copies[0].envelope == sent
    assert [came_before(each) for each in copies] == [False, True]
