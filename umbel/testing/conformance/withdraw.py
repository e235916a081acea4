"""What every broker must do that takes messages back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Protocol

import anyio
import pytest

from umbel.model import ACK, REQUEUE, Envelope, SealedRecord
from umbel.ports import Broker, ResultBackend, Withdraws
from umbel.testing.conformance.harness import PATIENCE, AdapterSuite, listening, settle_all, take, to


class WithdrawingBroker(Broker, Withdraws, Protocol):
    """A broker with the power."""


EXPIRES = time.time() + 3600


def revoked(envelope: Envelope) -> SealedRecord:
    """Tells by its payload which message it was made of."""
    return SealedRecord(envelope.id, "REVOKED", b"revoked " + envelope.body, EXPIRES)


def only(envelope: Envelope) -> list[SealedRecord]:
    return [revoked(envelope)]


def ids(things: Iterable[Envelope | SealedRecord]) -> set[str]:
    return {thing.id for thing in things}


async def withdraw(broker: Withdraws, envelopes: Sequence[Envelope]) -> Sequence[SealedRecord]:
    return await broker.withdraw([envelope.id for envelope in envelopes], only)


class WithdrawConformance(AdapterSuite):
    """Taking back what nobody was handed. Override both fixtures."""

    @pytest.fixture
    def make_broker(self) -> Callable[[], WithdrawingBroker]:
        """Makes an adapter that is not entered yet; all that one test makes are on the same store."""
        pytest.fail("override the fixture make_broker")

    @pytest.fixture
    def make_backend(self) -> Callable[[], ResultBackend]:
        """Makes a backend on the store of ``make_broker``."""
        pytest.fail("override the fixture make_backend")

    @pytest.fixture
    async def broker(self, make_broker: Callable[[], WithdrawingBroker]) -> AsyncIterator[WithdrawingBroker]:
        async with make_broker() as broker:
            yield broker

    @pytest.fixture
    async def backend(self, make_backend: Callable[[], ResultBackend]) -> AsyncIterator[ResultBackend]:
        async with make_backend() as backend:
            yield backend

    async def test_it_offers_the_power(self, broker: WithdrawingBroker) -> None:
        assert isinstance(broker, Withdraws)

    async def test_what_is_ready_or_not_yet_due_is_removed_and_its_record_stored(
        self, broker: WithdrawingBroker, backend: ResultBackend, queue: str
    ) -> None:
        ready, waiting, other, late = envelopes = self.numbered(broker, 4)
        await broker.publish(to(queue, [ready, other]))
        await broker.publish(to(f"{queue}.b", [waiting, late], time.time() + 3600))
        records = {envelope.id: revoked(envelope) for envelope in (ready, waiting)}
        assert {record.id: record for record in await withdraw(broker, [ready, waiting])} == records
        assert await backend.load([envelope.id for envelope in envelopes]) == records
        assert (await broker.size(queue), await broker.size(f"{queue}.b")) == (1, 1)
        assert [delivery.envelope for delivery in await take(broker, queue, 1)] == [other]

    async def test_a_message_may_leave_several_records(
        self, broker: WithdrawingBroker, backend: ResultBackend, queue: str
    ) -> None:
        first, second = self.numbered(broker, 2)
        await broker.publish(to(queue, [first]))
        records = [revoked(first), revoked(second)]
        assert list(await broker.withdraw([first.id], lambda envelope: records)) == records
        assert await backend.load([first.id, second.id]) == {record.id: record for record in records}

    async def test_one_that_is_to_stay_stays_where_it_was(
        self, broker: WithdrawingBroker, backend: ResultBackend, queue: str
    ) -> None:
        first, second, third = envelopes = self.numbered(broker, 3)
        twin = self.envelope(broker, b"twin", id=second.id)
        await broker.publish(to(queue, [*envelopes, twin]))
        stays = {first, twin}
        gone = await broker.withdraw(
            [first.id, second.id], lambda envelope: None if envelope in stays else only(envelope)
        )
        assert list(gone) == [revoked(second)]
        assert await backend.load([first.id, second.id]) == {second.id: revoked(second)}
        assert [delivery.envelope for delivery in await take(broker, queue, 3)] == [first, third, twin]

    async def test_what_is_not_there_is_not_named_and_leaves_no_record(
        self, broker: WithdrawingBroker, backend: ResultBackend, queue: str
    ) -> None:
        there, gone = self.numbered(broker, 2)
        await broker.publish(to(queue, [there]))
        assert list(await withdraw(broker, [gone])) == []
        assert list(await withdraw(broker, [])) == []
        assert await backend.load([there.id, gone.id]) == {}
        assert await broker.size(queue) == 1

    async def test_what_is_handed_out_is_left_alone(
        self, broker: WithdrawingBroker, backend: ResultBackend, queue: str
    ) -> None:
        envelopes = self.numbered(broker, 3)
        await broker.publish(to(queue, envelopes))
        async with listening(await broker.consume([queue], 2)) as ear:
            held = await ear.hears(2)
            assert ids(await withdraw(broker, envelopes)) == ids(envelopes[2:])
            assert set(await backend.load([envelope.id for envelope in envelopes])) == ids(envelopes[2:])
            await settle_all(ear.consumer, held[:1], ACK)
            await settle_all(ear.consumer, held[1:], REQUEUE)
            assert [delivery.envelope for delivery in (await ear.hears(3))[2:]] == envelopes[1:2]

    async def test_what_was_given_back_can_be_taken_back(self, broker: WithdrawingBroker, queue: str) -> None:
        envelopes = self.numbered(broker, 2)
        await broker.publish(to(queue, envelopes))
        await take(broker, queue, 2)
        assert ids(await withdraw(broker, envelopes)) == ids(envelopes)
        assert await broker.size(queue) == 0

    async def test_every_message_with_the_id_goes(self, broker: WithdrawingBroker, queue: str) -> None:
        (envelope,) = self.numbered(broker, 1)
        await broker.publish([*to(queue, [envelope]), *to(queue, [envelope], time.time() + 3600)])
        assert ids(await withdraw(broker, [envelope])) == {envelope.id}
        assert await broker.size(queue) == 0

    async def test_the_records_pass_the_same_fence(
        self, broker: WithdrawingBroker, backend: ResultBackend, queue: str
    ) -> None:
        ended, open_ = self.numbered(broker, 2)
        final = SealedRecord(ended.id, "SUCCESS", b"done")
        await backend.store([final, SealedRecord(open_.id, "RETRY", b"again")])
        await broker.publish(to(queue, [ended, open_]))
        assert ids(await withdraw(broker, [ended, open_])) == ids([ended, open_])
        assert await backend.load([ended.id, open_.id]) == {ended.id: final, open_.id: revoked(open_)}

    async def test_whoever_waits_for_the_result_is_told(
        self, broker: WithdrawingBroker, backend: ResultBackend, queue: str
    ) -> None:
        (envelope,) = self.numbered(broker, 1)
        await broker.publish(to(queue, [envelope]))
        seen: list[SealedRecord] = []

        async def watch() -> None:
            seen.extend([record async for record in backend.watch([envelope.id])])

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(watch)
                await anyio.lowlevel.checkpoint()
                await withdraw(broker, [envelope])
        assert seen == [revoked(envelope)]

    async def test_thousands_are_taken_back_in_one_call(self, broker: WithdrawingBroker, queue: str) -> None:
        envelopes = self.numbered(broker, 3000)
        await broker.publish(to(queue, envelopes))
        assert ids(await withdraw(broker, envelopes[::2])) == ids(envelopes[::2])
        assert [delivery.envelope for delivery in await take(broker, queue, 1500, 5000)] == envelopes[1::2]

    async def test_each_message_is_handed_out_or_taken_back_and_never_both(
        self, broker: WithdrawingBroker, make_broker: Callable[[], WithdrawingBroker], queue: str
    ) -> None:
        envelopes = self.numbered(broker, 300)
        await broker.publish(to(queue, envelopes))
        taken: set[str] = set()

        async def withdraw_all(other: Withdraws) -> None:
            for envelope in reversed(envelopes):
                taken.update(ids(await withdraw(other, [envelope])))

        async with make_broker() as other, listening(await broker.consume([queue], 3)) as ear:
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as group:
                    group.start_soon(withdraw_all, other)
                    while len(taken) + len(ear.deliveries) < 300:
                        done = len(ear.deliveries)
                        await settle_all(ear.consumer, ear.deliveries[-3:], ACK)
                        while len(ear.deliveries) == done and len(taken) + done < 300:  # noqa: ASYNC110 - two ends
                            await anyio.sleep(0.001)
            handed = {delivery.envelope.id for delivery in ear.deliveries}
        assert handed | taken == ids(envelopes)
        assert not handed & taken
