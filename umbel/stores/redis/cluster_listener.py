"""Hears what is published in a Redis Cluster: each channel at whoever has the slot of its name."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence

from umbel.errors import StoreError
from umbel.stores.redis.address import Address
from umbel.stores.redis.cluster import ClusterLink
from umbel.stores.redis.listener import Ear, Listener
from umbel.stores.redis.slots import slot_of

_BEAT = 2.0
"""Seconds between two looks who has what."""

_PAUSE = 0.2
"""Seconds until the next look while something is not heard."""

_Followed = tuple[str, Ear]


class ClusterListener:
    """As ``Listener``, with one for each server that is needed; belongs to a loop.

    What is published anywhere reaches every server, but a word on its way between two of them may be lost, and nobody
    hears of that. So channels are heard where they are published; when that becomes another server, every ear of theirs
    is told that something may have been missed.
    """

    def __init__(self, link: ClusterLink) -> None:
        self._link = link
        self._parts: dict[Address, Listener] = {}
        self._where: dict[_Followed, Address | None] = {}
        """Where each is heard; None for nowhere at this moment."""
        self._service: asyncio.Task[None] | None = None

    async def follow(self, channels: Iterable[str], ear: Ear) -> None:
        """As ``Listener.follow``."""
        await self.follow_each([(channel, ear) for channel in channels])

    async def follow_each(self, ears: Sequence[tuple[str, Ear]]) -> None:
        """As ``Listener.follow_each``."""
        self._where |= dict.fromkeys(ears)
        try:
            await self._hear(ears)
        except BaseException as error:
            self.leave_each(ears)
            if isinstance(error, StoreError):
                self._link.map.stale = True
            raise
        if self._service is None:
            self._service = asyncio.create_task(self._keep())

    def leave(self, channels: Iterable[str], ear: Ear) -> None:
        """As ``Listener.leave``."""
        self.leave_each([(channel, ear) for channel in channels])

    def leave_each(self, ears: Sequence[tuple[str, Ear]]) -> None:
        """As ``Listener.leave_each``."""
        places = [(each, self._where.pop(each, None)) for each in ears]
        for place in {place for _, place in places if place is not None}:
            self._parts[place].leave_each([each for each, its in places if its == place])

    async def close(self) -> None:
        """Let go of everything."""
        self._where.clear()
        service, self._service = self._service, None
        if service is not None:
            service.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await service
        parts, self._parts = list(self._parts.values()), {}
        for part in parts:
            await part.close()

    async def _hear(self, ears: Sequence[_Followed]) -> None:
        by_place: dict[Address, list[_Followed]] = {}
        for each in ears:
            place = (await self._link.node(slot_of(each[0]))).addresses[0]
            by_place.setdefault(place, []).append(each)
        for place, these in by_place.items():
            some = [each for each in these if each in self._where]  # others have left meanwhile
            part = self._parts.get(place)
            if part is None:
                part = self._parts[place] = Listener([place])
            self._where |= dict.fromkeys(some, place)
            await part.follow_each(some)

    async def _keep(self) -> None:
        """The service that goes along when a slot gets another server."""
        pause = _BEAT
        while True:
            await asyncio.sleep(pause)
            if not self._where:
                self._service = None
                return
            pause = _PAUSE
            try:
                await self._link.learn(anew=True)
                await self._go_along()
            except StoreError:  # whoever asks there tells it
                continue
            pause = _BEAT

    async def _go_along(self) -> None:
        """Hear what is published elsewhere now."""
        owners = {each: self._link.map.owner(slot_of(each[0])) for each in self._where}
        moved = [each for each, place in self._where.items() if place is None or owners[each] != place]
        if not moved:
            return
        self.leave_each(moved)
        self._where |= dict.fromkeys(moved)
        try:
            await self._hear(moved)
        except BaseException:
            left = [each for each in moved if each in self._where]
            self.leave_each(left)
            self._where |= dict.fromkeys(left)
            raise
        for each in moved:
            if each in self._where:
                each[1](None)
