"""Publishes over a connection of its own: confirmed, mandatory, to queues that are there."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence

from umbel.brokers.amqp.topology import DEAD, TOP, ensure_dead, ensure_ladder, ensure_queue, steps
from umbel.clock import Clock
from umbel.errors import StoreUnreachable
from umbel.model import Envelope, Queue, Route
from umbel.stores.amqp import frames
from umbel.stores.amqp.channel import Channel, Parcel, Unroutable
from umbel.stores.amqp.link import Link
from umbel.wire.amqp import resent, with_priority

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class Outlet:
    """One way out for many publishers on one loop.

    ``queues`` are those that the user has declared; ``kind`` and ``max_priority`` are for others that do not exist yet;
    ``patience`` is the time in seconds for which a server that was there before is waited for.
    """

    def __init__(
        self,
        link: Link,
        clock: Clock,
        queues: Mapping[str, Queue],
        kind: str,
        max_priority: int | None,
        patience: float,
    ) -> None:
        self._link = link
        self._queues = queues
        self._clock = clock
        self._kind = kind
        self._max_priority = max_priority
        self._patience = patience
        self._channel: Channel | None = None
        self._opening = asyncio.Lock()
        self._known: set[str] = set()
        """What was declared over this channel's connection."""
        self._starts: dict[tuple[str, str], bytes] = {}

    async def publish(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        """Return when the server has taken all of them for good.

        A server that has been there is waited for; what was on its way when the connection was lost is sent again,
        marked ``umbel_resent``. A queue that was removed meanwhile is made again, once. Raises ``StoreUnreachable`` at
        once when there never was a server, ``StoreRefused`` for what no queue takes.
        """
        deadline = asyncio.get_running_loop().time() + self._patience
        pause = _FIRST_PAUSE
        written = 0
        again = True
        while True:
            try:
                channel = await self._ready()
                parcels = [await self._parcel(channel, route, envelope) for route, envelope in messages]
                written = channel.published
                await channel.publish(parcels)
                return
            except Unroutable as refusal:
                if not again:
                    raise
                again = False
                self._known.clear()
                messages = [pair for pair in messages if pair[1].id in refusal.ids]
                continue
            except StoreUnreachable:
                if not self._link.worked or asyncio.get_running_loop().time() + pause > deadline:
                    raise
                if self._channel is not None and self._channel.published != written:
                    messages = [(route, envelope._replace(head=resent(envelope.head))) for route, envelope in messages]
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)

    async def send(self, queue: str, envelope: Envelope) -> None:
        """Publish one message to a queue that is known to be there."""
        channel = await self._ready()
        await channel.publish([Parcel(self._start(channel, "", queue), envelope.head, envelope.body)])

    async def declare(self, queue: Queue) -> None:
        """Make sure that the queue is there."""
        await self._ready()
        await ensure_queue(self._link, queue, self._kind, self._max_priority)
        self._known.add(queue.name)

    async def _ready(self) -> Channel:
        async with self._opening:
            if self._channel is None or self._channel.ended is not None:
                connection = await self._link.connection()
                channel = await connection.channel()
                await channel.confirm()
                self._channel = channel
                self._known.clear()
                self._starts.clear()
            return self._channel

    async def _parcel(self, channel: Channel, route: Route, envelope: Envelope) -> Parcel:
        queue = route.queue
        if queue == DEAD and queue not in self._known:
            await ensure_dead(self._link)
            self._known.add(queue)
        elif queue not in self._known:
            await self.declare(self._queues.get(queue) or Queue(queue))
        # As Celery does: to the queue by its name, unless it is reached by an exchange of its own.
        exchange, key = (route.exchange, route.routing_key or queue) if route.exchange else ("", queue)
        head = envelope.head if route.priority is None else with_priority(envelope.head, route.priority)
        if route.due is not None and (wait := math.ceil(route.due - self._clock.now())) > 0:
            if TOP not in self._known:
                await ensure_ladder(self._link)
                self._known.add(TOP)
            exchange, key = TOP, steps(wait, queue)
            return Parcel(frames.start_of_publish(channel.number, exchange, key), head, envelope.body)
        return Parcel(self._start(channel, exchange, key), head, envelope.body)

    def _start(self, channel: Channel, exchange: str, key: str) -> bytes:
        start = self._starts.get((exchange, key))
        if start is None:
            start = self._starts[exchange, key] = frames.start_of_publish(channel.number, exchange, key)
        return start
