"""Runs work on a store's connections: waits for locks up to a deadline, and undoes what fails."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from umbel.errors import StoreBusy
from umbel.stores.sqlite.faults import primary_code, raise_translated
from umbel.stores.sqlite.seats import Seat

T = TypeVar("T")

FIRST_PAUSE = 0.0002
LONGEST_PAUSE = 0.004
"""Seconds between two tries for the write lock, grown by half each time and varied, so that everybody's turn comes.

SQLite's own waiting grows to a tenth of a second, and who has waited long loses to those who just came.
"""


class Access:
    """The way to one file for all threads of a process. Everything raises ``StoreError`` and its kinds.

    ``timeout`` (seconds) bounds each call as a whole.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self.timeout = timeout
        self._writing = threading.Lock()

    def read(self, seat: Seat, work: Callable[[sqlite3.Connection], T]) -> T:
        """What ``work`` returns; it may be run again, and its statements see the file at different moments."""
        patience = Patience(self.timeout)
        while True:
            try:
                with seat as connection:
                    return work(connection)
            except sqlite3.Error as error:
                if not patience.bears(error):
                    raise_translated(error, self.path)

    def write(self, seat: Seat, work: Callable[[sqlite3.Connection], T]) -> T:
        """What ``work`` returns, once all that it did is committed; any exception undoes it. It is run once at most."""
        return self._alone(seat, lambda connection, patience: _transact(connection, work, patience))

    def write_row(self, seat: Seat, statement: str, row: tuple[object, ...]) -> None:
        """One statement, which is a transaction by itself and saves two more."""
        self._alone(seat, lambda connection, patience: _insist(connection, statement, row, patience))

    def _alone(self, seat: Seat, work: Callable[[sqlite3.Connection, Patience], T]) -> T:
        """Work while no other thread of this process writes: threads wake each other, processes have to try again."""
        patience = Patience(self.timeout)
        if not self._writing.acquire(timeout=self.timeout):
            raise StoreBusy(f"another thread of this process wrote to {self.path} for more than {self.timeout:g} s")
        try:
            with seat as connection:
                return work(connection, patience)
        except sqlite3.Error as error:
            raise_translated(error, self.path)
        finally:
            self._writing.release()


class Patience:
    """How long one call has waited for a lock, and how long it still will."""

    def __init__(self, timeout: float) -> None:
        self._deadline = time.monotonic() + timeout
        self._pause = FIRST_PAUSE

    def bears(self, error: sqlite3.Error) -> bool:
        """Whether another try is due, after a pause that this makes."""
        if primary_code(error) != sqlite3.SQLITE_BUSY:
            return False
        left = self._deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, self._pause * random.uniform(0.5, 1.5)))
        self._pause = min(self._pause * 1.5, LONGEST_PAUSE)
        return True


def _insist(connection: sqlite3.Connection, statement: str, row: tuple[object, ...], patience: Patience) -> None:
    while True:
        try:
            connection.execute(statement, row)
        except sqlite3.OperationalError as error:
            if not patience.bears(error):
                raise
        else:
            return


def _transact(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T], patience: Patience) -> T:
    # Whoever has begun holds the write lock: nothing after this waits.
    _insist(connection, "BEGIN IMMEDIATE", (), patience)
    try:
        result = work(connection)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return result
