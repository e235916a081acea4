"""The broker port on a RabbitMQ server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from umbel.brokers.amqp.bus import AmqpBus, Mouth
from umbel.brokers.amqp.cemetery import Cemetery
from umbel.brokers.amqp.consumer import AmqpConsumer
from umbel.brokers.amqp.outlet import Outlet, Told
from umbel.brokers.amqp.progress import AmqpProgress, OffersProgress
from umbel.brokers.amqp.topology import GONE
from umbel.clock import SystemClock
from umbel.model import Envelope, Queue, Route
from umbel.ports import Bus, DeadLetter
from umbel.stores.amqp.address import addresses
from umbel.stores.amqp.channel import ChannelRefused
from umbel.stores.amqp.entities import declare_queue, purge_queue
from umbel.stores.amqp.link import Link
from umbel.stores.loops import EnteredPerLoop, PerLoop

DEAD_LETTERS_KEPT = 30 * 86400.0
HANDOVER = 600.0


class _Line(NamedTuple):
    """What one loop has: a connection, and the ways out over it for messages and for commands."""

    link: Link
    outlet: Outlet
    mouth: Mouth

    async def close(self) -> None:
        """End the connection."""
        await self.link.close()


class AmqpBroker(EnteredPerLoop[_Line], OffersProgress):
    """Messages on the server of ``url``; several URLs, with semicolons between, are tried in turn.

    Entering does not connect: the first use does. Publishing and consuming have connections of their own, so that a
    server which takes no messages for lack of room still takes acknowledgements. Each loop has its own, too.
    """

    form = "amqp"

    def __init__(self, url: str, settings: Any = None) -> None:
        settings = settings or {}
        self._addresses = addresses(url)
        self._settings: Mapping[str, Any] = settings
        self.clock = SystemClock()
        self._lines = PerLoop(self._make_line)
        self.bus: Bus = AmqpBus(self._addresses, lambda: self._lines.here.mouth)
        self.progress = AmqpProgress(self._addresses, lambda: self._lines.here.mouth, settings, self.clock.now)

    def _make_line(self) -> _Line:
        link, settings = Link(self._addresses), self._settings
        outlet = Outlet(
            link,
            self.clock,
            {queue.name: queue for queue in settings.get("task_queues") or ()},
            settings.get("task_default_queue_type", "classic"),
            settings.get("task_queue_max_priority"),
            settings.get("broker_publish_timeout", 5.0),
        )
        return _Line(link, outlet, Mouth(link))

    @property
    def link(self) -> Link:
        """The connection over which it publishes and asks on this loop."""
        return self._lines.here.link

    @property
    def _outlet(self) -> Outlet:
        return self._lines.here.outlet

    def _cemetery(self) -> Cemetery:
        line = self._lines.here
        return Cemetery(line.link, line.outlet)

    async def declare(self, queue: Queue) -> None:
        await self._outlet.declare(queue)

    async def publish(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        """Every message is confirmed when this returns; those of a call that fails may have been taken in part."""
        await self._outlet.publish(messages)

    def post(self, messages: Sequence[tuple[Route, Envelope]], then: Told) -> Callable[[], None]:
        """See ``shortcuts.Posts``."""
        return self._outlet.post(messages, then)

    async def consume(self, queues: Sequence[str], prefetch: int) -> AmqpConsumer:
        return AmqpConsumer(
            Link(self._addresses),
            self._outlet,
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
        return await self._cemetery().letters(after, limit)

    async def replay(self, letters: Sequence[tuple[int, Envelope]]) -> int:
        return await self._cemetery().replay(letters)

    async def drop_dead_letters(self, numbers: Sequence[int]) -> int:
        return await self._cemetery().drop(numbers)
