"""Keeps marks in a store's file, and follows those that are put."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from umbel.errors import StoreError
from umbel.ports import Mark
from umbel.stores.sqlite.access import Access
from umbel.stores.sqlite.keeping import Keeping
from umbel.stores.sqlite.seats import Seat, identity
from umbel.stores.sqlite.statements import statements
from umbel.stores.sqlite.watcher import Waiting, Watcher

T = TypeVar("T")

MARKS = statements("marks.sql")

SWEPT, SWEEP_PAUSE = 100, 60.0
"""How many expired marks a write deletes, and seconds until one looks again when it found fewer."""

REST = 0.02
"""Seconds between two looks for marks while others write to the file: nobody waits for one with a stopwatch."""


class MarkTable:
    """The marks of one store. Everything raises ``StoreError`` and its kinds; then nothing was written."""

    def __init__(self, store: Keeping) -> None:
        self._store = store
        self._next_sweep: float | None = None
        self.watcher = MarkWatcher(store.access, store.reader(), lambda: store.clock.now())

    def get(self, keys: Sequence[str]) -> Mapping[str, str]:
        """As ``Marks.get_marks``."""
        return self._store.read(lambda connection: self._get(connection, keys))

    def _get(self, connection: sqlite3.Connection, keys: Iterable[str]) -> Mapping[str, str]:
        now = self._store.clock.now()
        rows = {key: connection.execute(MARKS["get"], (key, now)).fetchone() for key in keys}
        return {key: row[0] for key, row in rows.items() if row is not None}

    def put(self, marks: Iterable[Mark]) -> None:
        """As ``Marks.put_marks``."""
        rows = [tuple(mark) for mark in marks]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(MARKS["put"], rows)
            self._sweep(connection)

        self._write(work)

    def _sweep(self, connection: sqlite3.Connection) -> None:
        """Delete some expired marks, now and then: a file that no worker claims from has nobody else who does."""
        moment = self._store.clock.monotonic()
        if self._next_sweep is None or (moment >= self._next_sweep and self.expire(SWEPT, connection) < SWEPT):
            self._next_sweep = moment + SWEEP_PAUSE

    def put_if_absent(self, marks: Iterable[Mark]) -> frozenset[str]:
        """As ``Marks.put_marks_if_absent``."""
        chosen = list(marks)
        now = self._store.clock.now()

        def work(connection: sqlite3.Connection) -> frozenset[str]:
            written = set()
            for mark in chosen:
                connection.execute(MARKS["clear"], (mark.key, now))
                if connection.execute(MARKS["put_if_absent"], tuple(mark)).rowcount:
                    written.add(mark.key)
            return frozenset(written)

        return self._write(work)

    def add(self, keys: Sequence[str], amount: int, expires: float) -> Mapping[str, int]:
        """As ``Marks.add_to_marks``; raises ``StoreError`` too where a mark holds something else than a number."""

        def work(connection: sqlite3.Connection) -> Mapping[str, int]:
            known = self._get(connection, keys)
            sums = {key: _number(key, known.get(key, "0")) + amount for key in keys}
            connection.executemany(MARKS["put"], [(key, str(number), expires) for key, number in sums.items()])
            return sums

        return self._write(work)

    def drop(self, keys: Iterable[str]) -> None:
        """As ``Marks.drop_marks``."""
        rows = [(key,) for key in keys]
        self._write(lambda connection: connection.executemany(MARKS["drop"], rows))

    def any_expired(self, connection: sqlite3.Connection) -> bool:
        """Whether ``expire`` would find some."""
        return bool(connection.execute(MARKS["any_expired"], (self._store.clock.now(),)).fetchone()[0])

    def expire(self, most: int, connection: sqlite3.Connection) -> int:
        """Delete at most so many expired marks, inside a transaction; gives how many there were."""
        return connection.execute(MARKS["expire"], (self._store.clock.now(), most)).rowcount

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        done = self._store.commit(work)
        self.watcher.ring()
        return done


def _number(key: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise StoreError(f"the mark {key!r} holds {value!r}, to which no number can be added; drop it first") from None


class _Page(NamedTuple):
    """What one look found: in which file, up to which seq."""

    file: tuple[int, int] | None
    seq: int
    marks: list[Mark]


class MarkWatch(Waiting):
    """One caller's prefix, and what was put since the caller took the last news."""

    def __init__(self, prefix: str, ring: Callable[[], None]) -> None:
        super().__init__(ring)
        self.prefix = prefix
        self.seen: _Page | None = None
        """What the last look found; the watcher's thread owns it."""
        self._mutex = threading.Lock()
        self._news: dict[str, Mark] | None = None

    def give(self, page: _Page) -> None:
        """Take note of what a look found; the first one is news even if it found nothing."""
        first, self.seen = self.seen is None, page._replace(marks=[])
        if page.marks or first:
            with self._mutex:
                self._news = {**(self._news or {}), **{mark.key: mark for mark in page.marks}}
            self.ring()

    def take(self) -> list[Mark] | None:
        """The news, None if there are none."""
        with self._mutex:
            news, self._news = self._news, None
        return None if news is None else list(news.values())


class MarkWatcher(Watcher[MarkWatch]):
    """Follows marks by the beginning of their keys."""

    name = "umbel-marks"
    what = "marks"
    rest = REST

    def __init__(self, access: Access, seat: Seat, now: Callable[[], float]) -> None:
        super().__init__(access, seat)
        self._now = now

    def follow(self, prefix: str, ring: Callable[[], None]) -> MarkWatch:
        """A watch on the marks that begin so, until ``leave``; ``ring`` is called in the watcher's thread."""
        return self.join(MarkWatch(prefix, ring))

    def _read(self, watches: Sequence[MarkWatch]) -> None:
        for watch in watches:
            watch.give(self._access.read(self._seat, partial(self._look, watch)))

    def _look(self, watch: MarkWatch, connection: sqlite3.Connection) -> _Page:
        file, seen = identity(self._access.path), watch.seen
        if seen is None or seen.file != file:
            return self._all(connection, watch.prefix, file)
        rows = connection.execute(MARKS["since"], (seen.seq, self._now())).fetchall()
        marks = [Mark(*row[1:]) for row in rows if row[1].startswith(watch.prefix)]
        return _Page(file, rows[-1][0] if rows else seen.seq, marks)

    def _all(self, connection: sqlite3.Connection, prefix: str, file: tuple[int, int] | None) -> _Page:
        """All that begin so, in one statement, and so as they stand at one moment."""
        seq, marks = 0, []
        rows = connection.execute(MARKS["from_key"], (prefix, self._now()))
        for number, *mark in rows:
            if not mark[0].startswith(prefix):
                break
            seq = max(seq, number)
            marks.append(Mark(*mark))
        rows.close()
        return _Page(file, seq, marks)
