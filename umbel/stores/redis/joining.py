"""Joins the parts of chords on a Redis server, under the keys of Celery's, for the adapters on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from umbel.clock import SystemClock
from umbel.joins import Joined, Part
from umbel.stores.redis.connection import Word, texts
from umbel.stores.redis.link import Script
from umbel.stores.redis.store import RedisStore

_JOIN, _GIVEN, _DESK = Script("join"), Script("given"), Script("desk")
_AT_ONCE = 100


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
        keys = [*store.layout.group(part.group), store.layout.desk(part.desk)]
        args: list[Word] = [place, first, part.payload[first:last], part.payload, part.id, _lasting(self, part.expires)]
        args += [part.link, part.group, _milliseconds(part.claim) if part.desk else ""]
        return _joined(await store.link.run(_JOIN, keys, args))

    async def given(self: _OnStore, group: str) -> Joined | None:
        store = self.keeper
        keys = store.layout.group(group)
        return _joined(await store.link.run(_GIVEN, [keys[3], *keys[5:]], []))

    async def unsent(self: _OnStore, desk: str, claim: float) -> Mapping[str, bytes]:
        store = self.keeper
        key, found = store.layout.desk(desk), dict[str, bytes]()
        groups = texts(await store.link.run(_DESK, [key], [_milliseconds(claim), _AT_ONCE]))
        if groups:
            links = await store.link.ask("MGET", *(store.layout.group(group)[6] for group in groups))
            found = {group: link for group, link in zip(groups, links, strict=True) if link is not None}
            if len(found) < len(groups):  # they have expired
                await store.link.ask("ZREM", key, *set(groups).difference(found))
        return found

    async def hold(self: _OnStore, desk: str, groups: Sequence[str], claim: float) -> None:
        for at in range(0, len(groups), _AT_ONCE):
            some = groups[at : at + _AT_ONCE]
            await self.keeper.link.run(_DESK, [self.keeper.layout.desk(desk)], [_milliseconds(claim), 0, *some])

    async def sent(self: _OnStore, desk: str, groups: Sequence[str]) -> None:
        if groups:
            await self.keeper.link.ask("ZREM", self.keeper.layout.desk(desk), *groups)


def _joined(told: Any) -> Joined | None:
    return None if told is None else Joined(told[2:], told[0], told[1])


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _lasting(adapter: _OnStore, expires: float | None) -> int:
    """Milliseconds until then, 0 for ever."""
    return 0 if expires is None else max(1, round((expires - adapter.clock.now()) * 1000))
