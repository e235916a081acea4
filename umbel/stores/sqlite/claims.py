"""What one consumer holds of a store: claiming and settling, many of both in one transaction."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from umbel.errors import StoreError
from umbel.model import Delivery, Envelope, SealedRecord, Settlement
from umbel.stores.sqlite.checkpointing import NODE_LIMIT
from umbel.stores.sqlite.lookout import Lookout
from umbel.stores.sqlite.presence import NODES, Presence
from umbel.stores.sqlite.reaper import Reaper
from umbel.stores.sqlite.store import MESSAGES, SqliteStore
from umbel.stores.sqlite.sweeping import Sweeper

T = TypeVar("T")

PROMOTED_AT_ONCE = 1000
"""Messages made ready in one transaction when their time has come."""

BYTES_AT_ONCE = 8 << 20
"""A batch ends with the message that brings it to this size, so that big ones are started before all are read."""

_receipts = itertools.count(1)


class PresenceLost(Exception):
    """Somebody took this node for dead and gave away what it held."""


class Claims:
    """The claims of one node on some queues; used by one thread.

    Everything raises ``StoreError`` and its kinds; then nothing took effect, here nor in the file.
    """

    def __init__(self, store: SqliteStore, queues: Sequence[str]) -> None:
        self.store = store
        self.seat = store.seat()
        self.reaper = Reaper(store, self.seat)
        self.sweeper = Sweeper(store)
        self.lookout = Lookout(store.access, self.seat)
        self.presence: Presence | None = None
        self._queues = tuple(dict.fromkeys(queues))
        self._first = 0
        self._held: set[tuple[int, int]] = set()
        self._stale = True
        self._next_due: float | None = None
        self.more = False

    @property
    def held(self) -> int:
        """How many deliveries are unsettled."""
        return len(self._held)

    # -- presence

    def register(self) -> None:
        """Become a node, a new one; what was held before is forgotten."""
        made: list[Presence] = []
        try:
            self._write(lambda connection: made.append(self._make_presence(connection)))
        except BaseException:
            for presence in made:
                presence.leave()
            raise
        if self.presence is not None:
            self.presence.leave()
        self.presence = made[0]
        self._held.clear()
        self._stale = True
        self.more = True

    def leave(self) -> None:
        """Give back everything unsettled, marked as it came, and stop being a node."""
        if self.presence is None:
            return
        presence, self.presence = self.presence, None
        self._held.clear()
        try:
            self._write(partial(self._give_back, presence.number))
        except BaseException:
            # Its file without its lock tells the others that the node is dead, and they take over.
            presence.die()
            raise
        else:
            presence.leave()
        finally:
            self.seat.close()
            self.lookout.close()
        self.store.ring()

    def _make_presence(self, connection: sqlite3.Connection) -> Presence:
        return Presence.register(connection, self.store.folder, self.store.clock)

    @staticmethod
    def _give_back(number: int, connection: sqlite3.Connection) -> None:
        connection.execute(MESSAGES["give_back"], (number,))
        connection.execute(NODES["strike_out"], (number,))

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return self.store.access.write(self.seat, work)

    def chores(self) -> None:
        """What is not urgent: the claims of dead nodes, the heartbeat, what has expired, the size of the log."""
        assert self.presence is not None
        if self.reaper.sweep():
            self.more = True
        if self.presence.beat_is_due():
            self.turn([], 0)
        self.sweeper.sweep()
        self.store.checkpoints.run_aside(NODE_LIMIT)

    def make_room(self) -> None:
        """Try to get room for the next attempt on a disk that is full."""
        with suppress(StoreError):  # what made this necessary was told already
            self.store.make_room()

    # -- looking

    def look(self) -> bool:
        """Whether a claim may find something; costs next to nothing while nobody writes to the file."""
        if self.more:
            return True
        if self.lookout.changed():
            self._stale = True
        if self._stale:
            self.more, self._next_due = self.store.access.read(self.seat, self._outlook)
            self._stale = False
        return self.more or (self._next_due is not None and self._next_due <= self.store.clock.now())

    def until_due(self) -> float | None:
        """Seconds until the next message comes due, as far as is known; None when none waits."""
        return None if self._next_due is None else self._next_due - self.store.clock.now()

    def _outlook(self, connection: sqlite3.Connection) -> tuple[bool, float | None]:
        """Whether something is ready, and when the next message comes due."""
        ready = any(connection.execute(MESSAGES["any_ready"], (name,)).fetchone()[0] for name in self._queues)
        return ready, self._soonest(connection)

    def _soonest(self, connection: sqlite3.Connection) -> float | None:
        dues = [connection.execute(MESSAGES["next_due"], (name,)).fetchone()[0] for name in self._queues]
        return min((due for due in dues if due is not None), default=None)

    # -- one turn

    def turn(self, settlements: Sequence[Settlement], prefetch: int) -> list[Delivery]:
        """Settle these, then claim until ``prefetch`` are held, in one transaction.

        A settlement of what is not held any more is left out. Raises ``PresenceLost`` besides ``StoreError``.
        """
        ending = self._ending(settlements)
        batch, more, next_due = self._write(lambda connection: self._turn(connection, ending, prefetch))
        self._held.difference_update(settlement.delivery.receipt for settlement in ending.values())
        self._held.update(delivery.receipt for delivery in batch)
        self._next_due = next_due
        self.more = more
        if ending:
            self.store.ring(but=self.lookout.ring)
        return batch

    def _turn(
        self, connection: sqlite3.Connection, ending: dict[int, Settlement], prefetch: int
    ) -> tuple[list[Delivery], bool, float | None]:
        """What was claimed, whether there may be more, and when the next message comes due."""
        assert self.presence is not None
        if not self.presence.beat(connection):
            self._held.clear()
            self.more = True
            raise PresenceLost
        if ending:
            self._settle(connection, ending)
        room = prefetch - len(self._held) + len(ending)
        # With no room, what this turn itself made ready waits for the next one.
        if room > 0 and self._queues:
            batch, more = self._claim(connection, room)
        else:
            batch, more = [], bool(self._queues) and (self.more or bool(ending))
        self.store.expire(connection)
        return batch, more, self._soonest(connection)

    def _ending(self, settlements: Iterable[Settlement]) -> dict[int, Settlement]:
        """The settlements of what is held, by sequence number; of two for one delivery the first."""
        ending: dict[int, Settlement] = {}
        for settlement in settlements:
            receipt = settlement.delivery.receipt
            if receipt in self._held:
                ending.setdefault(receipt[1], settlement)
        return ending

    def _settle(self, connection: sqlite3.Connection, ending: dict[int, Settlement]) -> None:
        assert self.presence is not None
        number = self.presence.number
        standing = {seq for (seq,) in connection.execute(MESSAGES["standing"], (number,)).fetchall()}
        done: list[tuple[int]] = []
        follow_ups: list[tuple[object, ...]] = []
        records: list[SealedRecord] = []
        for seq, settlement in ending.items():
            if seq not in standing:
                continue
            verdict = settlement.verdict
            if verdict.kind in ("requeue", "return"):
                connection.execute(MESSAGES[verdict.kind], (seq,))
            elif verdict.kind == "later":
                connection.execute(MESSAGES["put_off"], (verdict.due, seq))
            else:
                if verdict.kind == "dead":
                    connection.execute(MESSAGES["bury"], (verdict.reason or "", self.store.clock.now(), seq))
                done.append((seq,))
            if settlement.follow_ups:
                follow_ups += self.store.rows(settlement.follow_ups)
            if settlement.record is not None:
                records.append(settlement.record)
        connection.executemany(MESSAGES["acknowledge"], done)
        if follow_ups:
            connection.executemany(MESSAGES["publish"], follow_ups)
        if records:
            self.store.write_records(connection, records)

    def _claim(self, connection: sqlite3.Connection, room: int) -> tuple[list[Delivery], bool]:
        """Up to ``room`` deliveries, and whether there may be more.

        Each queue gets its share, and they take turns in being first.
        """
        more = self._promote(connection)
        names = self._queues[self._first :] + self._queues[: self._first]
        self._first = (self._first + 1) % len(names)
        batch: list[Delivery] = []
        budget = BYTES_AT_ONCE
        # A second round, in which the first queue takes what is left, hands out the shares that were not used up.
        shares = [*zip(range(len(names), 0, -1), names, strict=True), *((1, name) for name in names)]
        for left, name in shares if len(names) > 1 else shares[:1]:
            wanted = -(-(room - len(batch)) // left)
            if wanted > 0 and budget > 0:
                taken = self._take(connection, name, wanted, budget)
                batch += taken
                budget -= sum(len(delivery.envelope.head) + len(delivery.envelope.body) for delivery in taken)
        return batch, more or len(batch) == room or budget <= 0

    def _take(self, connection: sqlite3.Connection, queue: str, wanted: int, budget: int) -> list[Delivery]:
        """Deliveries of one queue: at most so many, and no further one once they have so many bytes."""
        assert self.presence is not None
        batch: list[Delivery] = []
        marks: list[tuple[int, int]] = []
        number = self.presence.number
        rows = connection.execute(MESSAGES["ready"], (queue, wanted))
        for seq, id, priority, redelivered, head, body in rows:
            receipt = (next(_receipts), seq)
            if type(head) is not bytes or type(body) is not bytes:  # a row that another program wrote
                head, body = _as_bytes(head), _as_bytes(body)
            batch.append(Delivery(Envelope("plain", id, head, body), queue, receipt, redelivered == 1, priority))
            marks.append((number, seq))
            budget -= len(head) + len(body)
            if budget <= 0:
                break
        rows.close()
        connection.executemany(MESSAGES["claim"], marks)
        return batch

    def _promote(self, connection: sqlite3.Connection) -> bool:
        """Make ready what has come due; whether some may be left that has."""
        now = self.store.clock.now()
        if self._next_due is None or self._next_due > now:
            return False
        counts = [
            connection.execute(MESSAGES["promote"], (name, now, PROMOTED_AT_ONCE)).rowcount for name in self._queues
        ]
        return PROMOTED_AT_ONCE in counts


def _as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")
