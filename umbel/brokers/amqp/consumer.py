"""Claims messages from queues of a server, over a connection that is made again when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import NamedTuple

from umbel.brokers.amqp.burial import obituary
from umbel.brokers.amqp.outlet import Outlet
from umbel.brokers.amqp.tags import Tags
from umbel.brokers.amqp.topology import DEAD
from umbel.clock import Clock
from umbel.errors import DecodeError, StoreError, StoreRefused
from umbel.model import Delivery, Envelope, Queue, Route, Settlement
from umbel.ports import ResultBackend
from umbel.stores.amqp.channel import Arrival, Channel
from umbel.stores.amqp.link import Link
from umbel.wire.amqp import id_and_priority, without_deaths

logger = logging.getLogger("umbel.brokers")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_names = itertools.count(1)


class Receipt(NamedTuple):
    """What settles a delivery: valid for the life of one channel, which ``generation`` counts."""

    generation: int
    tag: int


class AmqpConsumer:
    """The claim of one node. ``retries`` bounds the attempts to connect again in a row, None is without end."""

    def __init__(
        self,
        link: Link,
        outlet: Outlet,
        queues: Sequence[str],
        prefetch: int,
        retries: int | None,
        burials: float | None,
        clock: Clock,
    ) -> None:
        self.link = link
        """The connection over which it claims."""
        self._outlet = outlet
        self._queues = list(dict.fromkeys(queues))
        self._prefetch = prefetch
        self._retries = retries
        self._burials = burials
        self._clock = clock
        self._channel: Channel | None = None
        self._tags = Tags(0)
        self._generation = 0
        self._running: list[str] = []
        """The tags of the consumers that run."""
        self._waiting: deque[Delivery] = deque()
        self._held: set[Receipt] = set()
        self._news = asyncio.Event()
        self._service: asyncio.Task[None] | None = None
        self._failure: StoreError | None = None
        self._broken = asyncio.Event()
        self._closed = False
        self._consuming = 0
        """The prefetch with which the consumers that run were started."""
        self._turn = asyncio.Lock()

    def keeps(self, backend: ResultBackend) -> bool:
        """No record is written with a settlement: a server that moves messages keeps none."""
        return False

    # -- iterating ------------------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[list[Delivery]]:
        return self

    async def __anext__(self) -> list[Delivery]:
        while not self._closed:
            if self._service is None:
                self._service = asyncio.create_task(self._live())
            room = self._prefetch - len(self._held)
            if room > 0 and self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
                self._held.update(delivery.receipt for delivery in batch)
                return batch
            if self._failure is not None:
                raise self._failure
            self._news.clear()
            await self._news.wait()
        raise StopAsyncIteration

    def _arrive(self, queue: str, arrivals: list[Arrival]) -> None:
        """Called by the channel as messages come in."""
        generation = self._generation
        self._tags.arrived(arrival.tag for arrival in arrivals)
        for arrival in arrivals:
            head = arrival.head
            if b"x-death" in head:
                with contextlib.suppress(DecodeError):  # who decodes it says what is wrong
                    head = without_deaths(head)
            id, priority = id_and_priority(head)
            envelope = Envelope("amqp", id, head, arrival.body)
            receipt = Receipt(generation, arrival.tag)
            self._waiting.append(Delivery(envelope, queue, receipt, arrival.redelivered, priority))
        self._news.set()

    # -- the connection -------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """The service: a channel with consumers, and another when that one has ended."""
        pause, tries = _FIRST_PAUSE, 0
        while not self._closed:
            try:
                await self._open()
                pause, tries = _FIRST_PAUSE, 0
                await self._broken.wait()
                if self._closed:
                    return
                ended = self._channel.ended if self._channel is not None else None
                logger.warning("The claim on %s was lost and is made again: %s", ", ".join(self._queues), ended)
            except StoreRefused as error:
                self._fail(error)
                return
            except StoreError as error:
                tries += 1
                if self._retries is not None and tries > self._retries:
                    self._fail(error)
                    return
                logger.error("No claim on %s, tried again in %.1f s: %s", ", ".join(self._queues), pause, error)
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)

    def _fail(self, error: StoreError) -> None:
        self._failure = error
        self._news.set()

    async def _open(self) -> None:
        for queue in self._queues:
            await self._outlet.declare(Queue(queue))
        connection = await self.link.connection()
        channel = await connection.channel()
        self._generation += 1
        self._broken.clear()
        channel.on_end = self._ended
        self._channel, self._tags = channel, Tags(channel.number)
        self._waiting.clear()
        self._held.clear()
        self._running, self._consuming = [], 0
        async with self._turn:
            await self._consume()

    def _ended(self, why: StoreError) -> None:
        """What was claimed over that channel is the server's again."""
        self._waiting.clear()
        self._held.clear()
        self._broken.set()
        self._news.set()

    async def _consume(self) -> None:
        """Have the wanted prefetch: a consumer that runs keeps the one with which it was started."""
        channel, wanted = self._channel, self._prefetch
        if channel is None or channel.ended is not None or wanted == self._consuming:
            return
        old, self._running, self._consuming = self._running, [], wanted
        if wanted:
            await channel.qos(min(wanted, 65535))
            for queue in self._queues:
                tag = f"umbel{next(_names)}"
                await channel.consume(queue, tag, partial(self._arrive, queue), cancelled=self._cancelled)
                self._running.append(tag)
        for tag in old:
            await channel.cancel(tag)

    def _cancelled(self) -> None:
        """The server has ended a consumer: its queue was deleted, or moved."""
        if self._channel is not None:
            self._channel.end(StoreError("the server ended the consumer: its queue is gone or moved"))

    # -- settling -------------------------------------------------------------------------------------------------

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Follow-ups and whatever else takes the place of a message are confirmed before it is let go."""
        standing: dict[Receipt, Settlement] = {}
        for settlement in settlements:
            receipt = settlement.delivery.receipt
            if receipt in self._held:
                standing.setdefault(receipt, settlement)
        if not standing:
            return
        follow_ups = [pair for settlement in standing.values() for pair in settlement.follow_ups]
        for settlement in standing.values():
            delivery, verdict = settlement.delivery, settlement.verdict
            if verdict.kind == "later":
                route = Route(delivery.queue, delivery.priority or None, verdict.due)
                follow_ups.append((route, delivery.envelope))
            elif verdict.kind == "dead":
                letter = obituary(delivery, verdict.reason or "", self._burials, self._clock.now())
                follow_ups.append((Route(DEAD), letter))
        if follow_ups:
            await self._outlet.publish(follow_ups)
        self._let_go(standing)

    def _let_go(self, standing: dict[Receipt, Settlement]) -> None:
        """Tell the server, over the channel on which they came; what a lost one had is the server's already."""
        done: list[int] = []
        back: list[int] = []
        for receipt, settlement in standing.items():
            if receipt in self._held:
                self._held.discard(receipt)
                (back if settlement.verdict.kind in ("requeue", "return") else done).append(receipt.tag)
        if self._channel is None or self._channel.ended is not None or not (done or back):
            return
        self._channel.settle(self._tags.ack(done) + self._tags.give_back(back))
        self._news.set()

    async def resize(self, prefetch: int) -> None:
        self._prefetch = prefetch
        if not prefetch:
            self._give_back_waiting()
        async with self._turn:
            with contextlib.suppress(StoreError):  # the service notices, and makes the claim again as it is wanted
                await self._consume()
        self._news.set()

    def _give_back_waiting(self) -> None:
        """What has come and was not handed out goes back."""
        tags = [delivery.receipt.tag for delivery in self._waiting]
        self._waiting.clear()
        if tags and self._channel is not None and self._channel.ended is None:
            self._channel.settle(self._tags.give_back(tags))

    async def close(self) -> None:
        self._closed = True
        service, self._service = self._service, None
        if service is not None:
            service.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await service
        channel, self._channel = self._channel, None
        self._waiting.clear()
        self._held.clear()
        if channel is not None:
            channel.on_end = None
            await channel.close()  # which gives back everything that is not settled
        await self.link.close()
        self._news.set()
