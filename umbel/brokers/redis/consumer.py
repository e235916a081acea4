"""Claims messages from the lists of a Redis server, and settles them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from typing import Any

from umbel.brokers.redis.claims import Claim, Claims
from umbel.brokers.redis.ears import MOST, Ears
from umbel.brokers.redis.grave import Grave
from umbel.brokers.redis.leases import Leases
from umbel.brokers.redis.outlet import Outlet
from umbel.brokers.redis.window import Window
from umbel.clock import Clock
from umbel.errors import StoreError, StoreRefused, StoreUnreachable
from umbel.model import RETURN, Delivery, Envelope, Route, Settlement, later
from umbel.ports import ResultBackend
from umbel.stores.redis.connection import Word
from umbel.stores.redis.layout import entry_in, tag, tags, value_of
from umbel.stores.redis.link import Script
from umbel.stores.redis.listener import Hearing
from umbel.stores.redis.store import RedisStore, parked
from umbel.wire.kombu import redelivered, told_by

logger = logging.getLogger("umbel.brokers")

_CLAIM = Script("claim")
_AT_ONCE = 1000
_BYTES = 1 << 20
"""Of messages, about, in one claim."""

BACK = ("requeue", "return")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_GOODBYE = 2.0
"""Seconds in which a claim that is under way may come back before the end."""


class RedisConsumer:
    """The claim of one node, which has no more at a time than ``window`` allows. ``retries`` bounds the attempts in a
    row to claim from a server that is away, None is without end. ``news`` is set when there is something to hand out.
    ``beside`` it the node has so many more like this.

    Claims are renewed as long as the process lives. What was handed out stays the node's when a claim is lost: a
    settlement then changes nothing, and what comes back here is not handed out again.
    """

    def __init__(
        self,
        store: RedisStore,
        listener: Hearing,
        queues: Sequence[str],
        window: Window,
        retries: int | None,
        outlet: Outlet,
        grave: Grave,
        clock: Clock,
        *,
        news: asyncio.Event | None = None,
        beside: int = 0,
    ) -> None:
        self._store = store
        self._listener = listener
        self._queues = list(dict.fromkeys(queues))
        self._window = window
        self._retries = retries
        self._outlet = outlet
        self._grave = grave
        self._clock = clock
        self._owner = secrets.token_hex(8)
        self._number = 0
        self._doubtful: list[tuple[int, int]] = []
        """Claims of which the answer was lost: their numbers, and how many messages each has asked for."""
        self._claims = Claims()
        window.join(self._claims)
        self._waiting: list[Delivery] = []
        """Claimed, and not handed out."""
        self._early: list[Settlement] = []
        """Of what was claimed before its time."""
        self._claiming = False
        self._idle = asyncio.Event()
        """Set while no claim is under way."""
        self._idle.set()
        self._wake = asyncio.Event()
        self._news = news or asyncio.Event()
        lists = [name for queue in self._queues for name in store.layout.lists(queue)]
        self._channels = [store.layout.due(queue) for queue in self._queues]
        self._ears = Ears(store.link, lists, self._wake.set, polls=len(lists) * (beside + 1) > MOST)
        self._leases = Leases(store, self._claims, self._owner, self._queues, clock.now, self._late)
        self._services: list[asyncio.Task[None]] = []
        self._on_lost: Callable[[], None] | None = None
        self._failure: BaseException | None = None
        self._closed = False

    def keeps(self, backend: ResultBackend) -> bool:
        """Whether ``backend`` is on this very server, so that a settlement writes its record too."""
        return getattr(backend, "place", None) == self._store.place

    async def send(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        """See ``ports.Follows``."""
        await self._outlet.publish(messages, follow=True)

    def on_lost(self, tell: Callable[[], None]) -> None:
        """See ``ports.Tethered``."""
        self._on_lost = tell

    def overdue(self) -> Collection[str]:
        """See ``ports.Tethered``: what somebody else may have by now."""
        return self._claims.lost()

    def _late(self) -> None:
        if self._on_lost is not None and not self._closed:
            self._on_lost()

    # -- claiming -------------------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[list[Delivery]]:
        return self

    async def __anext__(self) -> list[Delivery]:
        self.begin()
        while not self._closed:
            if batch := self.take():
                return batch
            self._news.clear()
            await self._news.wait()
        raise StopAsyncIteration

    def begin(self) -> None:
        """Claim from now on."""
        if not self._services and not self._closed:
            work: list[Coroutine[Any, Any, None]] = [self._leases.renew(), self._leases.sweep(), self._live()]
            self._services = [asyncio.create_task(each) for each in work]
            self._services[-1].add_done_callback(self._ended)

    def take(self) -> list[Delivery]:
        """What has come and was not handed out; raises what has ended the claiming."""
        batch, self._waiting = self._waiting, []
        if not batch and self._failure is not None:
            raise self._failure
        return batch

    def _ended(self, service: asyncio.Task[None]) -> None:
        if not service.cancelled() and (error := service.exception()) is not None:
            self._failure = error
            self._window.leave(self._claims)
            self._news.set()

    async def _live(self) -> None:
        """The service that claims while there is room."""
        pause, tries, heard = _FIRST_PAUSE, 0, False
        while self._queues:
            self._wake.clear()
            room = self._window.room(self._claims, self._wake)
            if room <= 0:
                await self._wake.wait()
                continue
            try:
                if not heard:
                    await self._listener.follow(self._channels, self._due)
                    heard = True
                    continue  # others may have taken the room meanwhile
                with self._window.asking(self._claims, room):
                    seconds = await self._claim(room)
            except StoreError as error:
                error = await self._explained(error)
                tries += 1
                if isinstance(error, StoreRefused) or (self._retries is not None and tries > self._retries):
                    raise error from None
                logger.error("No claim on %s, tried again in %.1f s: %s", ", ".join(self._queues), pause, error)
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE, 2 * pause)
                continue
            pause, tries = _FIRST_PAUSE, 0
            if seconds != 0.0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._wake.wait()

    async def _explained(self, error: StoreError) -> StoreError:
        try:
            return await self._store.explained(error, self._queues)
        except StoreError:
            return error

    def _due(self, score: bytes | None) -> None:
        """Something will be due sooner than all else."""
        self._wake.set()

    async def _claim(self, room: int) -> float | None:
        """Claim what there is; gives the seconds to wait before the next time: 0 when there may be more, None until
        somebody rings."""
        self._idle.clear()
        told: list[Any] = []
        try:
            await self._put_off()
            if self._doubtful:
                await self._recover()
            else:
                told = await self._ask(room)
                self._take(told)
        finally:
            self._idle.set()
        if self._waiting:
            self._news.set()
        if not self._window.size or self._closed:
            await self._give_back_waiting()
        await self._put_off()
        if len(told) != 1:
            self._ears.found()
            return 0.0
        soonest = None if told[0] == b"" else max(0.001, float(told[0]) - self._clock.now())
        poll = self._ears.listen()
        return min((each for each in (soonest, poll) if each is not None), default=None)

    async def _ask(self, room: int) -> list[Any]:
        """Have the script claim. When its answer is lost, what it may have claimed is looked for before the next."""
        try:
            told: list[Any] = await self._store.link.run(_CLAIM, *self._question(room))
        except StoreUnreachable as error:
            if error.doubtful:
                self._doubtful.append((self._number, room))
            raise
        return told

    async def _recover(self) -> None:
        """Take in what was claimed by a script whose answer was lost."""
        layout, steps = self._store.layout, range(len(self._store.layout.lists("")))
        while self._doubtful:
            number, room = self._doubtful[0]
            places = [(step, place) for step in steps for place in range(1, room + 1)]
            for at in range(0, len(places), _AT_ONCE):
                some = places[at : at + _AT_ONCE]
                names = [tag(self._owner, number, *place) for place in some]
                values = await self._store.link.ask("HMGET", layout.unacked, *names)
                for (step, place), value in zip(some, values, strict=True):
                    if value is not None:
                        self._receive(*entry_in(value), step, (number, place))
            del self._doubtful[0]

    def _question(self, room: int) -> tuple[list[str], list[Word]]:
        """Keys and arguments of the script that claims."""
        layout = self._store.layout
        self._number += 1
        first = self._number % len(self._queues)  # no queue is always the first
        self._asked = queues = self._queues[first:] + self._queues[:first]
        keys = layout.held
        for queue in queues:
            keys += [layout.due(queue), *layout.lists(queue)]
        steps = len(layout.lists(""))
        numbers: list[Word] = [room, tags(self._owner, self._number), self._leases.lease, _BYTES, len(queues), steps]
        return keys, [*numbers, self._clock.now(), *map(value_of, queues)]

    def _take(self, told: list[Any]) -> None:
        """Take in what the script has claimed."""
        place, at = 0, 1
        while at < len(told):
            queue, step, count = self._asked[told[at]], told[at + 1], told[at + 2]
            for entry in told[at + 3 : at + 3 + count]:
                place += 1
                self._receive(entry, queue, step, (self._number, place))
            at += 3 + count

    def _receive(self, entry: bytes, queue: str, step: int, order: tuple[int, int]) -> None:
        """One message that is this node's now; ``order`` are the number of the claim and its place in that."""
        known = told_by(entry)
        envelope = Envelope("kombu", known.id, entry, b"")
        receipt = tag(self._owner, order[0], step, order[1])
        delivery = Delivery(envelope, queue, receipt, known.redelivered, known.priority)
        if not self._claims.add(Claim(delivery, step, order)):
            return
        if known.due is not None and known.due > self._clock.now():
            self._early.append(Settlement(delivery, later(known.due)))
        else:
            self._waiting.append(delivery)

    async def _put_off(self) -> None:
        if self._early:
            await self.settle(self._early)
            self._early = []

    def holds(self, delivery: Delivery) -> bool:
        """Whether it is to be settled here, as far as is known."""
        claim = self._claims.get(delivery.receipt)
        return claim is not None and not claim.lost

    # -- settling -------------------------------------------------------------------------------------------------

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        standing: dict[str, tuple[Claim, Settlement]] = {}
        for settlement in settlements:
            claim = self._claims.get(settlement.delivery.receipt)
            if claim is None:
                continue
            if claim.lost:
                self._claims.settled([claim.delivery.receipt])
            else:
                standing.setdefault(claim.delivery.receipt, (claim, settlement))
        if standing:
            await self._store.settle(self._told(list(standing.values())))
            self._claims.settled(standing)
        self._window.stir()
        self._wake.set()

    def _told(self, standing: list[tuple[Claim, Settlement]]) -> list[Word]:
        """What the script that settles is told."""
        plain: list[str] = []
        args: list[Word] = []
        back = [pair for pair in standing if pair[1].verdict.kind in BACK]
        # What is given back is put where it is handed out next: the newest first, so that their order is kept.
        back.sort(key=lambda pair: pair[0].order, reverse=True)
        for claim, settlement in [*back, *(pair for pair in standing if pair[1].verdict.kind not in BACK)]:
            if settlement.verdict.kind == "ack" and not settlement.follow_ups and settlement.record is None:
                plain.append(claim.tag)
                continue
            things = self._instead(claim, settlement)
            args += [claim.tag, len(things), *(word for thing in things for word in thing)]
        return [len(plain), *plain, *args]

    def _instead(self, claim: Claim, settlement: Settlement) -> list[list[Word]]:
        """What takes the place of a delivery."""
        delivery, verdict, layout = claim.delivery, settlement.verdict, self._store.layout
        entry, now = delivery.envelope.head, self._clock.now()
        things: list[list[Word]] = []
        if verdict.kind in BACK:
            back = redelivered(entry) if verdict.kind == "requeue" else entry
            things.append(["R", layout.lists(delivery.queue)[claim.step], back])
        elif verdict.kind == "later":
            due = now if verdict.due is None else verdict.due
            things.append(["Z", layout.due(delivery.queue), due, parked(claim.step, now, entry)])
        elif verdict.kind == "dead":
            things.append(self._grave.burial(delivery, claim.step, verdict.reason or "", now))
        things += [self._store.sending(route, envelope, now) for route, envelope in settlement.follow_ups]
        if settlement.record is not None:
            things.append(self._store.storing(settlement.record, now))
        return things

    # -- the end --------------------------------------------------------------------------------------------------

    async def resize(self, prefetch: int) -> None:
        self._window.size = prefetch
        self._window.stir()
        self._wake.set()
        if not prefetch:
            await self._stand_still()
            with contextlib.suppress(StoreError):  # they stay claimed, and waiting
                await self._give_back_waiting()

    async def _stand_still(self) -> None:
        """Return when no claim is under way."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await self._idle.wait()

    async def _give_back_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []  # which nobody is handed meanwhile
        try:
            await self.settle([Settlement(delivery, RETURN) for delivery in waiting])
        except StoreError:
            self._waiting = waiting + self._waiting
            raise

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._window.leave(self._claims)
        self._news.set()
        await self._stand_still()
        self._listener.leave(self._channels, self._due)
        for service in self._services:
            service.cancel()
        await asyncio.gather(*self._services, return_exceptions=True)
        await self._ears.close()
        await self._leases.leave()
        # What came again was there before what came for the first time.
        held = sorted(self._claims, key=lambda claim: (not claim.delivery.redelivered, claim.order))
        for place, claim in enumerate(held):
            claim.order = (0, place)
        self._waiting = []
        with contextlib.suppress(StoreError):
            await self.settle([Settlement(claim.delivery, RETURN) for claim in held])
            if self._store.link.standing is not None:
                await self._leases.release()
