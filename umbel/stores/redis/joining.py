"""Joins the parts of chords on a Redis server, under the keys of Celery's, for the adapters on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from umbel.clock import SystemClock
from umbel.joins import Joined, Part
from umbel.stores.redis.connection import Word
from umbel.stores.redis.link import Script
from umbel.stores.redis.store import RedisStore

_JOIN = Script("join")


class _OnStore(Protocol):
    clock: SystemClock

    @property
    def keeper(self) -> RedisStore: ...


class OffersJoins:
    """``joins.Joins`` on ``keeper``. Workers of Celery's may count the other parts, and join them when theirs is the
    last. What was given to a part stays, so that nobody else is given it, until it expires."""

    async def expect(self: _OnStore, groups: Mapping[str, int], expires: float | None) -> None:
        store = self.keeper
        lasting = _lasting(self, expires)
        commands: list[tuple[Word, ...]] = []
        for group, parts in groups.items():
            key = store.layout.group(group)[1]
            commands.append(("SET", key, parts, "PX", lasting) if lasting else ("SET", key, parts))
        await store.link.ask_all(commands)

    async def join(self: _OnStore, part: Part) -> Joined | None:
        store = self.keeper
        first, last = part.whose
        place: Word = "+inf" if part.place is None else part.place
        args: list[Word] = [place, first, part.payload[first:last], part.payload, part.id, _lasting(self, part.expires)]
        told: Any = await store.link.run(_JOIN, store.layout.group(part.group), args)
        return None if told is None else Joined(told[1:], told[0])


def _lasting(adapter: _OnStore, expires: float | None) -> int:
    """Milliseconds until then, 0 for ever."""
    return 0 if expires is None else max(1, round((expires - adapter.clock.now()) * 1000))
