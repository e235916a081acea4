"""What every adapter must do that keeps marks."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Protocol, Self

import anyio
import pytest

from umbel.errors import StoreError
from umbel.ports import Mark, Marks
from umbel.testing.conformance.harness import PATIENCE, AdapterSuite, until

ODD_KEYS = ["", " ", "a:b", "żółw 🐢", "'; DROP TABLE marks; --", "%_*?[", "x" * 2000, "\x00", "a\x00b", "\n"]


class MarksAdapter(Marks, Protocol):
    """An adapter with the power."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Listener:
    """Everything that a watch told while somebody listened."""

    def __init__(self) -> None:
        self.batches: list[list[Mark]] = []
        self._news = anyio.Event()

    @property
    def later(self) -> list[Mark]:
        """What came after the first list."""
        return [mark for batch in self.batches[1:] for mark in batch]

    async def listen(self, watch: AsyncIterator[list[Mark]]) -> None:
        async for batch in watch:
            self.batches.append(batch)
            self._news.set()
            self._news = anyio.Event()

    async def begins(self) -> None:
        """Return once the first list has come."""
        while not self.batches:
            await self._news.wait()

    async def hears(self, mark: Mark) -> None:
        """Return once this one has come after the first list."""
        with anyio.fail_after(PATIENCE):
            while mark not in self.later:
                await self._news.wait()


@asynccontextmanager
async def watching(marks: Marks, prefix: str) -> AsyncIterator[Listener]:
    """A watch that has told its first list, for the length of the block."""
    listener = Listener()
    async with anyio.create_task_group() as group:
        group.start_soon(listener.listen, marks.watch_marks(prefix))
        with anyio.fail_after(PATIENCE):
            await listener.begins()
        yield listener
        group.cancel_scope.cancel()


def named(prefix: str, *names: str, value: str = "", expires: float | None = None) -> list[Mark]:
    return [Mark(f"{prefix}{name}", value, expires) for name in names]


class MarksConformance(AdapterSuite):
    """Small facts: reading, writing, counting, expiry, watching. Override ``make_marks``."""

    @pytest.fixture
    def make_marks(self) -> Callable[[], MarksAdapter]:
        """Makes an adapter that is not entered yet; all that one test makes are on the same store."""
        pytest.fail("override the fixture make_marks")

    @pytest.fixture
    async def marks(self, make_marks: Callable[[], MarksAdapter]) -> AsyncIterator[MarksAdapter]:
        async with make_marks() as marks:
            yield marks

    @pytest.fixture
    def prefix(self) -> str:
        """The beginning of keys that no other test uses."""
        return f"{uuid.uuid4().hex}:"

    async def test_it_offers_the_power(self, marks: MarksAdapter) -> None:
        assert isinstance(marks, Marks)

    # -- keeping

    @pytest.mark.parametrize("odd", ODD_KEYS, ids=lambda key: repr(key[:20]))
    async def test_keys_and_values_are_taken_as_they_are(self, marks: MarksAdapter, prefix: str, odd: str) -> None:
        await marks.put_marks([Mark(prefix + odd, odd, None)])
        assert await marks.get_marks([prefix + odd]) == {prefix + odd: odd}

    async def test_what_does_not_exist_is_left_out(self, marks: MarksAdapter, prefix: str) -> None:
        await marks.put_marks(named(prefix, "a", value="1"))
        assert await marks.get_marks([f"{prefix}b", f"{prefix}a", prefix]) == {f"{prefix}a": "1"}
        assert await marks.get_marks([]) == {}

    async def test_a_mark_takes_the_place_of_one_with_its_key(self, marks: MarksAdapter, prefix: str) -> None:
        await marks.put_marks(named(prefix, "a", value="old", expires=time.time() + 0.05))
        await marks.put_marks(named(prefix, "a", value="new"))
        await anyio.sleep(0.06)
        assert await marks.get_marks([f"{prefix}a"]) == {f"{prefix}a": "new"}

    async def test_within_one_call_the_last_counts(self, marks: MarksAdapter, prefix: str) -> None:
        await marks.put_marks([*named(prefix, "a", value="1"), *named(prefix, "a", value="2")])
        assert await marks.get_marks([f"{prefix}a"]) == {f"{prefix}a": "2"}

    async def test_dropped_marks_are_gone(self, marks: MarksAdapter, prefix: str) -> None:
        await marks.put_marks(named(prefix, "a", "b", "c"))
        await marks.drop_marks([f"{prefix}a", f"{prefix}unknown", f"{prefix}c"])
        assert set(await marks.get_marks([f"{prefix}{name}" for name in "abc"])) == {f"{prefix}b"}

    async def test_calls_about_nothing_are_no_errors(self, marks: MarksAdapter) -> None:
        await marks.put_marks([])
        await marks.drop_marks([])
        assert await marks.put_marks_if_absent([]) == frozenset()
        assert await marks.add_to_marks([], 1, time.time() + 60) == {}

    async def test_thousands_go_in_one_call(self, marks: MarksAdapter, prefix: str) -> None:
        keys = [f"{prefix}{number}" for number in range(3000)]
        await marks.put_marks([Mark(key, key, None) for key in keys])
        assert await marks.get_marks(keys) == {key: key for key in keys}
        await marks.drop_marks(keys)
        assert await marks.get_marks(keys) == {}

    async def test_a_second_adapter_reads_what_the_first_wrote(
        self, marks: MarksAdapter, make_marks: Callable[[], MarksAdapter], prefix: str
    ) -> None:
        await marks.put_marks(named(prefix, "a", value="1"))
        async with make_marks() as other:
            assert await other.get_marks([f"{prefix}a"]) == {f"{prefix}a": "1"}
            await other.drop_marks([f"{prefix}a"])
        assert await marks.get_marks([f"{prefix}a"]) == {}

    # -- only where there is none

    async def test_only_what_is_absent_is_written_and_named(self, marks: MarksAdapter, prefix: str) -> None:
        await marks.put_marks(named(prefix, "a", value="old"))
        written = await marks.put_marks_if_absent(named(prefix, "a", "b", value="new"))
        assert written == {f"{prefix}b"}
        assert await marks.get_marks([f"{prefix}a", f"{prefix}b"]) == {f"{prefix}a": "old", f"{prefix}b": "new"}

    async def test_of_two_with_one_key_the_first_is_written(self, marks: MarksAdapter, prefix: str) -> None:
        pair = [*named(prefix, "a", value="first"), *named(prefix, "a", value="second")]
        assert await marks.put_marks_if_absent(pair) == {f"{prefix}a"}
        assert await marks.get_marks([f"{prefix}a"]) == {f"{prefix}a": "first"}

    async def test_each_is_written_once_whoever_tries_at_the_same_time(
        self, marks: MarksAdapter, make_marks: Callable[[], MarksAdapter], prefix: str
    ) -> None:
        written: list[tuple[str, str]] = []
        names = [f"{number}" for number in range(50)]

        async def attempt(adapter: Marks, who: str) -> None:
            written.extend((key, who) for key in await adapter.put_marks_if_absent(named(prefix, *names, value=who)))

        async with make_marks() as other, anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(attempt, (marks, other)[number % 2], f"{number}")
        assert len(written) == 50
        assert await marks.get_marks([f"{prefix}{name}" for name in names]) == dict(written)

    # -- counting

    async def test_adding_begins_at_zero_and_gives_the_new_numbers(self, marks: MarksAdapter, prefix: str) -> None:
        soon = time.time() + 600
        a, b = f"{prefix}a", f"{prefix}b"
        assert await marks.add_to_marks([a], 1, soon) == {a: 1}
        assert await marks.add_to_marks([a, b], 2, soon) == {a: 3, b: 2}
        assert await marks.add_to_marks([b], -3, soon) == {b: -1}
        assert await marks.get_marks([a, b]) == {a: "3", b: "-1"}

    async def test_a_number_that_was_put_can_be_added_to(self, marks: MarksAdapter, prefix: str) -> None:
        await marks.put_marks(named(prefix, "a", value="40"))
        assert await marks.add_to_marks([f"{prefix}a"], 2, time.time() + 600) == {f"{prefix}a": 42}

    async def test_what_is_no_number_cannot_be_added_to_and_nothing_is_written(
        self, marks: MarksAdapter, prefix: str
    ) -> None:
        await marks.put_marks(named(prefix, "b", value="text"))
        with pytest.raises(StoreError, match="text"):
            await marks.add_to_marks([f"{prefix}a", f"{prefix}b"], 1, time.time() + 600)
        assert await marks.get_marks([f"{prefix}a", f"{prefix}b"]) == {f"{prefix}b": "text"}

    async def test_no_addition_is_lost(
        self, marks: MarksAdapter, make_marks: Callable[[], MarksAdapter], prefix: str
    ) -> None:
        keys = [f"{prefix}{number}" for number in range(5)]
        seen: list[int] = []

        async def count(adapter: Marks) -> None:
            for _ in range(10):
                seen.append((await adapter.add_to_marks(keys, 1, time.time() + 600))[keys[0]])

        async with make_marks() as other, anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(count, (marks, other)[number % 2])
        assert await marks.get_marks(keys) == dict.fromkeys(keys, "100")
        assert sorted(seen) == list(range(1, 101))

    # -- expiry

    async def test_an_expired_mark_is_as_good_as_none(self, marks: MarksAdapter, prefix: str) -> None:
        a, b, c = keys = [f"{prefix}{name}" for name in "abc"]
        await marks.put_marks([Mark(key, "7", time.time() + 0.2) for key in keys])

        async def gone() -> bool:
            return await marks.get_marks(keys) == {}

        await until(gone)
        assert await marks.put_marks_if_absent([Mark(a, "new", None)]) == {a}
        assert await marks.add_to_marks([b], 1, time.time() + 600) == {b: 1}
        async with watching(marks, prefix) as listener:
            assert {mark.key for mark in listener.batches[0]} == {a, b}
        await marks.drop_marks([c])

    async def test_adding_renews_the_expiry(self, marks: MarksAdapter, prefix: str) -> None:
        key = f"{prefix}a"
        await marks.add_to_marks([key], 1, time.time() + 0.1)
        await marks.add_to_marks([key], 1, time.time() + 600)
        await anyio.sleep(0.12)
        assert await marks.get_marks([key]) == {key: "2"}

    # -- watching

    async def test_a_watch_tells_all_that_begin_so_first(self, marks: MarksAdapter, prefix: str) -> None:
        expires = float(round(time.time()) + 600)
        chosen = [*named(prefix, "a", "b", "", value="1"), Mark(f"{prefix}c", "2", expires)]
        await marks.put_marks([*chosen, Mark(prefix[:-1], "", None), Mark(f"{prefix[:-1]};", "", None)])
        async with watching(marks, prefix) as listener:
            assert sorted(listener.batches[0]) == sorted(chosen)

    async def test_a_watch_of_nothing_yet_tells_an_empty_list_first(self, marks: MarksAdapter, prefix: str) -> None:
        async with watching(marks, prefix) as listener:
            assert listener.batches[0] == []

    async def test_a_watch_tells_what_is_put_later_however_it_is_put(
        self, marks: MarksAdapter, make_marks: Callable[[], MarksAdapter], prefix: str
    ) -> None:
        expires = float(round(time.time()) + 600)
        await marks.put_marks(named(prefix, "old"))
        async with make_marks() as writer, watching(marks, prefix) as listener:
            await writer.put_marks(named("other", "x"))
            await writer.put_marks(named(prefix, "a", value="1"))
            await listener.hears(Mark(f"{prefix}a", "1", None))
            await writer.put_marks_if_absent(named(prefix, "a", "b", value="2", expires=expires))
            await listener.hears(Mark(f"{prefix}b", "2", expires))
            await writer.add_to_marks([f"{prefix}c"], 3, expires)
            await listener.hears(Mark(f"{prefix}c", "3", expires))
            await writer.put_marks(named(prefix, "a", value="4"))
            await listener.hears(Mark(f"{prefix}a", "4", None))
            assert [mark.key for mark in listener.later] == [f"{prefix}{name}" for name in "abca"]
            assert all(listener.batches[1:])

    async def test_what_is_dropped_is_not_told(self, marks: MarksAdapter, prefix: str) -> None:
        await marks.put_marks(named(prefix, "a", "b"))
        async with watching(marks, prefix) as listener:
            await marks.drop_marks([f"{prefix}a"])
            await marks.put_marks(named(prefix, "c"))
            await listener.hears(*named(prefix, "c"))
            await marks.drop_marks([f"{prefix}c"])
            await marks.put_marks(named(prefix, "c", value="again"))
            await listener.hears(*named(prefix, "c", value="again"))
            assert {mark.key for mark in listener.later} == {f"{prefix}c"}

    async def test_the_last_value_of_a_burst_is_always_told(self, marks: MarksAdapter, prefix: str) -> None:
        async with watching(marks, prefix) as listener:
            for number in range(100):
                await marks.put_marks(named(prefix, "a", value=f"{number}"))
            await listener.hears(*named(prefix, "a", value="99"))
            values = [int(mark.value) for mark in listener.later]
        assert values == sorted(set(values))
        assert values[-1] == 99

    async def test_no_mark_is_missed_between_the_first_list_and_the_rest(
        self, marks: MarksAdapter, make_marks: Callable[[], MarksAdapter], prefix: str
    ) -> None:
        names = [f"{number:03}" for number in range(200)]

        async def put_all(writer: Marks, names: Sequence[str]) -> None:
            for name in names:
                await writer.put_marks(named(prefix, name))

        async with make_marks() as writer, anyio.create_task_group() as group:
            group.start_soon(put_all, writer, names)
            async with watching(marks, prefix) as listener:
                last = named(prefix, names[-1])
                if last[0] not in listener.batches[0]:
                    await listener.hears(*last)
                told = [mark.key for batch in listener.batches for mark in batch]
        assert told == [f"{prefix}{name}" for name in names]

    async def test_many_watches_are_told_each_its_own(self, marks: MarksAdapter, prefix: str) -> None:
        async with watching(marks, f"{prefix}a") as left, watching(marks, f"{prefix}b") as right:
            await marks.put_marks(named(prefix, "a1", "b1"))
            await left.hears(*named(prefix, "a1"))
            await right.hears(*named(prefix, "b1"))
            assert (left.later, right.later) == (named(prefix, "a1"), named(prefix, "b1"))

    async def test_a_watch_can_be_left_and_begun_again(self, marks: MarksAdapter, prefix: str) -> None:
        for number in range(3):
            async with watching(marks, prefix) as listener:
                assert len(listener.batches[0]) == number
                await marks.put_marks(named(prefix, f"{number}"))
                await listener.hears(*named(prefix, f"{number}"))
