"""Serves records from an SQLite file to every process of the machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from umbel.model import SealedRecord
from umbel.stores.sqlite.location import locate
from umbel.stores.sqlite.marking import OffersMarks
from umbel.stores.sqlite.progressing import OffersProgress

if TYPE_CHECKING:
    from umbel.stores.sqlite.store import SqliteStore


class SqliteBackend(OffersMarks, OffersProgress):
    """Records in the file that ``sqlite:///relative.db`` or ``sqlite:////absolute.db`` names; making it opens none."""

    def __init__(self, url: str, settings: Mapping[str, Any]) -> None:
        self._location = locate(url)
        self._settings = settings

    @cached_property
    def keeper(self) -> SqliteStore:
        """The store, which other adapters of this file in this process share."""
        from umbel.stores.sqlite.store import SqliteStore

        return SqliteStore.at(self._location, self._settings)

    async def __aenter__(self) -> Self:
        from umbel.stores.threads import in_thread

        await in_thread(self.keeper.open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from umbel.stores.threads import in_thread

        await in_thread(self.keeper.rest)

    async def store(self, records: Sequence[SealedRecord]) -> None:
        from umbel.stores.threads import in_thread

        await in_thread(self.keeper.store, records)

    async def load(self, ids: Sequence[str]) -> Mapping[str, SealedRecord]:
        from umbel.stores.threads import in_thread

        return await in_thread(self.keeper.load, ids)

    async def watch(self, ids: Sequence[str]) -> AsyncIterator[SealedRecord]:
        from umbel.stores.bells import LoopBell

        if not ids:
            return
        bell = LoopBell()
        watch = self.keeper.watcher.follow(ids, bell.ring)
        try:
            while not watch.over:
                while watch.news:
                    yield watch.news.popleft()
                if watch.error is not None:
                    raise watch.error
                if not watch.over:
                    await bell.wait()
        finally:
            self.keeper.watcher.leave(watch)

    async def forget(self, ids: Sequence[str]) -> None:
        from umbel.stores.threads import in_thread

        await in_thread(self.keeper.forget, ids)
