"""The bus on a RabbitMQ server: the mailboxes of nodes, and of those who ask them."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from umbel.errors import StoreError, StoreRefused
from umbel.model import Envelope
from umbel.stores.amqp import frames
from umbel.stores.amqp.address import Address
from umbel.stores.amqp.channel import Arrival, Channel, Parcel
from umbel.stores.amqp.entities import bind_queue, declare_exchange, declare_queue
from umbel.stores.amqp.link import Link
from umbel.wire.control import ANSWERS, COMMANDS, MAILBOX_ARGUMENTS, inbox_of, mailbox_of

logger = logging.getLogger("umbel.brokers")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0


class _Ear:
    """What has come over one channel and was not looked at."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._heard: deque[Envelope] = deque()
        self._news = asyncio.Event()
        channel.on_end = lambda why: self._news.set()

    def hear(self, arrivals: list[Arrival]) -> None:
        self._heard += [Envelope("amqp", "", arrival.head, arrival.body) for arrival in arrivals]
        self._news.set()

    async def next(self) -> list[Envelope]:
        """All that there is; raises what ended the channel."""
        while not self._heard:
            self._channel.check()
            self._news.clear()
            await self._news.wait()
        heard = list(self._heard)
        self._heard.clear()
        return heard

    def put_back(self, envelopes: Sequence[Envelope]) -> None:
        self._heard.extendleft(reversed(envelopes))


class Mouth:
    """The way out to the mailboxes, over ``link``; belongs to a loop."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._channel: Channel | None = None
        self._opening = asyncio.Lock()

    async def channel(self) -> Channel:
        """A channel on which the exchanges are there."""
        async with self._opening:
            if self._channel is None or self._channel.ended is not None:
                self._channel = await self.link.channel(_prepare)
            return self._channel


class AmqpBus:
    """``ports.Bus`` on a server. A node listens over a connection of its own; all else goes over that of ``mouth()``,
    the running loop's."""

    form = "amqp"

    def __init__(self, addresses: Sequence[Address], mouth: Callable[[], Mouth]) -> None:
        self._addresses = addresses
        self._mouth = mouth

    async def send(self, command: Envelope) -> bool:
        channel = await self._mouth().channel()
        start = frames.start_of_publish(channel.number, COMMANDS, "")
        try:
            await channel.publish([Parcel(start, command.head, command.body)])
        except StoreRefused:  # it came back: no mailbox is bound
            return False
        return True

    async def reply(self, address: str, answer: Envelope) -> None:
        channel = await self._mouth().channel()
        start = frames.start_of_publish(channel.number, ANSWERS, address, mandatory=False)
        await channel.publish([Parcel(start, answer.head, answer.body)])

    async def hear(self, node: str) -> AsyncGenerator[list[Envelope], None]:
        link = Link(self._addresses)
        pause = _FIRST_PAUSE
        try:
            while True:
                try:
                    ear = await self._listen(link, mailbox_of(node), COMMANDS, "")
                    pause = _FIRST_PAUSE
                    yield []
                    while True:
                        yield await ear.next()
                except StoreError as error:
                    level = logging.WARNING if pause == _FIRST_PAUSE else logging.DEBUG
                    logger.log(level, "%s does not hear commands until it is heard again: %s", node, error)
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE, 2 * pause)
        finally:
            await link.close()

    @asynccontextmanager
    async def inbox(self) -> AsyncIterator[AmqpInbox]:
        """A place for answers."""
        address = str(uuid.uuid4())
        async with self._mouth().link.scratch() as channel:
            yield AmqpInbox(address, await _consume(channel, inbox_of(address), ANSWERS, address))

    async def _listen(self, link: Link, queue: str, exchange: str, key: str) -> _Ear:
        channel = await (await link.connection()).channel()
        return await _consume(channel, queue, exchange, key)


class AmqpInbox:
    """``ports.Inbox`` on a server."""

    def __init__(self, address: str, ear: _Ear) -> None:
        self.address = address
        self._ear = ear

    async def next(self, seconds: float) -> Envelope | None:
        try:
            async with asyncio.timeout(seconds):
                first, *rest = await self._ear.next()
        except TimeoutError:
            return None
        self._ear.put_back(rest)
        return first


async def _prepare(channel: Channel) -> None:
    await channel.confirm()
    await _declare_exchanges(channel)


async def _declare_exchanges(channel: Channel) -> None:
    await declare_exchange(channel, COMMANDS, "fanout", durable=False)
    await declare_exchange(channel, ANSWERS, "direct", durable=False)


async def _consume(channel: Channel, queue: str, exchange: str, key: str) -> _Ear:
    await _declare_exchanges(channel)
    await declare_queue(channel, queue, fleeting=True, arguments=MAILBOX_ARGUMENTS)
    await bind_queue(channel, queue, exchange, key)
    ear = _Ear(channel)
    await channel.consume(
        queue,
        f"bus-{uuid.uuid4()}",
        ear.hear,
        no_ack=True,
        cancelled=lambda: channel.end(StoreError("the server ended the consumer: its queue is gone")),
    )
    return ear
