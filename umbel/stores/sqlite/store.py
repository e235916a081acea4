"""One SQLite store as one process sees it: what a broker and a result backend both write through."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from umbel.clock import Clock, SystemClock
from umbel.errors import StoreFull
from umbel.model import Envelope, Route, SealedRecord
from umbel.ports import QueueSize
from umbel.stores.sqlite.access import Access
from umbel.stores.sqlite.checkpointing import SAFETY_LIMIT, Checkpoints
from umbel.stores.sqlite.dead import DeadTable
from umbel.stores.sqlite.location import Location
from umbel.stores.sqlite.marks import MarkTable
from umbel.stores.sqlite.opening import connect
from umbel.stores.sqlite.progress import ProgressTable
from umbel.stores.sqlite.seats import Seat
from umbel.stores.sqlite.statements import statements
from umbel.stores.sqlite.watcher import RecordWatcher

T = TypeVar("T")

MESSAGES = statements("messages.sql")
RECORDS = statements("records.sql")

EXPIRY_BATCH = 500
"""Expired records deleted in one go, so that nobody waits long for the write lock."""

EXPIRY_PAUSE = 5.0
"""Seconds until expired records are looked for again once none is left."""

DEAD_LETTERS_KEPT = 30 * 86400.0
MOST_DEAD_LETTERS = 100_000
"""Where the settings say nothing: for how many seconds, and how many of each queue."""

CHECKPOINT_PATIENCE = 0.1
SIZE_CHECK_EVERY = 4 << 20
BYTES_A_COMMIT = 16 << 10
"""Bytes written between two looks at the size of the log, and what a commit adds to its content."""

_stores: weakref.WeakValueDictionary[str, SqliteStore] = weakref.WeakValueDictionary()
_registry = threading.Lock()


class SqliteStore:
    """One database file, safe to use from all threads of a process and in forked children.

    Everything here raises ``StoreError`` and its kinds. A call that raised wrote nothing.
    """

    def __init__(self, location: Location, settings: Mapping[str, Any], clock: Clock) -> None:
        self.path = location.path
        self.folder = f"{location.path}-nodes"
        self.clock = clock
        self.access = Access(self.path, float(settings.get("broker_publish_timeout", 5.0)))
        self._location = location
        self._synchronous = str(settings.get("sqlite_synchronous", "NORMAL"))
        self._writer = self.seat()
        self._reader = self.reader()
        self._checkpointer = self.seat(CHECKPOINT_PATIENCE)
        self.checkpoints = Checkpoints(self.path, self.folder, self._checkpointer)
        self._unchecked = 0
        expires = settings.get("dead_letter_expires", DEAD_LETTERS_KEPT)
        self.dead = DeadTable(self, expires or None, int(settings.get("dead_letter_max", MOST_DEAD_LETTERS)))
        self._born()

    def _born(self) -> None:
        self.access = Access(self.path, self.access.timeout)
        self.watcher = RecordWatcher(self.access, self.reader(), self.load_with)
        self.marks = MarkTable(self)
        self.progress = ProgressTable(self)
        self._bells: frozenset[Callable[[], None]] = frozenset({self.watcher.ring})
        self._next_expiry = 0.0

    @classmethod
    def at(cls, location: Location, settings: Mapping[str, Any], clock: Clock | None = None) -> SqliteStore:
        """The store of this file, the same one for everybody in this process.

        The first one's settings count; the check of the file system is lifted for all when one asks for it.
        """
        with _registry:
            store = _stores.get(location.path)
            if store is None:
                store = _stores[location.path] = cls(location, settings, clock or SystemClock())
            elif location.any_filesystem:
                store._location = location
            return store

    # -- connections

    def seat(self, patience: float = 0.0) -> Seat:
        """A place for one more connection; its statements wait for locks so many seconds by themselves."""
        return Seat(self.path, lambda: self._connect(patience, creates=True))

    def reader(self) -> Seat:
        """A place for a connection that only reads: where there is no file it makes none, and finds nothing."""
        return Seat(self.path, lambda: self._connect(creates=False), creates=False)

    def _connect(self, patience: float = 0.0, *, creates: bool) -> sqlite3.Connection:
        return connect(self._location, self.access.timeout, self._synchronous, patience, creates=creates)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As ``Access.read``, on a connection for everybody."""
        return self.access.read(self._reader, work)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As ``Access.write``, on a connection for everybody."""
        return self.access.write(self._writer, work)

    def commit(self, work: Callable[[sqlite3.Connection], T], size: int = 0) -> T:
        """As ``write``, and once more if the disk was full and room could be made; ``size``: about how many bytes."""
        try:
            done = self.write(work)
        except StoreFull:
            if not self.make_room():
                raise
            done = self.write(work)
        self._grown(size)
        return done

    def open(self) -> None:
        """Make sure that the file can be used, if it is there; the first write makes it."""
        self.read(lambda connection: None)

    def make_room(self) -> bool:
        """Empty the log, which may be what fills a full disk; whether that worked and a retry is worth it."""
        return self.checkpoints.run(1, shrink=True)

    def rest(self) -> None:
        """Close what is not in use; everything is opened again when it is needed."""
        for seat in (self._writer, self._reader, self._checkpointer):
            seat.close()
        self.watcher.hurry()
        self.marks.watcher.hurry()
        self.progress.watcher.hurry()

    # -- bells

    def listen(self, bell: Callable[[], None]) -> None:
        """Call ``bell`` after every write of this process, in its thread; it must not block nor use the store."""
        with _registry:
            self._bells |= {bell}

    def unlisten(self, bell: Callable[[], None]) -> None:
        """End what ``listen`` began; an unknown bell is no error."""
        with _registry:
            self._bells -= {bell}

    def ring(self, but: Callable[[], None] | None = None) -> None:
        """Tell this process's listeners, ``but`` one perhaps, of a write; other processes see it in the file."""
        for bell in self._bells:
            if bell != but:
                bell()

    # -- messages

    def publish(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        """Keep all the messages, or none and raise."""
        rows = self.rows(messages)
        if not rows:
            return
        try:
            self._insert(rows)
        except StoreFull:
            if not self.make_room():
                raise
            self._insert(rows)
        self._written(sum(len(envelope.head) + len(envelope.body) for _, envelope in messages))

    def _insert(self, rows: Sequence[tuple[object, ...]]) -> None:
        if len(rows) == 1:
            self.access.write_row(self._writer, MESSAGES["publish"], rows[0])
        else:
            self.write(lambda connection: connection.executemany(MESSAGES["publish"], rows))

    def rows(self, messages: Iterable[tuple[Route, Envelope]]) -> list[tuple[object, ...]]:
        """The messages as the statement ``publish`` takes them; a due time that has passed is none."""
        now = self.clock.now()
        return [
            (
                route.queue,
                route.priority or 0,
                route.due if route.due is not None and route.due > now else None,
                envelope.id,
                envelope.head,
                envelope.body,
            )
            for route, envelope in messages
        ]

    def _written(self, size: int = 0) -> None:
        """After a write of so many bytes: wake who waits for it, and see to the log now and then."""
        self.ring()
        self._grown(size)

    def _grown(self, size: int) -> None:
        self._unchecked += size + BYTES_A_COMMIT
        if self._unchecked >= SIZE_CHECK_EVERY:
            self._unchecked = 0
            self.checkpoints.run_aside(SAFETY_LIMIT)

    def size(self, queue: str) -> int:
        """Ready messages and those not yet due."""
        return self.read(lambda connection: int(connection.execute(MESSAGES["size"], {"queue": queue}).fetchone()[0]))

    def purge(self, queue: str) -> int:
        """Drop what ``size`` counts; return how many."""
        dropped = self.write(lambda connection: connection.execute(MESSAGES["purge"], (queue,)).rowcount)
        self._written()
        return dropped

    def queues(self) -> list[QueueSize]:
        """As ``ListsQueues.queues``."""
        rows = self.read(lambda connection: connection.execute(MESSAGES["queues"]).fetchall())
        return [QueueSize(*row) for row in rows]

    # -- records

    def store(self, records: Sequence[SealedRecord]) -> None:
        """Write the records that may replace what is there."""

        def work(connection: sqlite3.Connection) -> None:
            self.write_records(connection, records)
            self.expire(connection)

        self.commit(work, sum(len(record.payload) for record in records))
        self.ring()

    def write_records(self, connection: sqlite3.Connection, records: Iterable[SealedRecord]) -> None:
        """As ``store``, inside a transaction."""
        now = self.clock.now()
        rows = [(r.id, r.state, r.final, r.life, r.expires, r.payload, now) for r in records]
        connection.executemany(RECORDS["store"], rows)

    def expire(self, connection: sqlite3.Connection) -> None:
        """Delete some expired records, now and then; inside a transaction."""
        moment = self.clock.monotonic()
        if moment < self._next_expiry:
            return
        gone = connection.execute(RECORDS["expire"], (self.clock.now(), EXPIRY_BATCH)).rowcount
        if gone < EXPIRY_BATCH:
            self._next_expiry = moment + EXPIRY_PAUSE

    def load(self, ids: Iterable[str]) -> dict[str, SealedRecord]:
        """The records of these ids that have not expired."""
        return self.read(lambda connection: self.load_with(connection, ids))

    def load_with(self, connection: sqlite3.Connection, ids: Iterable[str]) -> dict[str, SealedRecord]:
        """As ``load``, with a connection of the caller's."""
        rows = connection.execute(RECORDS["load"], (json.dumps(list(ids)), self.clock.now())).fetchall()
        return {id: SealedRecord(id, state, payload, expires, life) for id, state, payload, expires, life in rows}

    def forget(self, ids: Iterable[str]) -> None:
        """Drop these records."""
        rows = [(id,) for id in ids]
        self.write(lambda connection: connection.executemany(RECORDS["forget"], rows))
        self._written()


def _after_fork_in_child() -> None:
    global _registry
    _registry = threading.Lock()
    for store in list(_stores.values()):
        store._born()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
