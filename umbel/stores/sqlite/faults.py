"""Turns SQLite's errors into umbel's, with the file they are about and what can be done."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from umbel.errors import StoreBusy, StoreDamaged, StoreError, StoreFull

_PRIMARY = 0xFF
"""SQLite's extended codes carry the primary one in the lowest byte."""


def primary_code(error: sqlite3.Error) -> int:
    """The primary result code, 0 for an error that did not come from the database (a wrong use of the module)."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY


@contextmanager
def translating(path: str) -> Iterator[None]:
    """Raise SQLite's errors about the file ``path`` as ``StoreError`` and its kinds."""
    try:
        yield
    except sqlite3.Error as error:
        raise_translated(error, path)


def raise_translated(error: sqlite3.Error, path: str) -> NoReturn:
    """Raise the ``StoreError`` that tells what happened to ``path``; a wrong use of SQLite is raised as it is."""
    if not primary_code(error):
        raise error
    raise _translated(error, path) from error


def _translated(error: sqlite3.Error, path: str) -> StoreError:
    code = primary_code(error)
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _no_room(path)):
        return StoreFull(f"no room left on the disk of {path}: nothing was written; free some room and try again")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(
            f"another process held the lock of {path} for too long: nothing was written; end a transaction that is "
            "left open in it (a shell, a backup tool), or raise broker_publish_timeout"
        )
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreError(
            f"{path} cannot be written ({error}): this user needs write permission for the file and for its folder, "
            f"{os.path.dirname(path)}"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreDamaged(
            f"{path} is damaged, or not an SQLite database ({error}): stop every process that uses it, move it away "
            f"together with {os.path.basename(path)}-wal, and restore it from a backup or save what can be saved with "
            "the sqlite3 shell's .recover"
        )
    return StoreError(f"{path}: {error} ({error.sqlite_errorname})")


def _no_room(path: str) -> bool:
    """SQLite reports some writes to a full disk as mere input/output errors."""
    try:
        return os.statvfs(os.path.dirname(path)).f_bavail == 0
    except (OSError, AttributeError):
        return False
