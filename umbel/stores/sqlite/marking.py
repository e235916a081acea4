"""Offers the marks of an SQLite store the way the port asks, for the adapters on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from umbel.ports import Mark
    from umbel.stores.sqlite.store import SqliteStore


class _OnStore(Protocol):
    @property
    def keeper(self) -> SqliteStore: ...


class OffersMarks:
    """``ports.Marks`` on ``keeper``; works inside and outside the adapter's context manager."""

    async def get_marks(self: _OnStore, keys: Sequence[str]) -> Mapping[str, str]:
        from umbel.stores.threads import in_thread

        return await in_thread(self.keeper.marks.get, keys)

    async def put_marks(self: _OnStore, marks: Sequence[Mark]) -> None:
        from umbel.stores.threads import in_thread

        await in_thread(self.keeper.marks.put, marks)

    async def put_marks_if_absent(self: _OnStore, marks: Sequence[Mark]) -> frozenset[str]:
        from umbel.stores.threads import in_thread

        return await in_thread(self.keeper.marks.put_if_absent, marks)

    async def add_to_marks(self: _OnStore, keys: Sequence[str], amount: int, expires: float) -> Mapping[str, int]:
        from umbel.stores.threads import in_thread

        return await in_thread(self.keeper.marks.add, keys, amount, expires)

    async def drop_marks(self: _OnStore, keys: Sequence[str]) -> None:
        from umbel.stores.threads import in_thread

        await in_thread(self.keeper.marks.drop, keys)

    async def watch_marks(self: _OnStore, prefix: str) -> AsyncIterator[list[Mark]]:
        from umbel.stores.bells import LoopBell

        bell = LoopBell()
        watcher = self.keeper.marks.watcher
        watch = watcher.follow(prefix, bell.ring)
        try:
            while True:
                news = watch.take()
                if news is not None:
                    yield news
                elif watch.error is not None:
                    raise watch.error
                else:
                    await bell.wait()
        finally:
            watcher.leave(watch)
