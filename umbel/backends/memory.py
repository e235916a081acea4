"""Serves records from a memory store to the program that wrote them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from umbel.model import SealedRecord
from umbel.stores.memory import MemoryStore, name_of
from umbel.stores.memory_marks import OffersMarks
from umbel.stores.memory_progress import OffersProgress


class MemoryBackend(OffersMarks, OffersProgress):
    """Records of one process, by the name in ``memory://name``; they end with it."""

    def __init__(self, url: str, settings: Any = None) -> None:
        self.keeper = MemoryStore.named(name_of(url), settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def store(self, records: Sequence[SealedRecord]) -> None:
        self.keeper.store(records)

    async def load(self, ids: Sequence[str]) -> Mapping[str, SealedRecord]:
        return self.keeper.load(ids)

    async def watch(self, ids: Sequence[str]) -> AsyncIterator[SealedRecord]:
        from umbel.stores.bells import LoopBell

        bell = LoopBell()
        self.keeper.listen(bell.ring)
        seen: dict[str, SealedRecord] = {}
        pending = dict.fromkeys(ids)
        try:
            while pending:
                known = self.keeper.load(tuple(pending))
                seen = {id: record for id, record in seen.items() if id in known}
                for record in known.values():
                    if record.final:
                        del pending[record.id]
                    if seen.get(record.id) != record:
                        seen[record.id] = record
                        yield record
                if pending:
                    await bell.wait()
        finally:
            self.keeper.unlisten(bell.ring)

    async def forget(self, ids: Sequence[str]) -> None:
        self.keeper.forget(ids)
