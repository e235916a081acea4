"""Registers a node that holds messages, and proves to others that it lives."""

from __future__ import annotations

import os
import socket
import sqlite3

from umbel.clock import Clock
from umbel.errors import StoreError
from umbel.stores.sqlite.locks import HAVE_LOCKS, FileLock
from umbel.stores.sqlite.statements import statements

NODES = statements("nodes.sql")

HEARTBEAT = 10.0
"""Seconds between two renewals of a node's row."""

LEASE = 30.0
"""Seconds after which a node that proves nothing any more is given up."""

MOST_NODES = 10_000
"""Numbers that are tried in a row."""


class Presence:
    """One node's row, and the lock on its file: while the lock is held, nobody takes the node for dead."""

    def __init__(self, number: int, folder: str, lock: FileLock | None, clock: Clock) -> None:
        self.number = number
        self._folder = folder
        self._lock = lock
        self._clock = clock
        self._beaten = clock.boot()

    @classmethod
    def register(cls, connection: sqlite3.Connection, folder: str, clock: Clock) -> Presence:
        """A new node; inside a transaction, and made void by ``leave`` when that is undone.

        Whoever looks for dead nodes decides inside a transaction too, and so never sees a row without its lock.
        Raises ``StoreError`` when no lock file can be made.
        """
        connection.execute(NODES["release_orphans"])
        row = (socket.gethostname(), os.getpid(), clock.boot_id(), clock.boot(), clock.now())
        try:
            os.makedirs(folder, exist_ok=True)
            for _ in range(MOST_NODES):
                number = connection.execute(NODES["register"], row).lastrowid or 0
                lock = FileLock.take(os.path.join(folder, str(number)))
                if lock is not None or not HAVE_LOCKS:
                    return cls(number, folder, lock, clock)
                # The number is taken: by a node of a file that had this name before, or by a look at what it left.
                connection.execute(NODES["strike_out"], (number,))
        except OSError as error:
            raise StoreError(
                f"cannot make a lock file in {folder}: {error.strerror}; this user needs write permission there"
            ) from error
        raise StoreError(f"{MOST_NODES} lock files in {folder} are locked; no other program may use this folder")

    def lifeline(self, runner: int) -> str:
        """The path of the file that this node's runner locks for its life."""
        return os.path.join(self._folder, f"{self.number}.{runner}")

    def beat(self, connection: sqlite3.Connection) -> bool:
        """Renew the row if that is due; False when the row is gone: somebody took this node for dead."""
        now = self._clock.boot()
        if now - self._beaten < HEARTBEAT:
            return bool(connection.execute(NODES["known"], (self.number,)).fetchone()[0])
        known = connection.execute(NODES["beat"], (now, self.number)).rowcount == 1
        self._beaten = now
        return known

    def beat_is_due(self) -> bool:
        """Whether ``beat`` would write."""
        return self._clock.boot() - self._beaten >= HEARTBEAT

    def die(self) -> None:
        """Let go of the lock alone, as if the process had ended."""
        if self._lock is not None:
            self._lock.release()

    def leave(self) -> None:
        """Let go of the lock and remove the files, but those that a runner holds; the row is struck out before."""
        if self._lock is None:
            return
        for name in os.listdir(self._folder) if os.path.isdir(self._folder) else ():
            if name.startswith(f"{self.number}."):
                runner = FileLock.take(os.path.join(self._folder, name), create=False)
                if runner is not None:
                    runner.release(remove=True)
        self._lock.release(remove=True)
