"""Holds connections so that each is used by one thread at a time and none is carried through a fork."""

from __future__ import annotations

import atexit
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from types import TracebackType

FORK_PATIENCE = 10.0
"""Seconds that a fork waits for a statement that another thread is running."""

_seats: weakref.WeakSet[Seat] = weakref.WeakSet()
_gate = threading.Lock()
"""Held while a seat is added and during a fork, so that no connection is opened unseen."""

_abandoned: list[sqlite3.Connection] = []
"""A child's copies of connections that a thread of its parent was using: never to be used nor closed."""


class Seat:
    """A place for one connection; entering it waits for its turn, opens the connection if need be, and gives it out.

    A connection whose file was removed or replaced is closed and opened anew: what is written to a file without a name
    is lost. A seat that ``creates`` nothing may stand for a file that is not there, until it is. A fork closes the
    connections of all seats first, because SQLite keeps its locks by process: a child would believe that it holds its
    parent's.
    """

    def __init__(self, path: str, connect: Callable[[], sqlite3.Connection], creates: bool = True) -> None:
        self._path = path
        self._creates = creates
        self._connect = connect
        self._mutex = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self.openings = 0
        """How many connections have been opened here; it tells one from the next."""
        with _gate:
            _seats.add(self)

    def __enter__(self) -> sqlite3.Connection:
        self._mutex.acquire()
        try:
            connection = self._connection
            if connection is None or self._file != identity(self._path):
                connection = self._reopen()
            return connection
        except BaseException:
            self._mutex.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mutex.release()

    def _reopen(self) -> sqlite3.Connection:
        self._drop()
        found = identity(self._path)
        self._connection = self._connect()
        self.openings += 1
        # what was there before: a file that has come since must be noticed by those who saw none
        self._file = identity(self._path) if self._creates else found
        return self._connection

    def _drop(self) -> None:
        connection, self._connection, self._file = self._connection, None, None
        if connection is not None:
            connection.close()

    def close(self, patience: float = -1) -> None:
        """Close the connection once nobody uses it; it is opened again when somebody enters."""
        if self._mutex.acquire(timeout=patience):
            try:
                self._drop()
            finally:
                self._mutex.release()

    def __del__(self) -> None:
        if self._connection is not None:
            self._connection.close()


def identity(path: str) -> tuple[int, int] | None:
    """What tells one file from another that has taken its name; None where no file can be seen."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


_frozen: list[Seat] = []


def _before_fork() -> None:
    _gate.acquire()
    for seat in list(_seats):
        if seat._mutex.acquire(timeout=FORK_PATIENCE):
            _frozen.append(seat)
            seat._drop()


def _after_fork_in_parent() -> None:
    while _frozen:
        _frozen.pop()._mutex.release()
    _gate.release()


def _after_fork_in_child() -> None:
    _frozen.clear()
    for seat in list(_seats):
        seat._mutex = threading.Lock()
        if seat._connection is not None:
            _abandoned.append(seat._connection)
            seat._connection = None
    _gate.release()


def _close_all() -> None:
    for seat in list(_seats):
        seat.close(patience=1.0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
atexit.register(_close_all)
