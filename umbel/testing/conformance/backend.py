"""What every result backend must do."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable
from itertools import pairwise

import anyio
import pytest

from umbel.model import SealedRecord
from umbel.ports import ResultBackend
from umbel.testing.conformance.harness import PATIENCE, AdapterSuite, on_another_loop, until


def some_id() -> str:
    return str(uuid.uuid4())


class BackendConformance(AdapterSuite):
    """Records: the fence, lives, expiry, watching. Override ``make_backend``."""

    @pytest.fixture
    def make_backend(self) -> Callable[[], ResultBackend]:
        """Makes an adapter that is not entered yet; all that one test makes are on the same store."""
        pytest.fail("override the fixture make_backend")

    @pytest.fixture
    async def backend(self, make_backend: Callable[[], ResultBackend]) -> AsyncIterator[ResultBackend]:
        async with make_backend() as backend:
            yield backend

    def as_kept(self, record: SealedRecord) -> SealedRecord:
        """What comes back of a record; override it for a store that does not tell when one expires."""
        return record

    # -- keeping

    @pytest.mark.parametrize("payload", [b"", b"\x00\xff", bytes(range(256)), b"x" * 1_000_000], ids=len)
    async def test_a_record_comes_back_as_it_was(self, backend: ResultBackend, payload: bytes) -> None:
        record = SealedRecord(some_id(), "SUCCESS", payload, time.time() + 3600, 3)
        await backend.store([record])
        assert await backend.load([record.id]) == {record.id: self.as_kept(record)}

    async def test_unknown_ids_are_left_out(self, backend: ResultBackend) -> None:
        record = SealedRecord(some_id(), "STARTED", b"")
        await backend.store([record])
        assert await backend.load([some_id(), record.id, some_id()]) == {record.id: record}
        assert await backend.load([]) == {}

    async def test_thousands_are_stored_and_loaded_in_one_call(self, backend: ResultBackend) -> None:
        records = {id: SealedRecord(id, "SUCCESS", id.encode()) for id in (some_id() for _ in range(3000))}
        await backend.store(list(records.values()))
        assert await backend.load(list(records)) == records

    async def test_storing_nothing_is_no_error(self, backend: ResultBackend) -> None:
        await backend.store([])

    async def test_a_second_adapter_reads_what_the_first_wrote(
        self, backend: ResultBackend, make_backend: Callable[[], ResultBackend]
    ) -> None:
        record = SealedRecord(some_id(), "SUCCESS", b"1")
        await backend.store([record])
        async with make_backend() as other:
            assert await other.load([record.id]) == {record.id: record}

    async def test_two_loops_use_one_adapter_side_by_side(self, backend: ResultBackend) -> None:
        mine, theirs = ([SealedRecord(some_id(), "SUCCESS", b"1") for _ in range(20)] for _ in range(2))
        ids = [record.id for record in (*mine, *theirs)]
        seen: list[SealedRecord] = []

        async def watch() -> None:
            async for record in backend.watch(ids):
                seen.append(record)

        async def elsewhere() -> None:
            async with backend:
                for record in theirs:
                    await backend.store([record])

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(watch)
                group.start_soon(on_another_loop, elsewhere)
                for record in mine:
                    await backend.store([record])
        assert sorted(seen) == sorted([*mine, *theirs])
        assert len(await backend.load(ids)) == 40

    # -- the fence

    @pytest.mark.parametrize("final", ["SUCCESS", "FAILURE", "REVOKED"])
    @pytest.mark.parametrize("late", ["STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED", "COUNTING"])
    async def test_a_final_record_is_not_changed_in_its_life(
        self, backend: ResultBackend, final: str, late: str
    ) -> None:
        record = SealedRecord(some_id(), final, b"first")
        await backend.store([record])
        await backend.store([SealedRecord(record.id, late, b"late")])
        assert await backend.load([record.id]) == {record.id: record}

    @pytest.mark.parametrize("state", ["STARTED", "SUCCESS"])
    async def test_a_newer_life_replaces_even_a_final_record(self, backend: ResultBackend, state: str) -> None:
        id = some_id()
        again = SealedRecord(id, state, b"again", life=1)
        await backend.store([SealedRecord(id, "FAILURE", b"first")])
        await backend.store([again])
        assert await backend.load([id]) == {id: again}

    @pytest.mark.parametrize("state", ["STARTED", "SUCCESS"])
    @pytest.mark.parametrize("newer", ["STARTED", "FAILURE"])
    async def test_an_older_life_replaces_nothing(self, backend: ResultBackend, state: str, newer: str) -> None:
        record = SealedRecord(some_id(), newer, b"newer", life=2)
        await backend.store([record])
        await backend.store([SealedRecord(record.id, state, b"older", life=1)])
        assert await backend.load([record.id]) == {record.id: record}

    async def test_a_record_that_is_not_final_is_replaced_by_any_of_its_life(self, backend: ResultBackend) -> None:
        id = some_id()
        for state in ("STARTED", "COUNTING", "RETRY", "STARTED", "SUCCESS"):
            record = SealedRecord(id, state, state.encode())
            await backend.store([record])
            assert await backend.load([id]) == {id: record}

    async def test_within_one_call_the_order_counts(self, backend: ResultBackend) -> None:
        id = some_id()
        done = SealedRecord(id, "SUCCESS", b"2")
        await backend.store([SealedRecord(id, "STARTED", b"1"), done, SealedRecord(id, "FAILURE", b"3")])
        assert await backend.load([id]) == {id: done}

    async def test_what_may_not_replace_does_not_hinder_its_neighbours(self, backend: ResultBackend) -> None:
        first = SealedRecord(some_id(), "SUCCESS", b"1")
        await backend.store([first])
        second = SealedRecord(some_id(), "SUCCESS", b"2")
        await backend.store([SealedRecord(first.id, "FAILURE", b""), second])
        assert await backend.load([first.id, second.id]) == {first.id: first, second.id: second}

    # -- forgetting

    async def test_forgotten_records_are_gone(self, backend: ResultBackend) -> None:
        records = [SealedRecord(some_id(), "SUCCESS", b"") for _ in range(3)]
        await backend.store(records)
        await backend.forget([records[0].id, some_id(), records[2].id])
        assert set(await backend.load([record.id for record in records])) == {records[1].id}
        await backend.forget([])

    async def test_after_forgetting_the_fence_is_down(self, backend: ResultBackend) -> None:
        id = some_id()
        await backend.store([SealedRecord(id, "SUCCESS", b"", life=4)])
        await backend.forget([id])
        record = SealedRecord(id, "STARTED", b"")
        await backend.store([record])
        assert await backend.load([id]) == {id: record}

    async def test_an_expired_record_is_as_if_it_was_never_there(self, backend: ResultBackend) -> None:
        id = some_id()
        await backend.store([SealedRecord(id, "SUCCESS", b"old", time.time() + 0.2, life=1)])

        async def gone() -> bool:
            return await backend.load([id]) == {}

        await until(gone)
        record = SealedRecord(id, "STARTED", b"new")
        await backend.store([record])
        assert await backend.load([id]) == {id: record}

    # -- watching

    async def test_a_watch_gives_what_is_there_and_ends_with_the_final_record(self, backend: ResultBackend) -> None:
        done, other = (SealedRecord(some_id(), "SUCCESS", b"") for _ in range(2))
        await backend.store([done, other])
        with anyio.fail_after(PATIENCE):
            assert [record async for record in backend.watch([done.id])] == [done]

    async def test_watching_nothing_ends_at_once(self, backend: ResultBackend) -> None:
        with anyio.fail_after(PATIENCE):
            assert [record async for record in backend.watch([])] == []

    async def test_a_watch_gives_every_change_that_it_had_time_for(
        self, backend: ResultBackend, make_backend: Callable[[], ResultBackend]
    ) -> None:
        id = some_id()
        states = ["STARTED", "COUNTING", "RETRY", "STARTED", "SUCCESS"]
        records = [SealedRecord(id, state, b"%d" % number) for number, state in enumerate(states)]
        seen: list[SealedRecord] = []
        async with make_backend() as writer:
            with anyio.fail_after(PATIENCE):
                await writer.store(records[:1])
                async for record in backend.watch([id]):
                    seen.append(record)
                    await writer.store(records[len(seen) : len(seen) + 1])
        assert seen == records

    async def test_the_last_of_a_burst_of_changes_is_always_given(self, backend: ResultBackend) -> None:
        id = some_id()
        seen: list[SealedRecord] = []
        done = SealedRecord(id, "SUCCESS", b"done")

        async def watch() -> None:
            async for record in backend.watch([id]):
                seen.append(record)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(watch)
                for number in range(50):
                    await backend.store([SealedRecord(id, "COUNTING", b"%d" % number)])
                await backend.store([done])
        assert seen[-1] == done
        assert all(one != next_ for one, next_ in pairwise(seen))

    async def test_one_watch_follows_many_ids(self, backend: ResultBackend) -> None:
        records = {id: SealedRecord(id, "SUCCESS", id.encode()) for id in (some_id() for _ in range(200))}
        seen: dict[str, SealedRecord] = {}

        async def watch() -> None:
            async for record in backend.watch([*records, *records]):
                assert record.id not in seen
                seen[record.id] = record

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                group.start_soon(watch)
                for record in records.values():
                    await backend.store([record])
        assert seen == records

    async def test_many_watches_of_one_id_all_see_it(self, backend: ResultBackend) -> None:
        done = SealedRecord(some_id(), "SUCCESS", b"")
        seen: list[SealedRecord] = []

        async def watch() -> None:
            async for record in backend.watch([done.id]):
                seen.append(record)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(watch)
                await anyio.lowlevel.checkpoint()
                await backend.store([done])
        assert seen == [done] * 20

    async def test_a_new_life_is_watched_to_its_own_end(self, backend: ResultBackend) -> None:
        id = some_id()
        states = [SealedRecord(id, "STARTED", b"", life=1), SealedRecord(id, "SUCCESS", b"", life=1)]
        await backend.store([SealedRecord(id, "FAILURE", b"first"), states[0]])
        seen: list[SealedRecord] = []
        with anyio.fail_after(PATIENCE):
            async for record in backend.watch([id]):
                seen.append(record)
                await backend.store(states[1:])
        assert seen == states

    async def test_a_watch_can_be_left_and_begun_again(self, backend: ResultBackend) -> None:
        record = SealedRecord(some_id(), "STARTED", b"")
        await backend.store([record])
        for _ in range(3):
            with anyio.move_on_after(0.05):
                async for seen in backend.watch([record.id]):
                    assert seen == record
