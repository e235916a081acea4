"""The way of plain calls to a Redis server: they write in their own threads while nobody else does."""

from __future__ import annotations

import select
import threading

from umbel.brokers.redis.outlet import Messages, command_of, taken
from umbel.clock import Clock
from umbel.errors import StoreError, StoreUnreachable
from umbel.stores.redis.connection import Connection
from umbel.stores.redis.direct import DirectConnection
from umbel.stores.redis.store import RedisStore
from umbel.wire.marking import resent


class Shortcut:
    """A second connection to the server that ``store`` has found, for one thread at a time; made at first use.

    A call that is handed over to a loop and back pays for two switches between threads, which is more than all the
    rest of it. Calls that come while another one is on its way are better off together, on the loop's connection; so is
    whatever does not go well here.
    """

    def __init__(self, store: RedisStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: DirectConnection | None = None
        self._beside: Connection | None = None
        """The loop's connection beside which this one was made, or could not be made."""
        self._bound: set[str] = set()
        self._closed = False

    def send(self, messages: Messages, timeout: float) -> Messages:
        """See ``sending.SendsDirectly``."""
        beside = self._store.link.standing
        if beside is None or not messages or not self._lock.acquire(blocking=False):
            return messages
        try:
            connection = self._known_beside(beside, timeout)
            return messages if connection is None else self._sent(connection, messages, timeout)
        finally:
            if self._closed:
                self._drop()
            self._lock.release()

    def close(self) -> None:
        """Let go of the connection, once nobody uses it."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            self._drop()
            self._lock.release()

    def _sent(self, connection: DirectConnection, messages: Messages, timeout: float) -> Messages:
        now = self._clock.now()
        things = [self._store.sending(route, envelope, now) for route, envelope in messages]
        unknown = {route.queue for route, _ in messages} - self._bound
        bindings = [words for queue in unknown for words in self._store.bindings(queue)]
        command = command_of(self._store.layout, things)
        try:
            answer = connection.ask([*bindings, command], timeout)[-1]
        except StoreUnreachable:
            self._drop()
            return [(route, resent(envelope)) for route, envelope in messages]
        except BaseException:
            self._drop()
            raise
        self._bound |= unknown
        return () if taken(answer) else messages

    def _known_beside(self, beside: Connection, timeout: float) -> DirectConnection | None:
        known = self._connection
        if known is not None:
            if self._beside is beside and known.quiet:
                return known
            self._drop()
        elif self._closed or self._beside is beside:
            return None
        self._beside, address = beside, beside.address
        if address.tls or not hasattr(select, "poll"):
            return None
        try:
            self._connection = DirectConnection(address, min(timeout, address.connect_timeout or timeout))
        except StoreError:
            return None
        self._bound = set()
        return self._connection

    def __del__(self) -> None:
        self._drop()

    def _drop(self) -> None:
        connection, self._connection, self._beside = self._connection, None, None
        if connection is not None:
            connection.close()
