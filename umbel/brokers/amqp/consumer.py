"""Claims messages from queues of a server, over a connection that is made again when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from typing import Any

from umbel.brokers.amqp.claims import Claim, Claims, Receipt, Waiting
from umbel.brokers.amqp.copies import BACK, in_place_of, known_starts, worn
from umbel.brokers.amqp.outlet import Outlet
from umbel.brokers.amqp.prefetching import Prefetching
from umbel.brokers.amqp.shelter import Shelter
from umbel.brokers.amqp.tags import Tags
from umbel.clock import Clock
from umbel.errors import DecodeError, StoreError, StoreRefused
from umbel.model import ACK, Delivery, Envelope, Queue, Settlement
from umbel.ports import ResultBackend
from umbel.stores.amqp.channel import Arrival, Channel
from umbel.stores.amqp.link import Link
from umbel.wire.amqp import id_and_priority, without_deaths
from umbel.wire.marks import RESENT, UNKNOWN_SINCE

logger = logging.getLogger("umbel.brokers")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_RESENT, _UNKNOWN = RESENT.encode(), UNKNOWN_SINCE.encode()


class AmqpConsumer:
    """The claim of one node. ``retries`` bounds the attempts to connect again in a row, None is without end.

    What was handed out stays the node's when the connection is lost: if it comes back here it is not handed out again,
    and is settled as the node says, or has said meanwhile. ``handover`` are the seconds after which a delivery changes
    its claim, so that the server does not take it for forgotten.
    """

    def __init__(
        self,
        link: Link,
        outlet: Outlet,
        queues: Sequence[str],
        prefetch: int,
        retries: int | None,
        burials: float | None,
        clock: Clock,
        handover: float,
    ) -> None:
        self.link = link
        """The connection over which it claims."""
        self._outlet = outlet
        self._queues = list(dict.fromkeys(queues))
        self._prefetching = Prefetching(self._queues, prefetch, self._arrive)
        self._retries = retries
        self._burials = burials
        self._clock = clock
        self._channel: Channel | None = None
        self._tags = Tags(0)
        self._generation = 0
        self._waiting = Waiting()
        self._claims = Claims()
        self._handover = handover
        self._shelter = Shelter(link, outlet, self._left)
        self._on_lost: Callable[[], None] | None = None
        self._errands: set[asyncio.Task[None]] = set()
        """What is to be done for messages that came again."""
        self._news = asyncio.Event()
        self._services: list[asyncio.Task[None]] = []
        self._failure: StoreError | None = None
        self._broken = asyncio.Event()
        self._closed = False

    def keeps(self, backend: ResultBackend) -> bool:
        """No record is written with a settlement: a server that moves messages keeps none."""
        return False

    def on_lost(self, tell: Callable[[], None]) -> None:
        """See ``ports.Tethered``."""
        self._on_lost = tell

    def overdue(self) -> Collection[str]:
        """See ``ports.Tethered``."""
        than = asyncio.get_running_loop().time() - self._handover / 2
        return {claim.delivery.envelope.id for claim in self._claims.older(than)}

    def starts_of(self, delivery: Delivery) -> int:
        """See ``ports.CountsStarts``."""
        return known_starts(delivery)

    async def count_start(self, delivery: Delivery, starts: int) -> None:
        """See ``ports.CountsStarts``: it changes its claim for that of a copy that says so."""
        claim = self._claims.get(delivery.receipt)
        if claim is not None and not claim.lost:
            claim.starts = starts
            await self._take_in(claim, starts)

    # -- iterating ------------------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[list[Delivery]]:
        return self

    async def __anext__(self) -> list[Delivery]:
        while not self._closed:
            if not self._services:
                self._services = [asyncio.create_task(self._live()), asyncio.create_task(self._mind())]
            room = self._prefetching.wanted - len(self._claims)
            if room > 0 and len(self._waiting):
                batch = self._waiting.next(room)
                for claim in self._claims.add(batch, asyncio.get_running_loop().time()):
                    if worn(claim.delivery):
                        self._run(self._keep(claim, known_starts(claim.delivery)))
                return batch
            if self._failure is not None:
                raise self._failure
            self._news.clear()
            await self._news.wait()
        raise StopAsyncIteration

    def _arrive(self, queue: str, arrivals: list[Arrival]) -> None:
        """Called by the channel as messages come in."""
        generation = self._generation
        self._tags.arrived([arrival.tag for arrival in arrivals])
        for arrival in arrivals:
            head = arrival.head
            delayed = b"x-death" in head  # a queue hands on at least once: twice where the server was killed meanwhile
            if delayed:
                with contextlib.suppress(DecodeError):  # who decodes it says what is wrong
                    head = without_deaths(head)
            id, priority = id_and_priority(head)
            envelope = Envelope("amqp", id, head, arrival.body)
            receipt = Receipt(generation, arrival.tag)
            delivery = Delivery(envelope, queue, receipt, arrival.redelivered, priority, delayed)
            copied = _RESENT in head and _UNKNOWN not in head  # which is sent anew each time that it waits
            again = copied or delayed or arrival.redelivered
            if not again or not self._came_back(delivery, copied or delayed):
                self._waiting.add(delivery)
        self._news.set()

    def _run(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def _came_back(self, delivery: Delivery, copied: bool) -> bool:
        """Whether a message that came again is known here, and so is not handed out."""
        now = asyncio.get_running_loop().time()
        known = self._claims.recognise(delivery, delivery.receipt.tag, copied, now)
        if isinstance(known, Settlement):
            self._run(self._settle_late(known))
        elif known is not None and worn(delivery):
            self._run(self._keep(known, known.starts))
        return known is not None

    async def _settle_late(self, settlement: Settlement) -> None:
        """It had ended while it was lost, and is back."""
        while not self._closed:
            try:
                await self.settle([settlement])
                return
            except StoreError as error:
                logger.error("Task [%s] is settled again: %s", settlement.delivery.envelope.id, error)
            await asyncio.sleep(_LONGEST_PAUSE)

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
            except StoreError as error:
                tries += 1
                # what was let in before may be again: a server that starts refuses for a moment
                never = isinstance(error, StoreRefused) and not self._generation
                if never or (self._retries is not None and tries > self._retries):
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
        await self._shelter.close()
        self._channel, self._tags = channel, Tags(channel.number)
        self._waiting.empty()
        await self._prefetching.begin(channel)

    def _ended(self, why: StoreError) -> None:
        """What was claimed over that channel is the server's again."""
        self._waiting.empty()
        self._claims.lose()
        self._broken.set()
        self._news.set()
        self._left()

    def _left(self) -> None:
        """Something that was handed out may now be handed out to others."""
        for claim in self._claims:
            if claim.tag is None:
                claim.shelter = None
        if self._on_lost is not None and not self._closed:
            self._on_lost()

    async def _mind(self) -> None:
        """The service that has no delivery held for longer than the server likes, and the prefetch as it should be."""
        while True:
            await asyncio.sleep(min(1.0, self._handover / 10))
            now = asyncio.get_running_loop().time()
            if self._waiting.stands(now) > self._handover / 2:
                self._give_back_waiting()
            try:
                await self._prefetching.adjust()
            except StoreError as error:
                logger.error("The prefetch could not be changed, and is tried again: %s", error)
            for claim in self._claims.older(now - self._handover):
                await self._keep(claim, claim.starts)

    async def _keep(self, claim: Claim, starts: int) -> None:
        """Have a fresh copy take the place of what came, which says so much of its starts."""
        try:
            await self._take_in(claim, starts)
        except (StoreError, DecodeError) as error:
            logger.error("The claim on task [%s] could not be renewed: %s", claim.delivery.envelope.id, error)

    async def _take_in(self, claim: Claim, starts: int) -> None:
        if claim.lost or claim.delivery.receipt not in self._claims:
            return
        tag = await self._shelter.take_in(claim.delivery, starts)
        claim.since = asyncio.get_running_loop().time()
        if claim.ending or self._claims.get(claim.delivery.receipt) is not claim:  # it has its verdict meanwhile
            self._shelter.settle(tag)
            return
        before, claim.shelter, claim.copied = claim.shelter, tag, True
        if before is not None:
            self._shelter.settle(before)
        if claim.tag is not None and self._channel is not None and self._channel.ended is None:
            original, claim.tag = claim.tag, None
            self._channel.settle(self._tags.ack([original]))

    # -- settling -------------------------------------------------------------------------------------------------

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Follow-ups and whatever else takes the place of a message are confirmed before it is let go."""
        standing: dict[Receipt, Settlement] = {}
        for settlement in settlements:
            receipt = settlement.delivery.receipt
            claim = self._claims.get(receipt)
            if claim is not None and claim.lost:
                self._claims.ended_lost(settlement)
            elif claim is not None:
                standing.setdefault(receipt, settlement)
        if not standing:
            self._news.set()
            return
        follow_ups = [pair for settlement in standing.values() for pair in settlement.follow_ups]
        ending = [claim for receipt in standing if (claim := self._claims.get(receipt)) is not None]
        try:
            for claim in ending:
                claim.ending = True
                settlement = standing[claim.delivery.receipt]
                now = self._clock.now()
                instead = in_place_of(settlement.delivery, settlement.verdict, claim.copied, self._burials, now)
                if instead is not None:
                    claim.leaving = True
                    follow_ups.append(instead)
                    standing[claim.delivery.receipt] = settlement._replace(verdict=ACK)
            if follow_ups:
                await self._outlet.publish(follow_ups)
        finally:
            for claim in ending:
                claim.ending = claim.leaving = False
        self._let_go(standing)

    def _let_go(self, standing: dict[Receipt, Settlement]) -> None:
        """Tell the server, over the channel on which they came; what is lost meanwhile is told when it comes back."""
        done: list[int] = []
        back: list[int] = []
        for receipt, settlement in standing.items():
            claim = self._claims.get(receipt)
            if claim is None:
                continue
            if claim.lost:  # and what was to go back has gone back
                verdict = settlement.verdict if settlement.verdict.kind in BACK else ACK
                self._claims.ended_lost(settlement._replace(follow_ups=(), verdict=verdict))
                continue
            self._claims.settled(receipt)
            if claim.tag is not None:
                (back if settlement.verdict.kind in BACK else done).append(claim.tag)
            if claim.shelter is not None:
                self._shelter.settle(claim.shelter)
            done += claim.twins
        if self._channel is not None and self._channel.ended is None and (done or back):
            self._channel.settle(self._tags.ack(done) + self._tags.give_back(back))
        self._news.set()

    async def heard(self) -> None:
        """See ``ports.AnswersLate``. A connection that is lost meanwhile is no reason to wait: what comes back of it is
        known here."""
        with contextlib.suppress(StoreError):
            if self._channel is not None and self._channel.ended is None:
                await self._channel.heard()
            await self._shelter.heard()

    async def resize(self, prefetch: int) -> None:
        self._prefetching.wanted = prefetch
        if not prefetch:
            self._give_back_waiting()
        with contextlib.suppress(StoreError):  # the service notices, and makes the claim again as it is wanted
            await self._prefetching.adjust()
        self._news.set()

    def _give_back_waiting(self) -> None:
        """What has come and was not handed out goes back."""
        tags = self._waiting.empty()
        if tags and self._channel is not None and self._channel.ended is None:
            self._channel.settle(self._tags.give_back(tags))

    async def close(self) -> None:
        self._closed = True
        services, self._services = self._services, []
        for service in (*services, *self._errands):
            service.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await service
        channel, self._channel = self._channel, None
        self._waiting.empty()
        self._claims = Claims()
        await self._shelter.close()
        if channel is not None:
            channel.on_end = None
            await channel.close()  # which gives back everything that is not settled
        await self.link.close()
        self._news.set()
