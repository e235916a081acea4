"""Keeps messages for a broker that is away, in the order in which they came, in a file of their own."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from umbel.errors import ConfigurationError, StoreError
from umbel.model import Envelope, Route
from umbel.stores.sqlite.access import Access
from umbel.stores.sqlite.faults import translating
from umbel.stores.sqlite.filesystems import check_filesystem
from umbel.stores.sqlite.locks import HAVE_LOCKS, FileLock
from umbel.stores.sqlite.seats import Seat
from umbel.stores.sqlite.statements import statements

SPOOL = statements("spool.sql")

PATIENCE = 5.0
"""Seconds that a call waits for others that write to the file."""


class Spooled(NamedTuple):
    """One message; ``doubtful`` says that the broker may have it already."""

    number: int
    route: Route
    envelope: Envelope
    doubtful: bool


class SpoolFile:
    """The messages in the file at ``path``. Safe to use from all threads, in forked children and by many processes.

    A message is on the disk when ``add`` returns. Everything raises ``StoreError`` and its kinds.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.realpath(path)
        self._seat = Seat(self.path, self._connect)
        self._access = Access(self.path, PATIENCE)

    def open(self) -> None:
        """Make the file where there is none; raises ``ConfigurationError`` when nothing can be kept there."""
        if not HAVE_LOCKS:
            raise ConfigurationError("broker_spool needs locks on files, which this system does not have: leave it out")
        try:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            check_filesystem(self.path)
            self._access.write(self._seat, lambda connection: connection.execute(SPOOL["drop"], (0,)))
        except (OSError, StoreError) as error:
            raise ConfigurationError(
                f"broker_spool={self.path}: nothing can be kept there: {error}; name a file that can be written"
            ) from error

    def _connect(self) -> sqlite3.Connection:
        with translating(self.path):
            connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(SPOOL["make"])
            except BaseException:
                connection.close()
                raise
        return connection

    def any(self) -> bool:
        """Whether a message waits."""
        return bool(self._access.read(self._seat, lambda connection: connection.execute(SPOOL["any"]).fetchone()[0]))

    def count(self) -> tuple[int, int]:
        """How many messages wait, and how many were refused by the broker."""
        row: tuple[int, int] = self._access.read(self._seat, lambda c: c.execute(SPOOL["count"]).fetchone())
        return row

    def add(self, messages: Iterable[tuple[Route, Envelope]], doubtful: bool) -> None:
        """Keep them, behind all others; all or none."""
        rows = [(json.dumps(route), *envelope, doubtful) for route, envelope in messages]
        self._access.write(self._seat, lambda connection: connection.executemany(SPOOL["add"], rows))

    def first(self, most: int) -> list[Spooled]:
        """The oldest that wait."""
        rows = self._access.read(self._seat, lambda connection: connection.execute(SPOOL["first"], (most,)).fetchall())
        return [
            Spooled(number, Route(*json.loads(route)), Envelope(form, id, head, body), bool(doubtful))
            for number, route, form, id, head, body, doubtful in rows
        ]

    def doubt(self, numbers: Sequence[int]) -> None:
        """The broker may have these from now on."""
        rows = [(number,) for number in numbers]
        self._access.write(self._seat, lambda connection: connection.executemany(SPOOL["doubt"], rows))

    def drop(self, numbers: Sequence[int]) -> None:
        """The broker has these."""
        rows = [(number,) for number in numbers]
        self._access.write(self._seat, lambda connection: connection.executemany(SPOOL["drop"], rows))

    def refuse(self, number: int, reason: str) -> None:
        """The broker does not take this one: it stays, and is in nobody's way."""
        self._access.write(self._seat, lambda connection: connection.execute(SPOOL["refuse"], (reason, number)))

    def lock(self) -> FileLock | None:
        """The right to send what waits; None while another has it, who may be in this process."""
        return FileLock.take(f"{self.path}-sender")

    def close(self) -> None:
        """Close what is not in use; it is opened again when it is needed."""
        self._seat.close()
