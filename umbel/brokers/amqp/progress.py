"""Progress over a RabbitMQ server: told to whoever listens, kept by nobody but them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
import weakref
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from umbel.brokers.amqp.bus import Mouth
from umbel.errors import StoreError, WireError
from umbel.model import Envelope
from umbel.stores.amqp import frames
from umbel.stores.amqp.address import Address
from umbel.stores.amqp.channel import Arrival, Channel, Parcel
from umbel.stores.amqp.entities import bind_queue, declare_exchange, declare_queue
from umbel.stores.amqp.link import Link
from umbel.stores.memory_progress import MemoryProgress
from umbel.tracking import Note, Seen
from umbel.wire.control import Command, read_command, write_command
from umbel.wire.protection import Protection, protection_with

logger = logging.getLogger("umbel.brokers")

EXCHANGE = "umbel.progress"
"""Hands every note to all who listen."""

QUEUE_ARGUMENTS = {"x-expires": 10_000, "x-message-ttl": 60_000, "x-max-length": 10_000}

METHOD = "progress"

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0

_KINDS: tuple[Any, ...] = (str, int, str, (int, float), int, bool, (str, type(None)), str)
"""What the fields of a note are on the way; its payload is ASCII."""


class AmqpProgress:
    """``tracking.Progress`` on a server, which keeps nothing: whoever listens knows what was told since it began, and a
    task that runs is told of every few seconds. What is written is told to this process's own readers over the server.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        mouth: Callable[[], Mouth],
        settings: Mapping[str, Any],
        now: Callable[[], float],
    ) -> None:
        self._addresses = addresses
        self._mouth = mouth
        self._settings = settings
        self._now = now
        self._table = MemoryProgress(now)
        """What was heard; expired notes leave it by themselves."""
        self._declared: weakref.WeakSet[Channel] = weakref.WeakSet()

    def _protection(self) -> Protection | None:
        keys = self._settings.get("security_signing_keys")
        if not keys:
            return None
        return protection_with(keys, self._settings.get("security_signing_max_age", 86400.0), (), self._now)

    async def write(self, notes: Sequence[Note]) -> None:
        """As ``Progress.write_progress``; one that nobody listens to is dropped by the server."""
        if not notes:
            return
        channel = await self._mouth().channel()
        if channel not in self._declared:
            await declare_exchange(channel, EXCHANGE, "fanout", durable=False)
            self._declared.add(channel)
        flat = [[*note[:2], note.payload.decode(), *note[3:]] for note in notes]
        envelope = write_command(Command(METHOD, {"notes": flat}), "amqp", protection=self._protection())
        start = frames.start_of_publish(channel.number, EXCHANGE, "", mandatory=False)
        await channel.publish([Parcel(start, envelope.head, envelope.body)])

    def read(self, ids: Sequence[str]) -> Mapping[str, Seen]:
        """As ``Progress.read_progress``, of what was heard here."""
        return self._table.read(ids)

    async def watch(self) -> AsyncIterator[frozenset[str]]:
        """As ``Progress.watch_progress``; each time after something may have been missed it tells an empty step."""
        from umbel.stores.bells import LoopBell

        link, bell, pause = Link(self._addresses), LoopBell(), _FIRST_PAUSE
        self._table.listen(bell)
        try:
            while True:
                try:
                    channel = await self._listen(link)
                    channel.on_end = lambda why: bell.ring()
                    pause = _FIRST_PAUSE
                    yield frozenset()
                    while True:
                        if news := self._table.news(bell):
                            yield news
                        else:
                            channel.check()
                            await bell.wait()
                except StoreError as error:
                    logger.warning("Progress is not heard until it is heard again: %s", error)
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE, 2 * pause)
        finally:
            self._table.unlisten(bell)
            await link.close()

    async def _listen(self, link: Link) -> Channel:
        channel = await (await link.connection()).channel()
        await declare_exchange(channel, EXCHANGE, "fanout", durable=False)
        queue = f"{EXCHANGE}.{uuid.uuid4()}"
        await declare_queue(channel, queue, fleeting=True, arguments=QUEUE_ARGUMENTS)
        await bind_queue(channel, queue, EXCHANGE, "")
        ended = StoreError("the server ended the consumer: its queue is gone")
        await channel.consume(queue, queue, self._hear, no_ack=True, cancelled=lambda: channel.end(ended))
        return channel

    def _hear(self, arrivals: list[Arrival]) -> None:
        protection = self._protection()
        notes: list[Note] = []
        for arrival in arrivals:
            with contextlib.suppress(WireError):  # nobody's, or not signed: as good as not sent
                envelope = Envelope("amqp", "", arrival.head, arrival.body)
                command = read_command(envelope, accept=frozenset(), protection=protection)
                notes += [note for flat in command.arguments.get("notes") or () if (note := _note(flat)) is not None]
        self._table.write(notes)


def _note(flat: Any) -> Note | None:
    """The note in a list that came over the bus; None for what is none."""
    if type(flat) is not list or len(flat) != len(_KINDS):
        return None
    if not all(isinstance(field, kind) for field, kind in zip(flat, _KINDS, strict=True)):
        return None
    note = Note(*flat)
    return note._replace(payload=flat[2].encode("ascii", "replace"))


class OffersProgress:
    """``tracking.Progress`` by way of ``progress``, for the adapter."""

    progress: AmqpProgress

    async def write_progress(self, notes: Sequence[Note]) -> None:
        await self.progress.write(notes)

    async def read_progress(self, ids: Sequence[str]) -> Mapping[str, Seen]:
        return self.progress.read(ids)

    async def watch_progress(self) -> AsyncIterator[frozenset[str]]:
        async for moved in self.progress.watch():
            yield moved
