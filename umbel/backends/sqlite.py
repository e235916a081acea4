"""Serves records from an SQLite file to every process of the machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from umbel.model import SealedRecord
from umbel.stores.sqlite.adapting import OnFile


class SqliteBackend(OnFile):
    """Records in the file that ``sqlite:///relative.db`` or ``sqlite:////absolute.db`` names; making it opens none."""

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
