"""Keeps in a store's file how far tasks are, and follows what moves."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from umbel.stores.sqlite.access import Access
from umbel.stores.sqlite.keeping import Keeping
from umbel.stores.sqlite.seats import Seat, identity
from umbel.stores.sqlite.statements import statements
from umbel.stores.sqlite.watcher import Waiting, Watcher
from umbel.tracking import MOST_AHEAD, Note, Seen

PROGRESS = statements("progress.sql")

SWEPT, SWEEP_PAUSE = 100, 60.0
"""How many expired rows a write deletes, and seconds until one looks again when it found fewer."""

REST = 0.01
"""Seconds between two looks for what moved: an eye sees no difference."""

_SHARES = ("done", "failed", "running")

_NOBODY = (-2, 0, None, "")


class ProgressTable:
    """The progress of one store. Everything raises ``StoreError`` and its kinds; then nothing was written."""

    def __init__(self, store: Keeping) -> None:
        self._store = store
        self._next_sweep: float | None = None
        self.watcher = ProgressWatcher(store.access, store.reader())

    def write(self, notes: Sequence[Note]) -> None:
        """As ``Progress.write_progress``."""
        if not notes:
            return

        def work(connection: sqlite3.Connection) -> None:
            (change,) = connection.execute(PROGRESS["next_change"]).fetchone()
            for note in notes:
                self._write(connection, note, change)
            self._sweep(connection)

        self._store.commit(work, sum(len(note.payload) for note in notes))
        self._store.ring()
        self.watcher.ring()

    def _write(self, connection: sqlite3.Connection, note: Note, change: int) -> None:
        turn, final, parent, share = connection.execute(PROGRESS["standing"], (note.id,)).fetchone() or _NOBODY
        if (note.turn, note.final) < (turn, final):
            return
        connection.execute(
            PROGRESS["write"],
            (note.id, change, note.seq, note.turn, note.final, note.parent, note.share, note.expires, note.payload),
        )
        if (parent, share) == (note.parent, note.share):
            return
        for who, what, difference in ((parent, share, -1), (note.parent, note.share, 1)):
            if who is not None and what:
                differences = [difference if name == what else 0 for name in _SHARES]
                connection.execute(PROGRESS["count"], (who, change, *differences, note.expires))

    def _sweep(self, connection: sqlite3.Connection) -> None:
        """Delete some expired rows, now and then: a file that no worker claims from has nobody else who does."""
        moment = self._store.clock.monotonic()
        if self._next_sweep is None or (moment >= self._next_sweep and self.expire(SWEPT, connection) < SWEPT):
            self._next_sweep = moment + SWEEP_PAUSE

    def any_expired(self, connection: sqlite3.Connection) -> bool:
        """Whether ``expire`` would find some."""
        return bool(connection.execute(PROGRESS["any_expired"], (self._store.clock.now(),)).fetchone()[0])

    def expire(self, most: int, connection: sqlite3.Connection) -> int:
        """Delete at most so many expired rows, inside a transaction; gives how many there were."""
        return connection.execute(PROGRESS["expire"], (self._store.clock.now(), most)).rowcount

    def read(self, ids: Iterable[str]) -> Mapping[str, Seen]:
        """As ``Progress.read_progress``."""
        asked = json.dumps(list(ids)), self._store.clock.now()
        rows = self._store.read(lambda connection: connection.execute(PROGRESS["read"], asked).fetchall())
        return {row[0]: _seen(row) for row in rows}

    def places(self, ids: Iterable[str]) -> Mapping[str, int]:
        """As ``Places.places``; reads all that waits through, as there is no index on ids (docs/decisions/0015)."""
        wanted = json.dumps(list(ids))

        def work(connection: sqlite3.Connection) -> Mapping[str, int]:
            waiting = connection.execute(PROGRESS["waiting"], (wanted,)).fetchall()
            return {
                id: connection.execute(PROGRESS["before"], (queue, priority, seq, MOST_AHEAD)).fetchone()[0]
                for id, queue, priority, seq in waiting
            }

        return self._store.read(work)


def _seen(row: tuple[str, int, bytes, float, int, int, str | None, str, int, int, int]) -> Seen:
    id, seq, payload, expires, turn, final, parent, share, *counts = row
    note = Note(id, seq, payload, expires, turn, bool(final), parent, share) if turn >= 0 else None
    return Seen(note, *counts)


class ProgressWatch(Waiting):
    """One caller that wants to know what moves."""

    def __init__(self, ring: Callable[[], None]) -> None:
        super().__init__(ring)
        self._mutex = threading.Lock()
        self._news: set[str] | None = None

    def give(self, ids: Iterable[str]) -> None:
        """These have moved; the first time it may be none."""
        with self._mutex:
            self._news = (self._news or set()) | set(ids)
        self.ring()

    def take(self) -> frozenset[str] | None:
        """What has moved since this was last asked; None for nothing."""
        with self._mutex:
            news, self._news = self._news, None
        return None if news is None else frozenset(news)


class ProgressWatcher(Watcher[ProgressWatch]):
    """Tells those who watch which tasks have moved, in one statement for all of them."""

    name = "umbel-progress"
    what = "progress"
    rest = REST

    def __init__(self, access: Access, seat: Seat) -> None:
        super().__init__(access, seat)
        self._seen: dict[ProgressWatch, tuple[tuple[int, int] | None, int]] = {}
        """In which file each watch has been told up to which change; the watcher's thread owns it."""

    def follow(self, ring: Callable[[], None]) -> ProgressWatch:
        """A watch, until ``leave``; ``ring`` is called in the watcher's thread."""
        return self.join(ProgressWatch(ring))

    def _read(self, watches: Sequence[ProgressWatch]) -> None:
        self._seen = {watch: seen for watch, seen in self._seen.items() if watch in watches}
        file = identity(self._access.path)
        floor = min((change for known, change in self._seen.values() if known == file), default=None)
        last, moved = self._access.read(self._seat, lambda connection: _moved(connection, floor))
        for watch in watches:
            known, change = self._seen.get(watch, (None, -1))
            if known != file or change < 0:
                watch.give(())
            elif last > change and moved:
                watch.give(moved)
            self._seen[watch] = file, last


def _moved(connection: sqlite3.Connection, floor: int | None) -> tuple[int, list[str]]:
    """The number of the last change, and the ids of those after ``floor``; None asks for no ids."""
    (last,) = connection.execute(PROGRESS["last_change"]).fetchone()
    if floor is None or floor >= last:
        return last, []
    return last, [id for (id,) in connection.execute(PROGRESS["since"], (floor,)).fetchall()]
