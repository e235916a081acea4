"""The broker port on a Redis server, in the layout of Celery's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from umbel.brokers.redis.bus import RedisBus
from umbel.brokers.redis.cluster_consumer import ClusterConsumer
from umbel.brokers.redis.cluster_outlet import ClusterOutlet
from umbel.brokers.redis.consumer import RedisConsumer
from umbel.brokers.redis.grave import Grave, Graves
from umbel.brokers.redis.outlet import Outlet, Told
from umbel.brokers.redis.places import places
from umbel.brokers.redis.shortcut import Shortcut
from umbel.brokers.redis.window import Window
from umbel.brokers.redis.withdrawing import withdraw
from umbel.clock import SystemClock
from umbel.errors import StoreFull
from umbel.model import Envelope, Queue, Route, SealedRecord
from umbel.ports import Bus, DeadLetter, QueueSize
from umbel.stores.declaring import declared
from umbel.stores.loops import EnteredPerLoop, PerLoop
from umbel.stores.redis.address import addresses
from umbel.stores.redis.admitting import AdmitsShortcomings
from umbel.stores.redis.choosing import store_at
from umbel.stores.redis.cluster_store import ClusterStore
from umbel.stores.redis.listener import Hearing
from umbel.stores.redis.marking import OffersMarks
from umbel.stores.redis.progressing import OffersProgress
from umbel.stores.redis.store import RedisStore

logger = logging.getLogger("umbel.brokers")

DEAD_LETTERS_KEPT = 30 * 86400.0
MOST_DEAD_LETTERS = 100_000


class _Line(NamedTuple):
    """What one loop has: a way to the server, an ear for what is published there, and the ways out for messages."""

    store: RedisStore
    listener: Hearing
    outlet: Outlet | ClusterOutlet
    shortcut: Shortcut | None

    async def close(self) -> None:
        """End the connections."""
        if self.shortcut is not None:
            self.shortcut.close()
        await self.listener.close()
        await self.store.link.close()


class RedisBroker(EnteredPerLoop[_Line], AdmitsShortcomings, OffersMarks, OffersProgress):
    """Messages on the server of ``url``; several URLs, with semicolons between, are tried in turn. Those of a cluster
    are servers that know the others.

    Entering does not connect: the first use does. Each loop has a connection of its own.
    """

    form = "kombu"

    def __init__(self, url: str, settings: Any = None) -> None:
        settings = settings or {}
        self._settings: Mapping[str, Any] = settings
        self._addresses = addresses(url)
        self.clock = SystemClock()
        self._lines = PerLoop(self._make_line)
        self.bus: Bus = RedisBus(self._addresses, lambda: self._lines.here, self.clock.now)

    def _make_line(self) -> _Line:
        settings = self._settings
        patience = settings.get("broker_publish_timeout", 5.0)
        store = store_at(self._addresses, {queue.name: queue for queue in settings.get("task_queues") or ()})
        if isinstance(store, ClusterStore):
            return _Line(store, store.listener(), ClusterOutlet(store, self.clock, patience), None)
        outlet, shortcut = Outlet(store, self.clock, patience), Shortcut(store, self.clock)
        return _Line(store, store.listener(), outlet, shortcut)

    @property
    def keeper(self) -> RedisStore:
        """The store, as this loop has it while the adapter is entered."""
        return self._lines.here.store

    @property
    def ear(self) -> Hearing:
        """What hears of that which is published, on this loop."""
        return self._lines.here.listener

    async def declare(self, queue: Queue) -> None:
        """Have clients of others find the queue; here it needs no making."""
        declared(queue)
        try:
            await self.keeper.link.ask_all(self.keeper.bindings(queue.name))
        except StoreFull as error:  # what is in the queue can be done all the same, which makes room
            logger.warning("queue %s is not made known to others: %s", queue.name, error)

    async def publish(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        """All of them in one step, or none."""
        await self._lines.here.outlet.publish(messages)

    def post(self, messages: Sequence[tuple[Route, Envelope]], then: Told) -> Callable[[], None]:
        """See ``shortcuts.Posts``."""
        return self._lines.here.outlet.post(messages, then)

    def send_directly(
        self, loop: asyncio.AbstractEventLoop, messages: Sequence[tuple[Route, Envelope]], timeout: float
    ) -> Sequence[tuple[Route, Envelope]]:
        """See ``shortcuts.SendsDirectly``."""
        line = self._lines.of(loop)
        return messages if line is None or line.shortcut is None else line.shortcut.send(messages, timeout)

    async def consume(self, queues: Sequence[str], prefetch: int) -> RedisConsumer | ClusterConsumer:
        store, listener, outlet, _ = self._lines.here
        retries, window = self._settings.get("broker_connection_max_retries", 100), Window(prefetch)
        if isinstance(outlet, Outlet):
            grave = self._grave_in(store)
            return RedisConsumer(store, listener, queues, window, retries, outlet, grave, self.clock)
        news, each, consumers = asyncio.Event(), dict.fromkeys(queues), {}
        for queue in each:
            own, way = outlet.to(queue)
            grave = self._grave_in(own)
            consumers[queue] = RedisConsumer(
                own, listener, [queue], window, retries, way, grave, self.clock, news=news, beside=len(each) - 1
            )
        return ClusterConsumer(consumers, outlet, news)

    async def size(self, queue: str) -> int:
        return await self.keeper.size(queue)

    async def purge(self, queue: str) -> int:
        return await self.keeper.purge(queue)

    async def queues(self) -> Sequence[QueueSize]:
        return await self.keeper.queues()

    async def places(self, ids: Sequence[str]) -> Mapping[str, int]:
        return await places(self.keeper, ids)

    async def withdraw(
        self, ids: Sequence[str], records_of: Callable[[Envelope], Sequence[SealedRecord] | None]
    ) -> Sequence[SealedRecord]:
        """As ``Withdraws.withdraw``: each message in a step of its own. The records are stored on this server; where an
        app keeps its results elsewhere, its caller stores those that this gives there again."""
        return await withdraw(self.keeper, ids, records_of, self.clock.now())

    # -- dead letters ---------------------------------------------------------------------------------------------

    def _grave_in(self, store: RedisStore) -> Grave:
        expires = self._settings.get("dead_letter_expires", DEAD_LETTERS_KEPT) or None
        return Grave(store, expires, int(self._settings.get("dead_letter_max", MOST_DEAD_LETTERS)))

    async def _graves(self) -> Grave | Graves:
        store = self.keeper
        if isinstance(store, ClusterStore):
            return Graves([self._grave_in(store.of(name)) for name in sorted(await store.names())])
        return self._grave_in(store)

    async def dead_letters(self, after: int = 0, limit: int = 1000) -> Sequence[DeadLetter]:
        return await (await self._graves()).letters(after, limit, self.clock.now())

    async def replay(self, letters: Sequence[tuple[int, Envelope]]) -> int:
        return await (await self._graves()).replay(letters, self.clock.now())

    async def drop_dead_letters(self, numbers: Sequence[int]) -> int:
        return await (await self._graves()).drop(numbers)
