"""The broker port on a RabbitMQ server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from umbel.brokers.amqp.bus import AmqpBus
from umbel.brokers.amqp.cemetery import Cemetery
from umbel.brokers.amqp.consumer import AmqpConsumer
from umbel.brokers.amqp.outlet import Outlet, Told
from umbel.brokers.amqp.topology import GONE
from umbel.clock import SystemClock
from umbel.model import Envelope, Queue, Route
from umbel.ports import Bus, DeadLetter
from umbel.stores.amqp.address import addresses
from umbel.stores.amqp.channel import ChannelRefused
from umbel.stores.amqp.entities import declare_queue, purge_queue
from umbel.stores.amqp.link import Link

DEAD_LETTERS_KEPT = 30 * 86400.0
HANDOVER = 600.0


class AmqpBroker:
    """Messages on the server of ``url``; several URLs, with semicolons between, are tried in turn.

    Entering does not connect: the first use does. Publishing and consuming have connections of their own, so that a
    server which takes no messages for lack of room still takes acknowledgements.
    """

    form = "amqp"

    def __init__(self, url: str, settings: Any = None) -> None:
        settings = settings or {}
        self._addresses = addresses(url)
        self._settings: Mapping[str, Any] = settings
        self.clock = SystemClock()
        self.bus: Bus = AmqpBus(self._addresses, lambda: self.link)
        self._link: Link | None = None
        self._outlet: Outlet | None = None

    async def __aenter__(self) -> Self:
        self._link = Link(self._addresses)
        settings = self._settings
        self._outlet = Outlet(
            self._link,
            self.clock,
            {queue.name: queue for queue in settings.get("task_queues") or ()},
            settings.get("task_default_queue_type", "classic"),
            settings.get("task_queue_max_priority"),
            settings.get("broker_publish_timeout", 5.0),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        link, self._link, self._outlet = self._link, None, None
        if link is not None:
            await link.close()

    @property
    def link(self) -> Link:
        """The connection over which it publishes and asks."""
        return self._way[0]

    @property
    def _way(self) -> tuple[Link, Outlet]:
        assert self._link is not None, "the adapter is entered before it is used"
        assert self._outlet is not None
        return self._link, self._outlet

    async def declare(self, queue: Queue) -> None:
        await self._way[1].declare(queue)

    async def publish(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        """Every message is confirmed when this returns; those of a call that fails may have been taken in part."""
        await self._way[1].publish(messages)

    def post(self, messages: Sequence[tuple[Route, Envelope]], then: Told) -> Callable[[], None]:
        """See ``ports.Posts``."""
        return self._way[1].post(messages, then)

    async def consume(self, queues: Sequence[str], prefetch: int) -> AmqpConsumer:
        return AmqpConsumer(
            Link(self._addresses),
            self._way[1],
            queues,
            prefetch,
            self._settings.get("broker_connection_max_retries", 100),
            self._settings.get("dead_letter_expires", DEAD_LETTERS_KEPT) or None,
            self.clock,
            self._settings.get("broker_amqp_handover", HANDOVER),
        )

    async def size(self, queue: str) -> int:
        """Ready messages; the server does not count those that wait for their time by queue."""
        async with self.link.scratch() as channel:
            try:
                return await declare_queue(channel, queue, passive=True)
            except ChannelRefused as refusal:
                if refusal.code == GONE:
                    return 0
                raise

    async def purge(self, queue: str) -> int:
        async with self.link.scratch() as channel:
            try:
                return await purge_queue(channel, queue)
            except ChannelRefused as refusal:
                if refusal.code == GONE:
                    return 0
                raise

    # -- dead letters ---------------------------------------------------------------------------------------------

    async def dead_letters(self, after: int = 0, limit: int = 1000) -> Sequence[DeadLetter]:
        return await Cemetery(*self._way).letters(after, limit)

    async def replay(self, letters: Sequence[tuple[int, Envelope]]) -> int:
        return await Cemetery(*self._way).replay(letters)

    async def drop_dead_letters(self, numbers: Sequence[int]) -> int:
        return await Cemetery(*self._way).drop(numbers)
