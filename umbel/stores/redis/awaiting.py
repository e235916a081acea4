"""Waits for the end of a task in the thread that asks, without a loop."""

from __future__ import annotations

import math
from time import monotonic

from hiredis import PushNotification, ReplyError

from umbel.bridge import ATTENTION
from umbel.errors import StoreUnreachable
from umbel.model import FINAL_STATES, SealedRecord
from umbel.stores.redis.connection import Word
from umbel.stores.redis.direct import Beside, DirectConnection
from umbel.stores.redis.records import told
from umbel.stores.redis.store import RedisStore

_BEAT = 5.0
"""Seconds without a word after which the record is read again, and the server asked whether it is there."""

_PATIENCE = 1.0
"""Seconds that an answer may take; a wait for one that takes longer goes on elsewhere."""


class Awaiting:
    """Hears of one task at a time, on a connection beside that of ``store``.

    One write tells the server to publish the record here and to read it, in this order, so that nothing is missed
    between the two. What was followed before is unfollowed in the same write.
    """

    def __init__(self, store: RedisStore) -> None:
        self._layout = store.layout
        self._beside = Beside(store.link)
        self._followed: tuple[DirectConnection | None, str] = (None, "")

    def end_of(self, id: str, timeout: float | None) -> SealedRecord | None:
        """See ``shortcuts.WaitsDirectly``."""
        connection = self._beside.borrow(_PATIENCE)
        if connection is None:
            return None
        try:
            return self._heard(connection, id, math.inf if timeout is None else monotonic() + timeout)
        except StoreUnreachable:
            self._beside.drop()
            return None
        except BaseException:
            self._beside.drop()
            raise
        finally:
            self._beside.give_back()

    def close(self) -> None:
        """Let go of the connection; who waits goes on elsewhere."""
        self._beside.close()

    def _heard(self, connection: DirectConnection, id: str, deadline: float) -> SealedRecord | None:
        key = self._layout.record(id)
        reading: list[Word] = ["MGET", key, self._layout.side(id)]
        before = [["UNSUBSCRIBE", self._followed[1]]] if self._followed[0] is connection else []
        connection.tell([*before, ["SUBSCRIBE", key], reading], _PATIENCE)
        self._followed = connection, key
        found, look = None, _Look(monotonic())
        while not (self._beside.closed or look.over(deadline)):
            if look.due:
                connection.tell([reading], _PATIENCE)
                look = _Look(monotonic())
            try:
                said = connection.hear(look.seconds(deadline))
            except TimeoutError:
                continue
            if isinstance(said, ReplyError):  # it may not follow, or not read: others can tell why
                self._beside.drop(for_good=True)
                return None
            if type(said) is not PushNotification:
                look.answered()
                record = None if said[0] is None else told(id, *said)
            elif said[0] == b"message" and said[1] == key.encode():
                record = told(id, said[2], None)
                look.heard(sure=bool(record.state))
            else:
                continue
            if record is not None and record.state in FINAL_STATES:
                found = record
            if found is not None and not look.open:
                return found
        if look.open:  # its answer would be taken for that of the next one
            self._beside.drop()
        return found


class _Look:
    """A record is read, at ``now`` in seconds of the monotonic clock."""

    def __init__(self, now: float) -> None:
        self.open = True
        """Whether the answer has not come yet."""
        self._until = now + _PATIENCE

    def answered(self) -> None:
        """The answer has come."""
        self.open = False
        self._until = monotonic() + _BEAT

    def heard(self, *, sure: bool) -> None:
        """Something else has come, which says what the record is; or does not, and it is to be read."""
        if not self.open:
            self._until = monotonic() + (_BEAT if sure else 0.0)

    @property
    def due(self) -> bool:
        """Whether it is time for another look."""
        return not self.open and monotonic() >= self._until

    def over(self, deadline: float) -> bool:
        """Whether the wait ends without an end."""
        now = monotonic()
        return now >= deadline or (self.open and now >= self._until)

    def seconds(self, deadline: float) -> float:
        """How long to listen now."""
        return min(deadline, self._until, monotonic() + ATTENTION) - monotonic()
