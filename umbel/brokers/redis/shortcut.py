"""The way of plain calls to a Redis server: they write in their own threads while nobody else does."""

from __future__ import annotations

from umbel.brokers.redis.outlet import Messages, command_of, taken
from umbel.clock import Clock
from umbel.errors import StoreUnreachable
from umbel.stores.redis.direct import Beside, DirectConnection
from umbel.stores.redis.store import RedisStore
from umbel.wire.marking import resent


class Shortcut:
    """Sends to the server that ``store`` has found, for one thread at a time.

    A call that is handed over to a loop and back pays for two switches between threads, which is more than all the
    rest of it. Calls that come while another one is on its way are better off together, on the loop's connection; so is
    whatever does not go well here.
    """

    def __init__(self, store: RedisStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._beside = Beside(store.link)
        self._bound: tuple[DirectConnection | None, frozenset[str]] = (None, frozenset())
        """The queues that clients of others find, as this connection has seen to."""

    def send(self, messages: Messages, timeout: float) -> Messages:
        """See ``shortcuts.SendsDirectly``."""
        connection = self._beside.borrow(timeout) if messages else None
        if connection is None:
            return messages
        try:
            return self._sent(connection, messages, timeout)
        except StoreUnreachable:
            self._beside.drop()
            return [(route, resent(envelope)) for route, envelope in messages]
        except BaseException:
            self._beside.drop()
            raise
        finally:
            self._beside.give_back()

    def close(self) -> None:
        """Let go of the connection, once nobody uses it."""
        self._beside.close()

    def _sent(self, connection: DirectConnection, messages: Messages, timeout: float) -> Messages:
        now = self._clock.now()
        things = [self._store.sending(route, envelope, now) for route, envelope in messages]
        bound = self._bound[1] if self._bound[0] is connection else frozenset()
        unknown = {route.queue for route, _ in messages} - bound
        bindings = [words for queue in unknown for words in self._store.bindings(queue)]
        answer = connection.ask([*bindings, command_of(self._store.layout, things)], timeout)[-1]
        if unknown:
            self._bound = connection, bound | unknown
        return () if taken(answer) else messages
