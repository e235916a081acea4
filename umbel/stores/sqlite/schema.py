"""Brings a database file to the layout that this version of umbel reads and writes."""

from __future__ import annotations

import sqlite3

from umbel.errors import StoreUnsuitable
from umbel.stores.sqlite.statements import script

MIGRATIONS = ("schema/0001.sql", "schema/0002.sql", "schema/0003.sql")
"""Number n brings a database from layout n to layout n + 1; one that was released is never edited."""

APPLICATION = 0x756D626C
"""SQLite's mark for the program that a file belongs to: "umbl"."""


def ensure_schema(connection: sqlite3.Connection, path: str) -> None:
    """Create or migrate the layout, once, however many processes try at the same time.

    Raises ``StoreUnsuitable`` for a newer layout than this version knows, and for another program's database.
    """
    connection.execute("BEGIN")  # one moment for all that is read: another process may be creating the layout
    try:
        if _version(connection, path) == len(MIGRATIONS):
            return
    finally:
        connection.execute("ROLLBACK")
    connection.execute("BEGIN IMMEDIATE")
    try:
        for name in MIGRATIONS[_version(connection, path) :]:
            for statement in _split(script(name)):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _version(connection: sqlite3.Connection, path: str) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION and (application or version or _tables(connection)):
        raise StoreUnsuitable(f"{path} is the database of another program; give umbel a file of its own")
    if version > len(MIGRATIONS):
        raise StoreUnsuitable(
            f"{path} has layout {version}, written by a newer umbel; this one knows layouts up to {len(MIGRATIONS)}: "
            "upgrade it, or give it a file of its own"
        )
    return int(version)


def _tables(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])


def _split(text: str) -> list[str]:
    """The statements of a script; ``executescript`` would commit on its own account."""
    parts: list[str] = []
    rest = ""
    for line in text.splitlines(keepends=True):
        rest += line
        if sqlite3.complete_statement(rest):
            parts.append(rest)
            rest = ""
    return parts
