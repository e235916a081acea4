"""Sends results to their caller, as messages to a queue of the caller's own on the broker's server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from umbel import serial
from umbel.errors import ConfigurationError, DecodeError, StoreError, StoreUnreachable
from umbel.model import SealedRecord, may_replace
from umbel.stores.amqp import frames
from umbel.stores.amqp.address import SCHEMES, Address, addresses
from umbel.stores.amqp.channel import Arrival, Channel, Parcel
from umbel.stores.amqp.entities import declare_queue
from umbel.stores.amqp.link import Link
from umbel.stores.loops import EnteredPerLoop, PerLoop
from umbel.wire import results
from umbel.wire.amqp import id_and_priority, pack_properties, read_properties
from umbel.wire.amqp_fields import short_string
from umbel.wire.marks import LIFE

MOST = 100_000
"""Records that are kept for callers who have not asked for them; the oldest go first."""

_AGAIN = 0.5


class _Line:
    """What one loop has: a connection, the consumer of replies on it, and the way out for records.

    Several loops may listen to ``reply_to``: the server gives each reply to one, and ``hear`` takes it for all.
    """

    def __init__(
        self, addresses: Sequence[Address], reply_to: str, expires: int, hear: Callable[[list[Arrival]], None]
    ) -> None:
        self.link = Link(addresses)
        self._loop = asyncio.get_running_loop()
        self._reply_to = reply_to
        self._expires = expires
        self._hear = hear
        self._ear: Channel | None = None
        self._listening = asyncio.Lock()
        self._channel: Channel | None = None
        self._opening = asyncio.Lock()
        self._starts: dict[str, bytes] = {}
        self.news = asyncio.Event()
        """Set when there is something new, and replaced at once."""

    @property
    def listening(self) -> bool:
        return self._ear is not None and self._ear.ended is None

    async def listen(self) -> None:
        async with self._listening:
            if self.listening:
                return
            self._ear = await self.link.channel(self._consume)

    async def _consume(self, channel: Channel) -> None:
        # The arguments that Celery's clients of version 5.7 choose for their own; each client has its own queue.
        await declare_queue(channel, self._reply_to, arguments={"x-expires": self._expires * 1000})
        await channel.consume(self._reply_to, f"rpc-{uuid.uuid4()}", self._hear, no_ack=True)
        channel.on_end = self._deaf

    def _deaf(self, why: StoreError) -> None:
        """The queue stays for a while; whoever waits listens again."""
        self._ring()

    def _ring(self) -> None:
        self.news.set()
        self.news = asyncio.Event()

    def ring(self) -> None:
        """Wake whoever waits for news on this loop; from any thread."""
        if asyncio._get_running_loop() is self._loop:
            self._ring()
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits there
            self._loop.call_soon_threadsafe(self._ring)

    async def send(self, records: Sequence[SealedRecord]) -> None:
        """Return when the server has them; one that no queue takes counts as sent."""
        async with self._opening:
            channel = self._channel
            if channel is None or channel.ended is not None:
                channel = self._channel = await self.link.channel(Channel.confirm)
                self._starts.clear()
        await channel.publish([self._parcel(channel, record) for record in records])

    def _parcel(self, channel: Channel, record: SealedRecord) -> Parcel:
        start = self._starts.get(record.reply_to)
        if start is None:
            if len(self._starts) > 1000:
                self._starts.clear()
            start = frames.start_of_publish(channel.number, "", record.reply_to, mandatory=False)
            self._starts[record.reply_to] = start
        return Parcel(
            start, _head(*results.content_of(record.payload), record.life) + short_string(record.id), record.payload
        )

    async def close(self) -> None:
        """End the connection."""
        await self.link.close()


@lru_cache(maxsize=100)
def _head(content_type: str, encoding: str, life: int) -> bytes:
    """The properties of a reply up to its correlation id, which is the last of them."""
    properties = {
        "content_type": content_type,
        "content_encoding": encoding,
        "headers": {LIFE: life} if life else {},
        "delivery_mode": 1,
        "priority": 0,
        "correlation_id": "",
    }
    return pack_properties(properties).removesuffix(short_string(""))


class RpcBackend(EnteredPerLoop[_Line]):
    """Results for the process that sent the task, while it lives; another process knows nothing of them.

    A worker sends each record to the queue that the message names. A caller listens to one queue for all its tasks, and
    keeps what came, at most ``MOST`` records. Nothing is kept anywhere for a caller that has gone.
    """

    def __init__(self, url: str, settings: Any = None) -> None:
        broker_url = (settings or {}).get("broker_url") or ""
        if broker_url.partition(":")[0] not in SCHEMES:
            raise ConfigurationError(
                "result_backend is rpc://, which sends results over RabbitMQ, and broker_url is no amqp:// URL: set "
                "result_backend to a store, for example 'sqlite:///results.db'"
            )
        self._addresses = addresses(broker_url)
        names = (settings or {}).get("result_accept_content") or (settings or {}).get("accept_content") or ["json"]
        self._accept = serial.accepted(names)
        self._expires = int((settings or {}).get("result_expires") or 86400.0)
        self._pid, self._reply_to = 0, ""
        self._lines = PerLoop(lambda: _Line(self._addresses, self.reply_to, self._expires, self._hear))
        self._records: OrderedDict[str, SealedRecord] = OrderedDict()
        self._lock = threading.Lock()
        """Held by whoever changes the records."""

    @property
    def reply_to(self) -> str:
        """The queue of this process. A fork has its own: of two that listen to one, each would hear half."""
        if self._pid != os.getpid():
            self._pid, self._reply_to = os.getpid(), str(uuid.uuid4())
            self._lock = threading.Lock()  # a thread of the parent may have held it
        return self._reply_to

    @property
    def link(self) -> Link:
        """The connection over which it listens and sends on this loop."""
        return self._lines.here.link

    # -- the caller's side ----------------------------------------------------------------------------------------

    @property
    def listening(self) -> bool:
        line = self._lines.known
        return line is not None and line.listening

    async def listen(self) -> None:
        await self._lines.here.listen()

    def _hear(self, arrivals: list[Arrival]) -> None:
        with self._lock:
            for arrival in arrivals:
                record = read_reply(arrival, self._accept)
                if record is None:
                    continue
                old = self._records.get(record.id)
                if old is None or may_replace(old.state, old.life, record.state, record.life):
                    self._records[record.id] = record
            while len(self._records) > MOST:
                self._records.popitem(last=False)
        for line in self._lines.all:
            line.ring()

    async def load(self, ids: Sequence[str]) -> Mapping[str, SealedRecord]:
        await self.listen()
        with self._lock:
            return {id: self._records[id] for id in ids if id in self._records}

    async def watch(self, ids: Sequence[str]) -> AsyncIterator[SealedRecord]:
        told: dict[str, SealedRecord] = {}
        pending = dict.fromkeys(ids)
        line = self._lines.here
        while pending:
            news = line.news
            try:
                await line.listen()
            except StoreUnreachable:
                await asyncio.sleep(_AGAIN)
                continue
            for id in tuple(pending):
                record = self._records.get(id)
                if record is None or told.get(id) == record:
                    continue
                told[id] = record
                if record.final:
                    del pending[id]
                yield record
            if pending and news is line.news:
                await news.wait()

    async def forget(self, ids: Sequence[str]) -> None:
        with self._lock:
            for id in ids:
                self._records.pop(id, None)

    # -- the worker's side ----------------------------------------------------------------------------------------

    async def store(self, records: Sequence[SealedRecord]) -> None:
        """Send each to its caller; one whose caller has gone counts as sent."""
        wanted = [record for record in records if record.reply_to]
        if wanted:
            await self._lines.here.send(wanted)


def read_reply(arrival: Arrival, accept: frozenset[str]) -> SealedRecord | None:
    """The record in a reply; None for what is none."""
    task_id, _ = id_and_priority(arrival.head)
    if not task_id:
        return None
    life = 0
    if LIFE.encode() in arrival.head:
        with contextlib.suppress(DecodeError):
            told = read_properties(arrival.head).get("headers", {}).get(LIFE)
            life = told if type(told) is int and told > 0 else 0
    return results.reply(task_id, arrival.body, life, accept)
