"""Private queues for what runs longer than the server lets a delivery be held."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable
from functools import partial

from umbel.brokers.amqp.copies import fresh
from umbel.brokers.amqp.outlet import Outlet
from umbel.errors import StoreError, StoreUnreachable
from umbel.model import Delivery
from umbel.stores.amqp import frames
from umbel.stores.amqp.channel import Arrival, Channel
from umbel.stores.amqp.entities import declare_queue
from umbel.stores.amqp.link import Link
from umbel.wire.amqp import id_and_priority

RETURNS = 10
"""Seconds after which a copy that nobody holds goes back to its task queue."""

UNUSED = 600
"""Seconds after which the server removes a private queue that nobody reads."""


class Shelter:
    """Copies of messages, held over the connection of their consumer: when that is lost, they go home.

    ``on_lost`` is called when the copies are lost, even where the connection stands.
    """

    def __init__(self, link: Link, outlet: Outlet, on_lost: Callable[[], None]) -> None:
        self._link = link
        self._outlet = outlet
        self._on_lost = on_lost
        self._channel: Channel | None = None
        self._prefix = ""
        self._homes: dict[str, str] = {}
        """Task queue → private queue. Each channel has its own: what is in those of the last one goes home."""
        self._numbers = itertools.count()
        self._turn = asyncio.Lock()
        self._awaited: tuple[str, asyncio.Future[int]] | None = None
        """Of the copy that is on its way: the task's id, and what takes its tag."""

    async def take_in(self, delivery: Delivery, starts: int) -> int:
        """Have the server keep a fresh copy of it here, on which its starts are written, and hold that; gives what
        settles it. Raises ``StoreError``, and ``DecodeError`` for a head that cannot be read."""
        queue, copy = delivery.queue, fresh(delivery, starts)
        async with self._turn:
            channel = await self._open()
            home = await self._home(channel, queue)
            arrived: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            self._awaited = (copy.id, arrived)
            try:
                await self._outlet.send(home, copy)
                channel.check()
                tag = await arrived
                channel.check()  # a tag of one that has ended meanwhile would settle something else
                return tag
            finally:
                self._awaited = None
                if arrived.done():
                    arrived.exception()  # known, also where sending has failed first

    def settle(self, tag: int) -> None:
        """Forget a copy."""
        if self._channel is not None and self._channel.ended is None:
            self._channel.settle(frames.ack(self._channel.number, tag, False))

    async def heard(self) -> None:
        """Return when the server knows what was forgotten; raises ``StoreError`` when it may not."""
        if self._channel is not None and self._channel.ended is None:
            await self._channel.heard()

    async def close(self) -> None:
        """Let go of all copies: they go home."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.on_end = None
            self._give_up("its channel was closed")
            await channel.close()

    async def _open(self) -> Channel:
        if self._channel is None or self._channel.ended is not None:
            channel = await (await self._link.connection()).channel()
            channel.on_end = self._ended
            self._channel = channel
            self._homes.clear()
            self._prefix = f"umbel.running.{uuid.uuid4().hex[:12]}"
        return self._channel

    async def _home(self, channel: Channel, queue: str) -> str:
        home = self._homes.get(queue)
        if home is None:
            home = f"{self._prefix}.{next(self._numbers)}"
            arguments = {
                "x-queue-type": "quorum",
                "x-message-ttl": int(RETURNS * 1000),
                "x-expires": UNUSED * 1000,
                "x-overflow": "reject-publish",
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": queue,
                "x-dead-letter-strategy": "at-least-once",
            }
            await declare_queue(channel, home, arguments=arguments)
            await channel.consume(home, home, partial(self._arrive, channel))
            self._homes[queue] = home
        return home

    def _arrive(self, channel: Channel, arrivals: list[Arrival]) -> None:
        for arrival in arrivals:
            awaited = self._awaited
            if awaited is not None and awaited[0] == id_and_priority(arrival.head)[0] and not awaited[1].done():
                awaited[1].set_result(arrival.tag)
            else:  # of a move that was given up: its message is held as before
                channel.settle(frames.ack(channel.number, arrival.tag, False))

    def _ended(self, why: StoreError) -> None:
        self._give_up(why)
        self._on_lost()

    def _give_up(self, why: object) -> None:
        """The copy that is on its way does not come any more."""
        if self._awaited is not None and not self._awaited[1].done():
            self._awaited[1].set_exception(StoreUnreachable(f"no copy could take its place: {why}"))
