"""Finds nodes that are dead and makes what they held ready again."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections import defaultdict
from typing import NamedTuple

from umbel.errors import StoreError
from umbel.stores.sqlite.locks import HAVE_LOCKS, FileLock
from umbel.stores.sqlite.presence import LEASE, NODES
from umbel.stores.sqlite.seats import Seat
from umbel.stores.sqlite.store import SqliteStore

logger = logging.getLogger("umbel.stores")

_LOCK_FILE = re.compile(r"(\d+)(\.\d+)?")


class _Row(NamedTuple):
    """What a node says of itself in the file."""

    boot: str
    heartbeat: float


class _Pulse(NamedTuple):
    """A node's heartbeat, and the boot time at which it was first seen."""

    heartbeat: float
    seen: float


class Reaper:
    """Gives back what dead nodes held, marked redelivered; used by one thread.

    A node is dead when its lock and those of its runners can be had; or ``LEASE`` seconds after its own could, though a
    runner still holds one; or, where its lock says nothing (the file is missing, or of another boot), when its row was
    not renewed for as long. A lock that is held always wins.
    """

    def __init__(self, store: SqliteStore, seat: Seat) -> None:
        self._store = store
        self._seat = seat
        self._orphaned: dict[int, float] = {}
        self._pulses: dict[int, _Pulse] = {}

    def sweep(self) -> bool:
        """Look at every node; those of this process live. Whether a dead one was found.

        Raises ``StoreError``; then nothing was given back.
        """
        access = self._store.access
        dead = access.read(self._seat, self._dead)
        _release(dead, remove=False)
        if not dead:
            return False
        returned: dict[int, int] = {}

        def reap(connection: sqlite3.Connection) -> None:
            dead.update(self._dead(connection))
            for number in dead:
                returned[number] = connection.execute(NODES["release"], (number,)).rowcount
                connection.execute(NODES["strike_out"], (number,))

        dead.clear()
        try:
            # Judged once more where nobody can register meanwhile; the files go when it is durable that they may.
            access.write(self._seat, reap)
            _release(dead, remove=True)
        finally:
            _release(dead, remove=False)
        for number, count in returned.items():
            if count:
                logger.warning("node %d is gone; what it held is ready again: %d messages", number, count)
        self._store.ring()
        return True

    def _dead(self, connection: sqlite3.Connection) -> dict[int, list[FileLock]]:
        """The numbers of dead nodes, and of nodes of which only files are left; each with its locks, taken."""
        rows = {number: _Row(boot, beat) for number, boot, beat in connection.execute(NODES["all"]).fetchall()}
        files = self._files()
        numbers = rows.keys() | files.keys()
        self._orphaned = {number: since for number, since in self._orphaned.items() if number in numbers}
        self._pulses = {number: pulse for number, pulse in self._pulses.items() if number in numbers}
        dead = {}
        for number in sorted(numbers):
            locks: list[FileLock] = []
            if self._judge(number, rows.get(number), files[number], locks):
                dead[number] = locks
            else:
                _release({number: locks}, remove=False)
        return dead

    def _files(self) -> dict[int, set[str]]:
        """The lock files of each node and its runners, by name."""
        files: dict[int, set[str]] = defaultdict(set)
        try:
            names = os.listdir(self._store.folder)
        except FileNotFoundError:
            names = []
        except OSError as error:
            raise StoreError(f"cannot list the lock files in {self._store.folder}: {error.strerror}") from error
        for name in names:
            if match := _LOCK_FILE.fullmatch(name):
                files[int(match[1])].add(name)
        return files

    def _judge(self, number: int, row: _Row | None, names: set[str], locks: list[FileLock]) -> bool:
        """Whether the node is dead; the locks that were had on the way are added to ``locks``."""
        own = str(number)
        free = own in names and self._try(own, locks)
        if free is False and own in names:
            self._orphaned.pop(number, None)
            return False
        telling = free is True and (row is None or row.boot == self._store.clock.boot_id())
        if row is not None and not telling and not self._silent(number, row):
            return False
        if all(self._try(name, locks) is not False for name in sorted(names - {own})):
            return True
        since = self._orphaned.setdefault(number, self._store.clock.boot())
        return row is not None and self._store.clock.boot() - since >= LEASE

    def _try(self, name: str, locks: list[FileLock]) -> bool | None:
        """Take a lock: True when it was had, False when somebody holds it, None when that cannot be told."""
        if not HAVE_LOCKS:
            return None
        try:
            lock = FileLock.take(os.path.join(self._store.folder, name), create=False)
        except PermissionError:
            return None
        except OSError as error:
            path = os.path.join(self._store.folder, name)
            raise StoreError(f"cannot open the lock file {path}: {error.strerror}") from error
        if lock is None:
            return False
        locks.append(lock)
        return True

    def _silent(self, number: int, row: _Row) -> bool:
        """Whether the row was not renewed for ``LEASE`` seconds, by its own word or as seen from here."""
        now = self._store.clock.boot()
        pulse = self._pulses.get(number)
        if pulse is None or pulse.heartbeat != row.heartbeat:
            pulse = self._pulses[number] = _Pulse(row.heartbeat, now)
        comparable = row.boot == self._store.clock.boot_id()
        return now - pulse.seen >= LEASE or (comparable and now - row.heartbeat >= LEASE)


def _release(dead: dict[int, list[FileLock]], remove: bool) -> None:
    for locks in dead.values():
        for lock in locks:
            lock.release(remove)
