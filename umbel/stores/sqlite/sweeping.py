"""Removes what nobody drops: expired marks and progress, and dead letters that are too old or too many."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from umbel.stores.sqlite.store import SqliteStore

BATCH = 100
"""Rows deleted in one transaction: the bodies of dead letters may be large, and nobody should wait long."""

BUDGET = 0.05
"""Seconds after which the rest waits for the next call."""

PAUSE = 10.0
"""Seconds until it looks again once nothing is left."""


class Sweeper:
    """The sweeping of one node; used by one thread. What several nodes find at the same time goes once."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._next = 0.0

    def sweep(self) -> None:
        """Remove some, if it is time to look; raises ``StoreError``, and then goes on the next time."""
        began = time.monotonic()
        if began < self._next:
            return
        for remove in self._store.read(self._work):
            while self._store.commit(remove) == BATCH:
                if time.monotonic() - began > BUDGET:
                    return
        self._next = began + PAUSE

    def _work(self, connection: sqlite3.Connection) -> list[Callable[[sqlite3.Connection], int]]:
        """What there is to do: each removes one batch and gives its size."""
        marks, dead, progress = self._store.marks, self._store.dead, self._store.progress
        work: list[Callable[[sqlite3.Connection], int]] = []
        if marks.any_expired(connection):
            work.append(partial(marks.expire, BATCH))
        if dead.any_expired(connection):
            work.append(partial(dead.expire, BATCH))
        if progress.any_expired(connection):
            work.append(partial(progress.expire, BATCH))
        work += [partial(dead.shed, queue, upto, BATCH) for queue, upto in dead.too_many(connection).items()]
        return work
