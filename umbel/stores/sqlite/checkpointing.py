"""Moves the write-ahead log into the database file when it has grown, one process at a time.

SQLite could do this by itself after commits. Versions before 3.51.3 have a race in which a checkpoint that starts
right after another, while a third connection commits and starts the log anew, damages the file. Here a lock file lets
one process in at a time, and it ends with a checkpoint that holds the write lock and empties the log.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading

from umbel.errors import StoreError
from umbel.stores.sqlite.faults import translating
from umbel.stores.sqlite.locks import HAVE_LOCKS, FileLock
from umbel.stores.sqlite.seats import Seat

logger = logging.getLogger("umbel.stores")

NODE_LIMIT = 64 << 20
"""Bytes of the log at which a consuming node moves it."""

SAFETY_LIMIT = 128 << 20
"""Bytes at which whoever writes moves it: no node seems to be there."""


class Checkpoints:
    """Checkpoints of one store; safe to use from several threads, of which one at a time does the work.

    ``seat`` is used for nothing else, and its connection waits for locks a tenth of a second at most: while the log is
    emptied, nobody can write.
    """

    def __init__(self, path: str, folder: str, seat: Seat) -> None:
        self._path = path
        self._log = f"{path}-wal"
        self._lock_path = os.path.join(folder, "checkpoint")
        self._seat = seat
        self._mutex = threading.Lock()

    def due(self, limit: int) -> bool:
        """Whether the log has grown to ``limit`` bytes."""
        try:
            return os.stat(self._log).st_size >= limit
        except FileNotFoundError:
            return False

    def run(self, limit: int) -> bool:
        """Empty the log if it has the size; False when somebody else is at it, or a reader was in the way.

        Raises ``StoreError``.
        """
        if not self._mutex.acquire(blocking=False):
            return False
        try:
            lock = self._lock()
            if lock is None and HAVE_LOCKS:
                return False
            try:
                return not self.due(limit) or self._empty(lock is not None)
            finally:
                if lock is not None:
                    lock.release()
        finally:
            self._mutex.release()

    def _lock(self) -> FileLock | None:
        try:
            os.makedirs(os.path.dirname(self._lock_path), exist_ok=True)
            return FileLock.take(self._lock_path)
        except OSError as error:
            raise StoreError(
                f"cannot lock {self._lock_path}: {error.strerror}; this user needs write permission there"
            ) from error

    def run_aside(self, limit: int) -> None:
        """As ``run``, in a thread of its own if there is something to do; what goes wrong is logged."""
        if self.due(limit) and not self._mutex.locked():
            threading.Thread(
                target=self._run_logged, args=(limit,), name="umbel-sqlite-checkpoint", daemon=True
            ).start()

    def _run_logged(self, limit: int) -> None:
        try:
            self.run(limit)
        except StoreError as error:
            logger.warning("the log could not be moved into the file; it will be tried again: %s", error)

    def _empty(self, alone: bool) -> bool:
        with translating(self._path), self._seat as connection:
            try:
                if alone:
                    # Copies nearly everything while others go on writing, so that the next step is short.
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                ((busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    return False
                raise
        return not busy
