"""SQLite by hand: the rows that umbel wrote, written again by ``executemany`` into tables laid out as umbel's are."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from bench import client
from bench.peers import umbel_sqlite

DATABASE = client.HOME / "bare.db"

_rows: dict[int, list[tuple[Any, ...]]] = {}
"""What umbel writes for so many calls."""


def _laid_out() -> sqlite3.Connection:
    umbel_sqlite.call(1)
    connection = sqlite3.connect(DATABASE, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("ATTACH ? AS umbel", (str(umbel_sqlite.DATABASE),))
    layout = "SELECT sql FROM umbel.sqlite_schema WHERE tbl_name = 'messages' AND sql IS NOT NULL ORDER BY rowid"
    for (statement,) in connection.execute(layout).fetchall():
        connection.execute(statement)
    return connection


_connection = _laid_out()


def call_many(numbers: Sequence[int]) -> None:
    """One transaction; the rows are made at the first call, which counts as a warm-up."""
    count = len(numbers)
    if count not in _rows:
        umbel_sqlite.call_many(numbers)
        chosen = "SELECT queue, priority, claim, id, head, body FROM umbel.messages ORDER BY seq DESC LIMIT ?"
        _rows[count] = _connection.execute(chosen, (count,)).fetchall()
    _connection.execute("BEGIN IMMEDIATE")
    _connection.executemany(
        "INSERT INTO messages (queue, priority, claim, id, head, body) VALUES (?, ?, ?, ?, ?, ?)", _rows[count]
    )
    _connection.execute("COMMIT")
