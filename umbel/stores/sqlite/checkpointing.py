"""Moves the write-ahead log into the database file when it has grown, one process at a time.

SQLite could do this by itself after commits. Versions before 3.51.3 have a race: a checkpoint that starts when the log
was just moved whole, while another connection commits and begins the log anew, can damage the file. Here each round of
the log is copied at most once without the write lock; everything else holds it. See docs/decisions/0011.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading

from umbel.errors import StoreError
from umbel.stores.sqlite.faults import translating
from umbel.stores.sqlite.locks import HAVE_LOCKS, FileLock
from umbel.stores.sqlite.log import LogState, state_of
from umbel.stores.sqlite.seats import Seat

logger = logging.getLogger("umbel.stores")

NODE_LIMIT = 64 << 20
"""Bytes of the log at which a consuming node moves it."""

SAFETY_LIMIT = 128 << 20
"""Bytes at which whoever writes moves it: no node seems to be there. The file is not left larger than that."""


class Checkpoints:
    """Checkpoints of one store; safe to use from several threads, of which one at a time does the work.

    ``seat`` is used for nothing else, and its connection waits for locks a tenth of a second at most: while it waits,
    nobody can write.
    """

    def __init__(self, path: str, folder: str, seat: Seat) -> None:
        self._path = path
        self._log = f"{path}-wal"
        self._lock_path = os.path.join(folder, "checkpoint")
        self._seat = seat
        self._mutex = threading.Lock()
        self._moved = b""
        """The salts of the last round that was moved whole; the next writer begins another."""

    def due(self, limit: int) -> bool:
        """Whether the log has ``limit`` bytes that are not moved yet."""
        try:
            if os.stat(self._log).st_size < limit:
                return False
        except OSError:
            return False
        state = state_of(self._log)
        return state is not None and state.size >= limit and state.salts != self._moved

    def run(self, limit: int, shrink: bool = False) -> bool:
        """Move the log if it has the size; False when somebody else is at it, or a reader was in the way.

        ``shrink`` gives its room on the disk back too. Raises ``StoreError``.
        """
        if not self._mutex.acquire(blocking=False):
            return False
        try:
            lock = self._lock()
            if lock is None and HAVE_LOCKS:
                return False
            try:
                state = state_of(self._log)
                return state is None or state.size < limit or self._move(state, lock, shrink)
            finally:
                if lock is not None:
                    lock.release()
        finally:
            self._mutex.release()

    def run_aside(self, limit: int) -> None:
        """As ``run``, in a thread of its own if there is something to do; what goes wrong is logged."""
        if self.due(limit) and not self._mutex.locked():
            name = f"umbel-checkpoint {self._path}"
            threading.Thread(target=self._run_logged, args=(limit,), name=name, daemon=True).start()

    def _run_logged(self, limit: int) -> None:
        try:
            self.run(limit)
        except StoreError as error:
            logger.warning("the log could not be moved into the file; it will be tried again: %s", error)

    def _lock(self) -> FileLock | None:
        try:
            os.makedirs(os.path.dirname(self._lock_path), exist_ok=True)
            return FileLock.take(self._lock_path)
        except OSError as error:
            raise StoreError(
                f"cannot lock {self._lock_path}: {error.strerror}; this user needs write permission there"
            ) from error

    def _move(self, state: LogState, lock: FileLock | None, shrink: bool) -> bool:
        with translating(self._path), self._seat as connection:
            if lock is not None and _noted(lock, state.salts):
                # Nearly everything, while others go on writing, so that the next step is short. Not a second time:
                # once the round is copied whole, somebody may begin the next while this starts.
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            try:
                mode = "TRUNCATE" if shrink else "RESTART"
                ((busy, _, _),) = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    return False
                raise
        if not busy:
            self._moved = state.salts
        return not busy


def _noted(lock: FileLock, salts: bytes) -> bool:
    """Whether this process is the first to move this round, and could say so to those after it.

    On a full disk the note may not fit: then the step that holds the write lock moves everything, and needs none.
    """
    if lock.read() == salts:
        return False
    try:
        lock.write(salts)
    except OSError:
        return False
    return True
