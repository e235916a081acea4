"""Tells one thread when somebody else wrote to the store, in as few looks as will do."""

from __future__ import annotations

import sqlite3
import time

from umbel.stores.sqlite.access import Access
from umbel.stores.sqlite.ear import Ear, ear_on
from umbel.stores.sqlite.seats import Seat

FIRST_NAP = 0.0003
EAGER_NAP = 0.001
IDLE_NAP = 0.02
"""Seconds between two looks: just after something stirred, lately, and at most where writes are not heard."""

LISTENING_NAP = 0.5
"""Seconds between two looks where writes are heard."""

EAGER_FOR = 2.0
"""Seconds that "lately" lasts."""

GROWTH = 1.5


class Lookout:
    """Looks at the file by SQLite's ``data_version``, which costs microseconds and sees the commits of others only.

    Where writes are heard, looks are needed only for a moment after one: it is heard a little before it can be seen,
    because the log is written first and its index last, with a wait for the disk between if FULL is asked for.
    """

    def __init__(self, access: Access, seat: Seat) -> None:
        self._access = access
        self._seat = seat
        self._ear: Ear = ear_on(f"{access.path}-wal")
        self._seen: tuple[int, int] | None = None
        self._heard = False
        self._nap = FIRST_NAP
        self._eager_until = 0.0

    def ring(self) -> None:
        """Wake the thread; from any other one."""
        self._ear.ring()

    def changed(self) -> bool:
        """Whether another connection has committed since this was last asked; the first time, yes.

        Raises ``StoreError``.
        """
        if self._ear.clear():
            self._heard = True
            self.stir()
        version = self._access.read(self._seat, self._version)
        if version == self._seen:
            return False
        if self._seen is None or self._seen[0] != version[0]:
            self._ear.attend()
        elif not self._heard:
            self._ear.missed()
        self._heard = False
        self._seen = version
        self.stir()
        return True

    def _version(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """What a connection calls the state of the file; it says something beside others of the same connection."""
        return self._seat.openings, connection.execute("PRAGMA data_version").fetchone()[0]

    def stir(self) -> None:
        """Something happens: look often for a while."""
        self._nap = FIRST_NAP
        self._eager_until = time.monotonic() + EAGER_FOR

    def wait(self, longest: float) -> None:
        """Return when it is time for the next look; after a ring, or ``longest`` seconds, at the latest."""
        self._ear.wait(min(longest, self._pace()), for_writes=True)

    def rest(self, longest: float) -> None:
        """Return after a ring or ``longest`` seconds; what others write is of no interest."""
        self._ear.wait(longest, for_writes=False)

    def _pace(self) -> float:
        if not self._ear.keen and time.monotonic() < self._eager_until:
            return EAGER_NAP
        if self._nap < IDLE_NAP:
            self._nap = min(self._nap * GROWTH, IDLE_NAP)
            return self._nap
        return LISTENING_NAP if self._ear.keen else IDLE_NAP

    def close(self) -> None:
        self._ear.close()
