"""Offers the progress that an SQLite store keeps the way the port asks, for the adapters on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from umbel.stores.sqlite.store import SqliteStore
    from umbel.tracking import Note, Seen


class _OnStore(Protocol):
    @property
    def keeper(self) -> SqliteStore: ...


class OffersProgress:
    """``tracking.Progress`` on ``keeper``; works inside and outside the adapter's context manager."""

    async def write_progress(self: _OnStore, notes: Sequence[Note]) -> None:
        from umbel.stores.threads import in_thread

        await in_thread(self.keeper.progress.write, notes)

    async def read_progress(self: _OnStore, ids: Sequence[str]) -> Mapping[str, Seen]:
        from umbel.stores.threads import in_thread

        return await in_thread(self.keeper.progress.read, ids)

    async def watch_progress(self: _OnStore) -> AsyncIterator[frozenset[str]]:
        from umbel.stores.bells import LoopBell

        bell = LoopBell()
        watcher = self.keeper.progress.watcher
        watch = watcher.follow(bell.ring)
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
