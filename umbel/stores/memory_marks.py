"""Keeps the marks of a memory store, and tells of those that are put."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Protocol

from umbel.errors import StoreError
from umbel.ports import Mark

ROOM = 64
"""Marks that may lie about expired before they are looked for."""


class MemoryMarks:
    """Marks by their keys, in the order in which they were put. Thread-safe."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._marks: dict[str, tuple[int, Mark]] = {}
        self._bells: set[Callable[[], None]] = set()
        self._sweep_at = ROOM

    def get(self, keys: Iterable[str]) -> Mapping[str, str]:
        """As ``Marks.get_marks``."""
        with self._lock:
            found = {key: self._standing(key) for key in keys}
        return {key: mark.value for key, mark in found.items() if mark is not None}

    def put(self, marks: Iterable[Mark]) -> None:
        """As ``Marks.put_marks``."""
        with self._lock:
            self._put(marks)
        self._ring()

    def put_if_absent(self, marks: Iterable[Mark]) -> frozenset[str]:
        """As ``Marks.put_marks_if_absent``."""
        written = set()
        with self._lock:
            for mark in marks:
                if self._standing(mark.key) is None:
                    self._put([mark])
                    written.add(mark.key)
        self._ring()
        return frozenset(written)

    def add(self, keys: Iterable[str], amount: int, expires: float) -> Mapping[str, int]:
        """As ``Marks.add_to_marks``; raises ``StoreError`` where a mark holds something else than a number."""
        with self._lock:
            known = {key: self._standing(key) for key in keys}
            sums = {key: amount + (0 if mark is None else _number(mark)) for key, mark in known.items()}
            self._put(Mark(key, str(number), expires) for key, number in sums.items())
        self._ring()
        return sums

    def drop(self, keys: Iterable[str]) -> None:
        """As ``Marks.drop_marks``."""
        with self._lock:
            for key in keys:
                self._marks.pop(key, None)

    def since(self, number: int, prefix: str) -> tuple[int, list[Mark]]:
        """The standing marks that begin so and were put after the one of that number, and the last number of all."""
        found: list[Mark] = []
        with self._lock:
            last = number
            for at, mark in reversed(self._marks.values()):
                last = max(last, at)
                if at <= number:
                    break
                if mark.key.startswith(prefix) and self._stands(mark):
                    found.append(mark)
        return last, found[::-1]

    def listen(self, bell: Callable[[], None]) -> None:
        """Call ``bell`` after every put, in the thread that made it."""
        with self._lock:
            self._bells.add(bell)

    def unlisten(self, bell: Callable[[], None]) -> None:
        """End what ``listen`` began."""
        with self._lock:
            self._bells.discard(bell)

    def _ring(self) -> None:
        with self._lock:
            bells = tuple(self._bells)
        for bell in bells:
            bell()

    def _put(self, marks: Iterable[Mark]) -> None:
        for mark in marks:
            self._marks.pop(mark.key, None)  # so that it is the last one
            self._marks[mark.key] = (next(self._numbers), mark)
        if len(self._marks) > self._sweep_at:
            self._marks = {key: entry for key, entry in self._marks.items() if self._stands(entry[1])}
            self._sweep_at = 2 * len(self._marks) + ROOM

    def _standing(self, key: str) -> Mark | None:
        entry = self._marks.get(key)
        return entry[1] if entry is not None and self._stands(entry[1]) else None

    def _stands(self, mark: Mark) -> bool:
        return mark.expires is None or mark.expires > self._now()


def _number(mark: Mark) -> int:
    try:
        return int(mark.value)
    except ValueError:
        raise StoreError(
            f"the mark {mark.key!r} holds {mark.value!r}, to which no number can be added; drop it first"
        ) from None


class _OnStore(Protocol):
    @property
    def keeper(self) -> HasMarks: ...


class HasMarks(Protocol):
    """A store with marks."""

    @property
    def marks(self) -> MemoryMarks: ...


class OffersMarks:
    """``ports.Marks`` on ``keeper``, for the adapters on a memory store."""

    async def get_marks(self: _OnStore, keys: Sequence[str]) -> Mapping[str, str]:
        return self.keeper.marks.get(keys)

    async def put_marks(self: _OnStore, marks: Sequence[Mark]) -> None:
        self.keeper.marks.put(marks)

    async def put_marks_if_absent(self: _OnStore, marks: Sequence[Mark]) -> frozenset[str]:
        return self.keeper.marks.put_if_absent(marks)

    async def add_to_marks(self: _OnStore, keys: Sequence[str], amount: int, expires: float) -> Mapping[str, int]:
        return self.keeper.marks.add(keys, amount, expires)

    async def drop_marks(self: _OnStore, keys: Sequence[str]) -> None:
        self.keeper.marks.drop(keys)

    async def watch_marks(self: _OnStore, prefix: str) -> AsyncIterator[list[Mark]]:
        from umbel.stores.bells import LoopBell

        table = self.keeper.marks
        bell = LoopBell()
        table.listen(bell.ring)
        try:
            seen, marks = table.since(0, prefix)
            yield marks
            while True:
                seen, marks = table.since(seen, prefix)
                if marks:
                    yield marks
                else:
                    await bell.wait()
        finally:
            table.unlisten(bell.ring)
