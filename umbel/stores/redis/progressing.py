"""Keeps on a Redis server how far tasks are, and tells which have moved, for the adapters on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from umbel.stores.bells import LoopBell
from umbel.stores.redis.connection import Word
from umbel.stores.redis.link import Script
from umbel.stores.redis.listener import Hearing
from umbel.stores.redis.store import RedisStore
from umbel.tracking import Note, Seen

_WRITE, _READ = Script("progress"), Script("seen")
_AT_ONCE = 500
"""Tasks that one script reads or writes, so that nobody waits long for the server."""


class _OnStore(Protocol):
    @property
    def keeper(self) -> RedisStore: ...

    @property
    def ear(self) -> Hearing: ...


class OffersProgress:
    """``tracking.Progress`` on ``keeper``, heard of by ``ear``. Where a call has hundreds, each 500 are a step."""

    async def write_progress(self: _OnStore, notes: Sequence[Note]) -> None:
        store = self.keeper
        for at in range(0, len(notes), _AT_ONCE):
            some = notes[at : at + _AT_ONCE]
            keys = store.layout.notes(id for note in some for id in (note.id, note.parent or ""))
            await store.link.run(_WRITE, keys, [word for note in some for word in _words(note)])

    async def read_progress(self: _OnStore, ids: Sequence[str]) -> Mapping[str, Seen]:
        store = self.keeper
        found: dict[str, Seen] = {}
        for at in range(0, len(ids), _AT_ONCE):
            some = ids[at : at + _AT_ONCE]
            told = await store.link.run(_READ, store.layout.notes(some), some)
            found |= {id: _seen(id, fields) for id, fields in zip(some, told, strict=True) if any(fields)}
        return found

    async def watch_progress(self: _OnStore) -> AsyncIterator[frozenset[str]]:
        """See ``tracking.Progress``; an empty step comes each time after something may have been missed."""
        store, ear = self.keeper, self.ear
        news = _News()
        channel = store.layout.progress
        await store.link.insist(partial(ear.follow, [channel], news.hear))
        try:
            yield frozenset()
            while True:
                if news.missed:
                    news.missed = False
                    yield frozenset()
                elif news.moved:
                    yield news.take()
                else:
                    await news.bell.wait()
        finally:
            ear.leave([channel], news.hear)


class _News:
    """What was heard and was not told yet."""

    def __init__(self) -> None:
        self.bell = LoopBell()
        self.moved: set[str] = set()
        self.missed = False

    def hear(self, payload: bytes | None) -> None:
        """What was published."""
        if payload is None:
            self.missed = True
        else:
            self.moved.update(_ids(payload))
        self.bell.ring()

    def take(self) -> frozenset[str]:
        """What was heard."""
        moved, self.moved = self.moved, set()
        return frozenset(moved)


def _ids(payload: bytes) -> Iterator[str]:
    at = 0
    while at < len(payload):
        begin = payload.index(b" ", at) + 1
        at = begin + int(payload[at : begin - 1])
        yield payload[begin:at].decode("utf-8", "replace")


def _words(note: Note) -> list[Word]:
    of_parent = (note.parent or "", note.share)
    return [note.id, note.seq, note.turn, int(note.final), *of_parent, repr(note.expires), note.payload]


def _seen(id: str, fields: Sequence[Any]) -> Seen:
    seq, turn, final, parent, share, ends, payload, *counts = fields
    note = None
    if seq is not None:
        of_parent = parent.decode() or None, share.decode()
        note = Note(id, int(seq), payload, float(ends), int(turn), final == b"1", *of_parent)
    done, failed, running = (max(0, int(count or 0)) for count in counts)
    return Seen(note, done, failed, running)
