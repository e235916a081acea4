"""Opens connections to a store's file, the first one of all with everything that a new file needs."""

from __future__ import annotations

import os
import sqlite3
import time
from functools import lru_cache
from pathlib import Path

from umbel.errors import StoreUnsuitable
from umbel.settings.home import prepare_home
from umbel.stores.sqlite.checkpointing import SAFETY_LIMIT
from umbel.stores.sqlite.faults import primary_code, translating
from umbel.stores.sqlite.filesystems import check_filesystem
from umbel.stores.sqlite.location import Location
from umbel.stores.sqlite.schema import ensure_schema

OLDEST = (3, 35, 0)
"""What the statements need: JSON functions, upserts, partial indexes."""

_PAUSE = 0.005


def connect(
    location: Location, timeout: float, synchronous: str, patience: float = 0.0, *, creates: bool = True
) -> sqlite3.Connection:
    """A connection ready for use by one thread at a time.

    ``timeout`` (seconds) bounds each wait for a lock while it is opened; afterwards a statement waits for ``patience``.

    Makes the folder and the file where there are none; with ``creates=False`` it makes neither, and an empty store is
    read in their place. Raises ``StoreError`` and its kinds; ``ConfigurationError`` when the folder cannot be made.
    """
    if sqlite3.sqlite_version_info < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise StoreUnsuitable(f"SQLite {sqlite3.sqlite_version} is too old for umbel, which needs {wanted} or newer")
    if not os.path.exists(location.path):
        if not creates:
            return _nothing(location.path)
        prepare_home(Path(location.path).parent)
    if not location.any_filesystem:
        _check_once(location.path)
    with translating(location.path):
        connection = sqlite3.connect(
            f"{Path(location.path).as_uri()}?mode={'rwc' if creates else 'rw'}",
            uri=True,
            timeout=timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=64,
        )
        try:
            _prepare(connection, location, timeout, synchronous)
            connection.execute(f"PRAGMA busy_timeout = {patience * 1000:.0f}")
        except BaseException:
            connection.close()
            raise
    return connection


def _nothing(path: str) -> sqlite3.Connection:
    """The store before anything was written to it, in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    ensure_schema(connection, path)
    return connection


@lru_cache(maxsize=64)
def _check_once(path: str) -> None:
    check_filesystem(path)


def _prepare(connection: sqlite3.Connection, location: Location, timeout: float, synchronous: str) -> None:
    _switch_to_wal(connection, location.path, timeout)
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    # Only ``checkpointing`` moves the log into the file: see docs/decisions/0011.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA journal_size_limit = {SAFETY_LIMIT}")
    # 2 MB a connection: queues and new results are read and written at their ends, and more was not measurably quicker.
    connection.execute("PRAGMA cache_size = -2000")
    ensure_schema(connection, location.path)


def _switch_to_wal(connection: sqlite3.Connection, path: str, timeout: float) -> None:
    """The switch needs the file for itself for a moment, and SQLite gives up at once where another wants the same."""
    deadline = time.monotonic() + timeout
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StoreUnsuitable(f"{path} can have no write-ahead log where it is; choose another folder")
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE)
