"""Keeps in memory how far tasks are, and tells which have moved."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from umbel.tracking import Note, Seen

if TYPE_CHECKING:
    from umbel.stores.bells import LoopBell

ROOM = 64
"""Entries that may lie about expired before they are looked for."""


@dataclass(slots=True)
class _Entry:
    """What is known of one task; the table's lock guards it."""

    expires: float
    note: Note | None = None
    shares: Counter[str] = field(default_factory=Counter)


class MemoryProgress:
    """Notes by task id, with the counts of their children. Thread-safe."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._sweep_at = ROOM
        self._ears: dict[LoopBell, set[str]] = {}
        """What each listener has not taken yet."""

    def write(self, notes: Iterable[Note]) -> None:
        """As ``Progress.write_progress``."""
        moved: set[str] = set()
        with self._lock:
            for note in notes:
                self._write(note, moved)
            for news in self._ears.values():
                news |= moved
            bells = tuple(self._ears)
            if len(self._entries) > self._sweep_at:
                self._sweep()
        for bell in bells:
            bell.ring()

    def _write(self, note: Note, moved: set[str]) -> None:
        entry = self._entry(note.id, note.expires)
        before = entry.note
        if before is not None and (note.turn, note.final) < (before.turn, before.final):
            return
        entry.note = note
        moved.add(note.id)
        old = None if before is None or before.parent is None else (before.parent, before.share)
        new = None if note.parent is None else (note.parent, note.share)
        if old == new:
            return
        for place, difference in ((old, -1), (new, 1)):
            if place is not None and place[1]:
                self._entry(place[0], note.expires).shares[place[1]] += difference
                moved.add(place[0])

    def _entry(self, id: str, expires: float) -> _Entry:
        entry = self._entries.get(id)
        if entry is None or entry.expires <= self._now():
            entry = self._entries[id] = _Entry(expires)
        entry.expires = max(entry.expires, expires)
        return entry

    def _sweep(self) -> None:
        now = self._now()
        self._entries = {id: entry for id, entry in self._entries.items() if entry.expires > now}
        self._sweep_at = 2 * len(self._entries) + ROOM

    def read(self, ids: Iterable[str]) -> Mapping[str, Seen]:
        """As ``Progress.read_progress``."""
        now = self._now()
        with self._lock:
            known = {id: entry for id in ids if (entry := self._entries.get(id)) is not None and entry.expires > now}
            return {
                id: Seen(entry.note, entry.shares["done"], entry.shares["failed"], entry.shares["running"])
                for id, entry in known.items()
            }

    def listen(self, bell: LoopBell) -> None:
        """Ring ``bell`` after every change, for ``news``."""
        with self._lock:
            self._ears[bell] = set()

    def unlisten(self, bell: LoopBell) -> None:
        """End what ``listen`` began."""
        with self._lock:
            self._ears.pop(bell, None)

    def news(self, bell: LoopBell) -> frozenset[str]:
        """What has changed since this listener last asked."""
        with self._lock:
            news, self._ears[bell] = self._ears[bell], set()
        return frozenset(news)


class _OnStore(Protocol):
    @property
    def keeper(self) -> HasProgress: ...


class HasProgress(Protocol):
    """A store that keeps progress."""

    @property
    def progress(self) -> MemoryProgress: ...


class OffersProgress:
    """``ports.Progress`` on ``keeper``, for the adapters on a memory store."""

    async def write_progress(self: _OnStore, notes: Sequence[Note]) -> None:
        self.keeper.progress.write(notes)

    async def read_progress(self: _OnStore, ids: Sequence[str]) -> Mapping[str, Seen]:
        return self.keeper.progress.read(ids)

    async def watch_progress(self: _OnStore) -> AsyncIterator[frozenset[str]]:
        from umbel.stores.bells import LoopBell

        table, bell = self.keeper.progress, LoopBell()
        table.listen(bell)
        try:
            yield frozenset()
            while True:
                if news := table.news(bell):
                    yield news
                else:
                    await bell.wait()
        finally:
            table.unlisten(bell)
