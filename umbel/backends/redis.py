"""Keeps records on a Redis server, in Celery's format and under its keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from umbel.clock import SystemClock
from umbel.model import SealedRecord
from umbel.stores.bells import LoopBell
from umbel.stores.loops import EnteredPerLoop, PerLoop
from umbel.stores.redis.address import addresses
from umbel.stores.redis.admitting import AdmitsShortcomings
from umbel.stores.redis.awaiting import Awaiting
from umbel.stores.redis.choosing import store_at
from umbel.stores.redis.joining import OffersJoins
from umbel.stores.redis.listener import Ear, Hearing
from umbel.stores.redis.marking import OffersMarks
from umbel.stores.redis.progressing import OffersProgress
from umbel.stores.redis.records import Records, Watch
from umbel.stores.redis.store import RedisStore


class _Line(NamedTuple):
    """What one loop has."""

    store: RedisStore
    records: Records
    listener: Hearing
    awaiting: Awaiting

    async def close(self) -> None:
        """End the connections."""
        self.awaiting.close()
        await self.listener.close()
        await self.store.link.close()


class RedisBackend(EnteredPerLoop[_Line], AdmitsShortcomings, OffersJoins, OffersMarks, OffersProgress):
    """Records on the server of ``url``; several URLs, with semicolons between, are tried in turn.

    Entering does not connect: the first use does. Each loop has connections of its own. A record and the word to those
    who wait for it are one step. When a record expires is not told by those that are loaded.
    """

    def __init__(self, url: str, settings: Any = None) -> None:
        self._addresses = addresses(url, "result_backend")
        self.place = store_at(self._addresses).place
        """Names the store, whoever asks."""
        self.clock = SystemClock()
        self._lines = PerLoop(self._make_line)

    def _make_line(self) -> _Line:
        store = store_at(self._addresses)
        return _Line(store, Records(store, self.clock.now), store.listener(), Awaiting(store))

    @property
    def keeper(self) -> RedisStore:
        """The store, as this loop has it while the adapter is entered."""
        return self._lines.here.store

    @property
    def ear(self) -> Hearing:
        """What hears of that which is published, on this loop."""
        return self._lines.here.listener

    async def store(self, records: Sequence[SealedRecord]) -> None:
        await self._lines.here.records.store(records)

    async def load(self, ids: Sequence[str]) -> Mapping[str, SealedRecord]:
        return await self._lines.here.records.load(ids)

    async def forget(self, ids: Sequence[str]) -> None:
        await self._lines.here.records.forget(ids)

    def end_of(self, loop: asyncio.AbstractEventLoop, id: str, timeout: float | None) -> SealedRecord | None:
        """See ``shortcuts.WaitsDirectly``."""
        line = self._lines.of(loop)
        return None if line is None else line.awaiting.end_of(id, timeout)

    async def watch(self, ids: Sequence[str]) -> AsyncIterator[SealedRecord]:
        store, records, listener, _ = self._lines.here
        bell = LoopBell()
        watch = Watch(ids, bell.ring)
        known = await store.link.insist(partial(records.load, watch.pending))
        for record in watch.news(known.values()):
            yield record
        if not watch.pending:
            return
        ears: list[tuple[str, Ear]] = [(store.layout.record(id), watch.ear(id)) for id in watch.pending]
        try:
            await store.link.insist(partial(listener.follow_each, ears))
            watch.unsure.update(watch.pending)  # what came between the look and the ears
            while watch.pending:
                heard = watch.take()
                if watch.unsure:
                    unsure, watch.unsure = watch.unsure, set()
                    read = partial(records.load, unsure.intersection(watch.pending))
                    heard += (await store.link.insist(read)).values()
                for record in watch.news(heard):
                    yield record
                if watch.pending and not watch.stirred:
                    await bell.wait()
        finally:
            listener.leave_each(ears)
