"""What a consumer must do that writes the records of settlements itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from umbel.model import ACK, REQUEUE, SealedRecord, Settlement
from umbel.ports import Broker, KeepsRecords, ResultBackend
from umbel.testing.conformance.harness import AdapterSuite, listening, settle_all, to


class KeepingConformance(AdapterSuite):
    """Verdict, follow-ups and record in one step. Override all four fixtures that fail here."""

    @pytest.fixture
    def make_broker(self) -> Callable[[], Broker]:
        pytest.fail("override the fixture make_broker")

    @pytest.fixture
    def make_backend(self) -> Callable[[], ResultBackend]:
        """Makes a backend on the store of ``make_broker``."""
        pytest.fail("override the fixture make_backend")

    @pytest.fixture
    def stranger(self) -> ResultBackend:
        """A backend of the same kind on another store."""
        pytest.fail("override the fixture stranger")

    @pytest.fixture
    async def broker(self, make_broker: Callable[[], Broker]) -> AsyncIterator[Broker]:
        async with make_broker() as broker:
            yield broker

    @pytest.fixture
    async def backend(self, make_backend: Callable[[], ResultBackend]) -> AsyncIterator[ResultBackend]:
        async with make_backend() as backend:
            yield backend

    async def test_it_keeps_the_records_of_its_own_store_only(
        self, broker: Broker, backend: ResultBackend, stranger: ResultBackend, queue: str
    ) -> None:
        consumer = await broker.consume([queue], 1)
        assert isinstance(consumer, KeepsRecords)
        assert consumer.keeps(backend)
        assert not consumer.keeps(stranger)
        await consumer.close()

    async def test_a_settlement_writes_its_record(self, broker: Broker, backend: ResultBackend, queue: str) -> None:
        envelopes = self.numbered(broker, 3)
        await broker.publish(to(queue, envelopes))
        records = [SealedRecord(e.id, "SUCCESS", b"result of " + e.body) for e in envelopes]
        async with listening(await broker.consume([queue], 3)) as ear:
            held = await ear.hears(3)
            await ear.consumer.settle([Settlement(d, ACK, (), r) for d, r in zip(held, records, strict=True)])
            assert await backend.load([record.id for record in records]) == {record.id: record for record in records}

    async def test_a_record_may_come_with_any_verdict(self, broker: Broker, backend: ResultBackend, queue: str) -> None:
        (envelope,) = self.numbered(broker, 1)
        await broker.publish(to(queue, [envelope]))
        record = SealedRecord(envelope.id, "RETRY", b"again")
        async with listening(await broker.consume([queue], 3)) as ear:
            await ear.consumer.settle([Settlement(held, REQUEUE, (), record) for held in await ear.hears(1)])
            await ear.hears(2)
            assert await backend.load([envelope.id]) == {envelope.id: record}

    async def test_a_verdict_that_comes_too_late_writes_nothing(
        self, broker: Broker, backend: ResultBackend, queue: str
    ) -> None:
        good, lost = self.numbered(broker, 2)
        await broker.publish(to(queue, [lost, good]))
        async with listening(await broker.consume([queue], 3)) as ear:
            first, second = await ear.hears(2)
            await settle_all(ear.consumer, [first], REQUEUE)
            await ear.hears(3)
            late = Settlement(
                first, ACK, to(f"{queue}.b", self.numbered(broker, 1)), SealedRecord(lost.id, "SUCCESS", b"")
            )
            fine = Settlement(
                second, ACK, to(f"{queue}.c", self.numbered(broker, 1)), SealedRecord(good.id, "SUCCESS", b"")
            )
            await ear.consumer.settle([late, fine])
            assert set(await backend.load([lost.id, good.id])) == {good.id}
            assert await broker.size(f"{queue}.b") == 0
            assert await broker.size(f"{queue}.c") == 1

    async def test_the_record_of_a_settlement_passes_the_same_fence(
        self, broker: Broker, backend: ResultBackend, queue: str
    ) -> None:
        (envelope,) = self.numbered(broker, 1)
        await broker.publish(to(queue, [envelope]))
        first = SealedRecord(envelope.id, "SUCCESS", b"first")
        await backend.store([first])
        async with listening(await broker.consume([queue], 3)) as ear:
            late = SealedRecord(envelope.id, "FAILURE", b"second")
            await ear.consumer.settle([Settlement(held, ACK, (), late) for held in await ear.hears(1)])
        assert await backend.load([envelope.id]) == {envelope.id: first}
        assert await broker.size(queue) == 0
