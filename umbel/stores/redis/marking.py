"""Offers marks on a Redis server the way the port asks, for the adapters on it."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from umbel.errors import StoreError
from umbel.ports import Mark
from umbel.stores.bells import LoopBell
from umbel.stores.redis.connection import Word
from umbel.stores.redis.link import Script
from umbel.stores.redis.listener import Hearing
from umbel.stores.redis.store import RedisStore

_CHANGE, _READ = Script("mark"), Script("marks")
_AT_ONCE = 1000
"""Marks that one script reads or changes, so that nobody waits long for the server."""

_OVERLAP = 5_000_000
"""Microseconds: a change of which the first list has told comes no later than that."""


class _OnStore(Protocol):
    @property
    def keeper(self) -> RedisStore: ...

    @property
    def ear(self) -> Hearing: ...


class OffersMarks:
    """``ports.Marks`` on ``keeper``, heard of by ``ear``. Where a call has thousands, each thousand is a step."""

    async def get_marks(self: _OnStore, keys: Sequence[str]) -> Mapping[str, str]:
        store = self.keeper
        found: dict[str, str] = {}
        for some in _pieces(keys):
            values = await store.link.run(_READ, store.layout.marks, ["of", *some])
            found |= {key: _text(value) for key, value in zip(some, values, strict=False) if value is not None}
        return found

    async def put_marks(self: _OnStore, marks: Sequence[Mark]) -> None:
        for some in _pieces(marks):
            await self.keeper.link.run(_CHANGE, self.keeper.layout.marks, ["put", *_words(some)])

    async def put_marks_if_absent(self: _OnStore, marks: Sequence[Mark]) -> frozenset[str]:
        written: set[str] = set()
        for some in _pieces(marks):
            told = await self.keeper.link.run(_CHANGE, self.keeper.layout.marks, ["absent", *_words(some)])
            written.update(map(_text, told))
        return frozenset(written)

    async def add_to_marks(self: _OnStore, keys: Sequence[str], amount: int, expires: float) -> Mapping[str, int]:
        """All of them in one step."""
        if not keys:
            return {}
        told = await self.keeper.link.run(_CHANGE, self.keeper.layout.marks, ["add", amount, repr(expires), *keys])
        if told[0] == b"not a number":
            raise StoreError(f"the mark {_text(told[1])!r} is {_text(told[2])!r:.80} and cannot be added to")
        return {key: int(number) for key, number in zip(keys, told, strict=True)}

    async def drop_marks(self: _OnStore, keys: Sequence[str]) -> None:
        for some in _pieces(keys):
            await self.keeper.link.run(_CHANGE, self.keeper.layout.marks, ["drop", *some])

    async def watch_marks(self: _OnStore, prefix: str) -> AsyncIterator[list[Mark]]:
        store, ear = self.keeper, self.ear
        watch = _Watch(prefix)
        channel = store.layout.marks[0]
        await store.link.insist(partial(ear.follow, [channel], watch.hear))
        try:
            while True:
                if watch.stale:
                    watch.stale = False
                    under = partial(store.link.run, _READ, store.layout.marks, ["under", prefix])
                    sequence, *told = await store.link.insist(under)
                    yield watch.begin(int(sequence), told)
                elif watch.news:
                    yield watch.take()
                else:
                    await watch.bell.wait()
        finally:
            ear.leave([channel], watch.hear)


class _Watch:
    """What was heard of marks whose keys begin so, and was not told yet."""

    def __init__(self, prefix: str) -> None:
        self.bell = LoopBell()
        self.stale = True
        """Whether all must be read: at the beginning, and after something may have been missed."""
        self.news: dict[str, tuple[int, Mark]] = {}
        self._prefix = prefix
        self._known = 0

    def hear(self, payload: bytes | None) -> None:
        """What was published."""
        if payload is None:
            self.stale = True
            self.bell.ring()
            return
        sequence, ends, size, rest = payload.split(b" ", 3)
        key = _text(rest[: int(size)])
        number = int(sequence)
        # A clock that is set back must not make anything unheard of for long.
        if key.startswith(self._prefix) and not self._known - _OVERLAP < number <= self._known:
            self.news.pop(key, None)  # it is told in the order of the last change
            self.news[key] = number, _mark(key, _text(rest[int(size) :]), ends)
            self.bell.ring()

    def begin(self, sequence: int, told: list[Any]) -> list[Mark]:
        """All that was read when changes had this number; what was heard of them before is not told again."""
        self._known = sequence
        self.news = {key: known for key, known in self.news.items() if known[0] > sequence}
        parts = [told[at : at + 3] for at in range(0, len(told), 3)]
        return [_mark(_text(key), _text(value), ends) for key, value, ends in parts if value is not None]

    def take(self) -> list[Mark]:
        """What was heard."""
        news, self.news = self.news, {}
        return [mark for _, mark in news.values()]


def _pieces(things: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (things[at : at + _AT_ONCE] for at in range(0, len(things), _AT_ONCE))


def _words(marks: Iterable[Mark]) -> list[Word]:
    return [
        word for mark in marks for word in (mark.key, mark.value, "inf" if mark.expires is None else repr(mark.expires))
    ]


def _mark(key: str, value: str, ends: bytes) -> Mark:
    moment = float(ends)
    return Mark(key, value, None if math.isinf(moment) else moment)


def _text(word: bytes) -> str:
    return word.decode("utf-8", "surrogatepass")
