"""Has the parts of chords counted in the result store, and says what their body gets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, TypeVar

from umbel import bridge
from umbel.app import Umbel
from umbel.errors import ChordError, StoreBusy, StoreFull, StoreUnreachable
from umbel.joins import Joins, Part
from umbel.model import Message, State
from umbel.wire.chords import seal_member, unseal_member, values_of

logger = logging.getLogger("umbel.worker")

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0


class Joining:
    """Asks the store over this process's bridge, again and again while it is away; keeps nothing of any task."""

    def __init__(self, app: Umbel) -> None:
        self._app = app
        self._serializer: str = app.conf.result_serializer
        self._expires: float | None = app.conf.result_expires or None

    @cached_property
    def _store(self) -> Joins | None:
        backend = self._app.backend if self._app.result_url is not None else None
        return backend if isinstance(backend, Joins) else None

    @property
    def possible(self) -> bool:
        """Whether the store can join parts."""
        return self._store is not None

    async def expect(self, groups: Mapping[str, int]) -> None:
        """These groups have so many parts; returns when the store knows."""
        store = self._store
        if groups and store is not None:
            await self._ask(lambda: store.expect(groups, self._until()))

    async def end(self, message: Message, state: State, value: Any) -> list[Any] | ChordError | None:
        """A part has ended so. Gives the values of all parts if it is the last, or what stands against the body; None
        for any other.

        Raises ``EncodeError`` for a value that cannot be written, ``StoreError`` where the store cannot count it.
        """
        store = self._store
        assert store is not None
        payload, whose = seal_member(message.id, state, value, self._serializer)
        part = Part(message.group or "", message.id, payload, whose, message.group_index, self._until())
        joined = await self._ask(lambda: store.join(part))
        if joined is None:
            return None
        accept = self._app.result_content
        members = [unseal_member(each, accept) for each in joined.ends]
        failed = next((each for each in members if each.failed), None)
        if failed is not None:
            return ChordError(f"Dependency {failed.id} raised {failed.value!r}")
        return values_of(members, joined.nested, accept)

    def _until(self) -> float | None:
        return None if self._expires is None else self._app.clock.now() + self._expires

    async def _ask(self, work: Callable[[], Awaitable[T]]) -> T:
        way = bridge.get()
        if asyncio._get_running_loop() is None:
            return way.run(self._insist(way, work))
        return await way.cross(self._insist(way, work))

    async def _insist(self, way: bridge.Way, work: Callable[[], Awaitable[T]]) -> T:
        backend, pause = self._app.backend, _FIRST_PAUSE
        while True:
            try:
                await way.entered(backend)
                return await work()
            except (StoreUnreachable, StoreFull, StoreBusy) as error:
                if pause == _FIRST_PAUSE:
                    logger.error("The parts of a chord cannot be counted, and are tried again: %s", error)
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)
