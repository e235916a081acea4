"""What every adapter must do that keeps how far tasks are."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Protocol, Self

import anyio
import pytest

from umbel.testing.conformance.harness import PATIENCE, AdapterSuite, until
from umbel.tracking import Note, Progress, Seen


class ProgressAdapter(Progress, Protocol):
    """An adapter with the power."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def note(
    id: str,
    seq: int = 1,
    payload: bytes = b"{}",
    *,
    turn: int = 0,
    final: bool = False,
    parent: str | None = None,
    share: str = "",
    seconds: float = 3600.0,
) -> Note:
    # whole seconds, which every store keeps as they are
    return Note(id, seq, payload, round(time.time()) + seconds, turn, final, parent, share)


class Listener:
    """The ids that a watch told while somebody listened."""

    def __init__(self) -> None:
        self.began = False
        self.told: list[str] = []
        self._news = anyio.Event()

    async def listen(self, watch: AsyncIterator[frozenset[str]]) -> None:
        async for ids in watch:
            self.began = True
            self.told += ids
            self._news.set()
            self._news = anyio.Event()

    async def begins(self) -> None:
        """Return once nothing is missed any more."""
        while not self.began:
            await self._news.wait()

    async def hears(self, *ids: str) -> None:
        """Return once all of these were told since the last call."""
        with anyio.fail_after(PATIENCE):
            while not set(ids) <= set(self.told):
                await self._news.wait()
        self.told.clear()


@asynccontextmanager
async def watching(adapter: Progress) -> AsyncIterator[Listener]:
    """A watch that has begun, for the length of the block."""
    listener = Listener()
    async with anyio.create_task_group() as group:
        group.start_soon(listener.listen, adapter.watch_progress())
        with anyio.fail_after(PATIENCE):
            await listener.begins()
        yield listener
        group.cancel_scope.cancel()


class ProgressConformance(AdapterSuite):
    """Writing, reading and watching notes, and the counts of children. Override ``make_progress``."""

    @pytest.fixture
    def make_progress(self) -> Callable[[], ProgressAdapter]:
        """Makes an adapter that is not entered yet; all that one test makes are on the same store."""
        pytest.fail("override the fixture make_progress")

    @pytest.fixture
    async def progress(self, make_progress: Callable[[], ProgressAdapter]) -> AsyncIterator[ProgressAdapter]:
        async with make_progress() as adapter:
            yield adapter

    @pytest.fixture
    def key(self) -> str:
        """A task id that no other test uses."""
        return f"{uuid.uuid4()}"

    async def test_it_offers_the_power(self, progress: ProgressAdapter) -> None:
        assert isinstance(progress, Progress)

    async def test_what_is_written_is_read_and_the_rest_is_left_out(self, progress: ProgressAdapter, key: str) -> None:
        told = note(key, 7, b'{"text": "\xc3\xbc\\u0000"}', turn=3, parent="x", share="")
        await progress.write_progress([told])
        assert await progress.read_progress([key, f"{key}-other"]) == {key: Seen(told)}
        assert await progress.read_progress([]) == {}
        await progress.write_progress([])

    async def test_the_last_note_of_a_task_is_the_one_that_counts(self, progress: ProgressAdapter, key: str) -> None:
        last = note(key, 3)
        await progress.write_progress([note(key, 1), note(key, 2)])
        await progress.write_progress([last])
        assert (await progress.read_progress([key]))[key].note == last

    async def test_a_late_attempt_changes_nothing(self, progress: ProgressAdapter, key: str) -> None:
        newest = note(key, 1, turn=2)
        await progress.write_progress([note(key, 9, turn=1), newest, note(key, 10, turn=1, final=True)])
        assert (await progress.read_progress([key]))[key].note == newest

    async def test_nothing_follows_the_last_note_of_an_attempt_but_the_next_attempt(
        self, progress: ProgressAdapter, key: str
    ) -> None:
        end, again = note(key, 5, final=True), note(key, 1, turn=1)
        await progress.write_progress([end, note(key, 6)])
        assert (await progress.read_progress([key]))[key].note == end
        await progress.write_progress([again])
        assert (await progress.read_progress([key]))[key].note == again

    async def test_an_expired_note_is_as_good_as_none(self, progress: ProgressAdapter, key: str) -> None:
        await progress.write_progress([note(key, seconds=-1), note(f"{key}-kept")])

        async def gone() -> bool:
            return key not in await progress.read_progress([key, f"{key}-kept"])

        await until(gone)

    async def test_children_add_up(self, progress: ProgressAdapter, key: str) -> None:
        children = [f"{key}.{number}" for number in range(4)]
        await progress.write_progress([note(child, parent=key, share="running") for child in children])
        assert await progress.read_progress([key]) == {key: Seen(None, running=4)}
        ends = zip(children, ("done", "done", "failed"), strict=False)
        await progress.write_progress([note(id, 2, final=True, parent=key, share=share) for id, share in ends])
        own = note(key)
        await progress.write_progress([own])
        assert await progress.read_progress([key]) == {key: Seen(own, done=2, failed=1, running=1)}

    async def test_a_child_counts_once_however_often_it_is_told(self, progress: ProgressAdapter, key: str) -> None:
        child = f"{key}.1"
        for seq in range(3):
            await progress.write_progress([note(child, seq, parent=key, share="running")])
            await progress.write_progress([note(child, seq, final=True, parent=key, share="done")])
        assert await progress.read_progress([key]) == {key: Seen(None, done=1)}
        await progress.write_progress([note(child, 9, turn=1, parent=key, share="running")])
        assert await progress.read_progress([key]) == {key: Seen(None, running=1)}

    async def test_a_child_that_has_no_share_counts_nowhere(self, progress: ProgressAdapter, key: str) -> None:
        await progress.write_progress([note(f"{key}.1", parent=key)])
        assert await progress.read_progress([key]) in ({}, {key: Seen()})

    async def test_whoever_watches_is_told_what_moved(
        self, progress: ProgressAdapter, make_progress: Callable[[], ProgressAdapter], key: str
    ) -> None:
        await progress.write_progress([note(f"{key}-before")])
        async with make_progress() as other, watching(other) as ear, watching(progress) as own:
            await progress.write_progress([note(key), note(f"{key}.1", parent=f"{key}-parent", share="running")])
            for listener in (ear, own):
                await listener.hears(key, f"{key}.1", f"{key}-parent")
            await other.write_progress([note(key, 2, final=True)])
            for listener in (ear, own):
                await listener.hears(key)
                assert f"{key}-before" not in listener.told

    async def test_many_writers_lose_nothing(
        self, make_progress: Callable[[], ProgressAdapter], progress: ProgressAdapter, key: str
    ) -> None:
        async def work(adapter: ProgressAdapter, name: str) -> None:
            for number in range(20):
                child = f"{key}.{name}.{number}"
                await adapter.write_progress([note(child, parent=key, share="running")])
                await adapter.write_progress([note(child, 2, final=True, parent=key, share="done")])

        async with make_progress() as other:
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as group:
                    for name, adapter in (("a", progress), ("b", other), ("c", progress), ("d", other)):
                        group.start_soon(work, adapter, name)
        assert await progress.read_progress([key]) == {key: Seen(None, done=80)}
