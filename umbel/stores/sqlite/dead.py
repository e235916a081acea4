"""Keeps the dead letters of a store: gives, replays and drops them, and lets go of the old and the too many."""

from __future__ import annotations

import logging
import math
import sqlite3
from collections.abc import Iterable, Sequence

from umbel.model import Envelope
from umbel.ports import DeadLetter
from umbel.stores.sqlite.keeping import Keeping
from umbel.stores.sqlite.statements import statements

logger = logging.getLogger("umbel.stores")

DEAD = statements("dead.sql")

PUBLISH = statements("messages.sql")["publish"]


class DeadTable:
    """The dead letters of one store. Everything raises ``StoreError`` and its kinds; then nothing was changed.

    ``expires`` is how many seconds they are kept, None for ever; ``most`` how many of each queue.
    """

    def __init__(self, store: Keeping, expires: float | None, most: int) -> None:
        self._store = store
        self._expires = expires
        self._most = most
        self._told: set[str] = set()
        """Queues of which it was said that they have too many."""

    def after(self, number: int, limit: int) -> list[DeadLetter]:
        """As ``DeadLetters.dead_letters``."""
        rows = self._store.read(
            lambda connection: connection.execute(DEAD["after"], (number, self._past(), limit)).fetchall()
        )
        return [
            DeadLetter(number, Envelope("plain", id, head, body), queue, priority, reason, died)
            for number, queue, priority, id, head, body, reason, died in rows
        ]

    def replay(self, letters: Sequence[tuple[int, Envelope]]) -> int:
        """As ``DeadLetters.replay``; all of them in one step."""

        def work(connection: sqlite3.Connection) -> int:
            rows = []
            for number, (_, id, head, body) in letters:
                for queue, priority in connection.execute(DEAD["take"], (number,)).fetchall():
                    rows.append((queue, priority, None, id, head, body))
            connection.executemany(PUBLISH, rows)
            return len(rows)

        size = sum(len(envelope.head) + len(envelope.body) for _, envelope in letters)
        count = self._store.commit(work, size)
        self._store.ring()
        return count

    def drop(self, numbers: Iterable[int]) -> int:
        """As ``DeadLetters.drop_dead_letters``."""
        chosen = list(numbers)
        return self._store.commit(
            lambda connection: sum(connection.execute(DEAD["drop"], (number,)).rowcount for number in chosen)
        )

    # -- keeping them few

    def any_expired(self, connection: sqlite3.Connection) -> bool:
        """Whether ``expire`` would find some."""
        return bool(connection.execute(DEAD["any_expired"], (self._past(),)).fetchone()[0])

    def expire(self, most: int, connection: sqlite3.Connection) -> int:
        """Delete at most so many that were kept long enough, inside a transaction; gives how many there were."""
        return connection.execute(DEAD["expire"], (self._past(), most)).rowcount

    def too_many(self, connection: sqlite3.Connection) -> dict[str, int]:
        """The queues that have more than they may, each with the number up to which they are to go."""
        queues = [queue for (queue,) in connection.execute(DEAD["queues"]).fetchall()]
        rows = {queue: connection.execute(DEAD["newest_too_many"], (queue, self._most)).fetchone() for queue in queues}
        return {queue: row[0] for queue, row in rows.items() if row is not None}

    def shed(self, queue: str, upto: int, most: int, connection: sqlite3.Connection) -> int:
        """Delete at most so many of what ``too_many`` found, inside a transaction; gives how many there were."""
        if queue not in self._told:
            self._told.add(queue)
            logger.warning(
                "queue %s has more than %d dead letters (dead_letter_max): the oldest are dropped", queue, self._most
            )
        return connection.execute(DEAD["shed"], (queue, upto, most)).rowcount

    def _past(self) -> float:
        """What died then or before has been kept long enough."""
        return -math.inf if self._expires is None else self._store.clock.now() - self._expires
