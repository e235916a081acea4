"""Publishes over a connection of its own: confirmed, mandatory, to queues that are there."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence

from umbel.brokers.amqp.topology import DEAD, TOP, ensure_dead, ensure_ladder, ensure_queue, steps
from umbel.clock import Clock
from umbel.errors import StoreError, StoreUnreachable
from umbel.model import Envelope, Queue, Route
from umbel.stores.amqp import frames
from umbel.stores.amqp.channel import Channel, Parcel, Unroutable
from umbel.stores.amqp.link import Link
from umbel.wire.amqp import resent, with_priority

Told = Callable[[BaseException | None], None]
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

    async def publish(self, messages: Sequence[tuple[Route, Envelope]], failed: StoreError | None = None) -> None:
        """Return when the server has taken all of them for good.

        A server that has been there is waited for; what was on its way when the connection was lost is sent again,
        marked ``umbel_resent``. A queue that was removed meanwhile is made again, once. Raises ``StoreUnreachable`` at
        once when there never was a server, ``StoreRefused`` for what no queue takes. ``failed`` is how an attempt
        ended in which they were written: this goes on from there.
        """
        deadline = asyncio.get_running_loop().time() + self._patience
        pause = _FIRST_PAUSE
        again, doubtful = True, False
        while True:
            written: int | None = None  # in this round, nothing can have been written yet
            try:
                if failed is not None:
                    error, failed, written = failed, None, -1
                    raise error
                channel = await self._ready()
                now = self._clock.now()
                for route, _ in messages:
                    await self._prepare(route, now)
                parcels = [self._parcel(channel, route, envelope, now) for route, envelope in messages]
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
            except StoreUnreachable as why:
                if written is not None and not doubtful and (not self._channel or self._channel.published != written):
                    doubtful = True
                    messages = [(route, envelope._replace(head=resent(envelope.head))) for route, envelope in messages]
                if not self._link.worked or asyncio.get_running_loop().time() + pause > deadline:
                    lost = StoreUnreachable(str(why))
                    lost.doubtful = doubtful
                    raise lost from why
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)

    async def send(self, queue: str, envelope: Envelope) -> None:
        """Publish one message to a queue that is known to be there."""
        channel = await self._ready()
        await channel.publish([Parcel(self._start(channel, "", queue), envelope.head, envelope.body)])

    def post(self, messages: Sequence[tuple[Route, Envelope]], then: Told) -> Callable[[], None]:
        """See ``shortcuts.Posts``: what needs no waiting is written with others of this turn of the loop."""
        posting = _Posting(self, messages, then)
        channel = self._channel
        if (
            not messages
            or channel is None
            or channel.ended is not None
            or not channel.connection.takes_more
            or any(not self._prepared(route) for route, _ in messages)
        ):
            posting.begin()
        else:
            now = self._clock.now()
            channel.post([self._parcel(channel, route, envelope, now) for route, envelope in messages], posting.told)
        return posting.withdraw

    async def declare(self, queue: Queue) -> None:
        """Make sure that the queue is there."""
        await self._ready()
        await ensure_queue(self._link, queue, self._kind, self._max_priority)
        self._known.add(queue.name)

    async def _ready(self) -> Channel:
        async with self._opening:
            if self._channel is None or self._channel.ended is not None:
                self._channel = await self._link.channel(Channel.confirm)
                self._known.clear()
                self._starts.clear()
            return self._channel

    def _prepared(self, route: Route) -> bool:
        known = self._known
        return route.queue in known and (route.due is None or TOP in known)

    async def _prepare(self, route: Route, now: float) -> None:
        """Make sure that there is what the message needs on its way."""
        queue = route.queue
        if queue == DEAD and queue not in self._known:
            await ensure_dead(self._link)
            self._known.add(queue)
        elif queue not in self._known:
            await self.declare(self._queues.get(queue) or Queue(queue))
        if route.due is not None and TOP not in self._known and route.due > now:
            await ensure_ladder(self._link)
            self._known.add(TOP)

    def _parcel(self, channel: Channel, route: Route, envelope: Envelope, now: float) -> Parcel:
        # As Celery does: to the queue by its name, unless it is reached by an exchange of its own.
        queue = route.queue
        exchange, key = (route.exchange, route.routing_key or queue) if route.exchange else ("", queue)
        head = envelope.head if route.priority is None else with_priority(envelope.head, route.priority)
        if route.due is not None and (wait := math.ceil(route.due - now)) > 0:
            exchange, key = TOP, steps(wait, queue)
            return Parcel(frames.start_of_publish(channel.number, exchange, key), head, envelope.body)
        return Parcel(self._start(channel, exchange, key), head, envelope.body)

    def _start(self, channel: Channel, exchange: str, key: str) -> bytes:
        start = self._starts.get((exchange, key))
        if start is None:
            start = self._starts[exchange, key] = frames.start_of_publish(channel.number, exchange, key)
        return start


class _Posting:
    """What one caller has posted: told how it ended, whatever it takes."""

    __slots__ = ("_messages", "_outlet", "_task", "_then", "_withdrawn")

    def __init__(self, outlet: Outlet, messages: Sequence[tuple[Route, Envelope]], then: Told) -> None:
        self._outlet = outlet
        self._messages = messages
        self._then = then
        self._task: asyncio.Task[None] | None = None
        self._withdrawn = False

    def begin(self, failed: StoreError | None = None) -> None:
        """Take the way on which one may wait."""
        self._task = asyncio.get_running_loop().create_task(self._outlet.publish(self._messages, failed))
        self._task.add_done_callback(self._ended)

    def told(self, error: StoreError | None) -> None:
        """How the attempt ended in which they were written at once."""
        if isinstance(error, Unroutable | StoreUnreachable) and not self._withdrawn:
            self.begin(error)
        else:
            self._then(error)

    def withdraw(self) -> None:
        """What is not written by now is not written any more."""
        self._withdrawn = True
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._then(StoreError("it was withdrawn") if task.cancelled() else task.exception())
