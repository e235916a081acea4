"""Looks up what was handed out before: what has its end is not run again, what somebody runs is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence, Set
from typing import Any, Protocol

from umbel.clock import Clock
from umbel.errors import StoreError, WireError
from umbel.model import ACK, Delivery, Envelope, SealedRecord, Settlement, State, dead
from umbel.ports import Mark, Marks, ResultBackend
from umbel.wire.envelope import unpack
from umbel.wire.marking import life_of
from umbel.wire.marks import RESENT
from umbel.wire.results import unseal
from umbel.worker.settling import Settling, condemned

logger = logging.getLogger("umbel.worker")

PREFIX = "lease:"
"""A mark of this name and a task id says which node runs the task, though it has lost its claim."""

LEASE = 30.0
"""Seconds for which such a mark holds."""

RENEWED = 10.0
PAUSE = 1.5
"""Seconds between two looks: time for whoever lost its claim to say so."""

_SHORT = 0.1
_RESENT = RESENT.encode()


class Here(Protocol):
    """What a node has already, by task id."""

    def unended(self) -> Set[str]:
        """What runs, and what has ended and is not written down."""
        ...

    def present(self) -> Set[str]:
        """That, and what waits to be started."""
        ...


class Encounter:
    """One message and what was found of it so far; ``at`` is when to look next, in the loop's seconds."""

    __slots__ = ("at", "delivery", "looks")

    def __init__(self, delivery: Delivery, at: float) -> None:
        self.delivery = delivery
        self.at = at
        self.looks = 0


class Encounters:
    """Where a result store is shared, between what arrives and what is started. The node's loop owns it.

    ``go_on(deliveries)`` gets what may be started: nothing was known of it twice, ``PAUSE`` seconds apart, and nobody
    says that it runs there. ``node`` is this node's name in leases; ``here`` tells what is here already. With ``once``
    one look is enough: nobody's claim goes to others before it has had the time to say so.
    """

    def __init__(
        self,
        backend: ResultBackend,
        clock: Clock,
        settling: Settling,
        node: str,
        here: Here,
        go_on: Callable[[Sequence[Delivery]], None],
        *,
        once: bool,
    ) -> None:
        self._once = once
        self._backend = backend
        self._clock = clock
        self._settling = settling
        self._node = node
        self._here = here
        self._go_on = go_on
        self._waiting: list[Encounter] = []
        self._leased: frozenset[str] = frozenset()
        self._wake = asyncio.Event()
        self._lost = asyncio.Event()

    def take(self, deliveries: Iterable[Delivery]) -> None:
        """These were handed out before, or sent before."""
        now = asyncio.get_running_loop().time()
        self._waiting += [Encounter(delivery, now) for delivery in deliveries]
        self._wake.set()

    def pull(self, chosen: Callable[[str], bool]) -> list[Delivery]:
        """Take out those of the tasks that are chosen by their ids."""
        found = [each.delivery for each in self._waiting if chosen(each.delivery.envelope.id)]
        self._waiting = [each for each in self._waiting if not chosen(each.delivery.envelope.id)]
        return found

    # -- looking --------------------------------------------------------------------------------------------------

    def services(self) -> list[Coroutine[Any, Any, None]]:
        """What has to run; each lives until cancelled."""
        return [self._run(), self._lease(self._backend)] if isinstance(self._backend, Marks) else [self._run()]

    async def _run(self) -> None:
        pause = _SHORT
        loop = asyncio.get_running_loop()
        while True:
            await self._due()
            batch = [each for each in self._waiting if each.at <= loop.time()]
            try:
                await self._look(batch)
            except StoreError as error:
                if pause == _SHORT:
                    logger.error("What came again cannot be looked up, and waits: %s", error)
                await asyncio.sleep(pause)
                pause = min(PAUSE, 2 * pause)
            else:
                pause = _SHORT

    async def _due(self) -> None:
        loop = asyncio.get_running_loop()
        while not any(each.at <= loop.time() for each in self._waiting):
            self._wake.clear()
            soonest = min((each.at for each in self._waiting), default=None)
            try:
                await asyncio.wait_for(self._wake.wait(), None if soonest is None else soonest - loop.time())
            except TimeoutError:
                continue

    async def _look(self, batch: list[Encounter]) -> None:
        ids = list({each.delivery.envelope.id for each in batch})
        leased: set[str] = set()
        if isinstance(self._backend, Marks):  # before the records: who drops a lease has written the record
            marks = await self._backend.get_marks([PREFIX + id for id in ids])
            leased = {key.removeprefix(PREFIX) for key, node in marks.items() if node != self._node}
        leased |= self._here.present() & set(ids)
        records = await self._backend.load(ids)
        reasons = await self._condemned(records.values())
        now = asyncio.get_running_loop().time()
        free: list[Delivery] = []
        for each in batch:
            if each not in self._waiting:  # taken back meanwhile
                continue
            delivery = each.delivery
            record = records.get(delivery.envelope.id)
            if record is not None and is_over(delivery.envelope, record):
                logger.info("Task [%s] came again and has its end (%s): not run", record.id, record.state)
                reason = reasons.get(condemned(record))
                self._settling.settle([Settlement(delivery, ACK if reason is None else dead(reason))])
            elif delivery.envelope.id in leased or (not self._once and not each.looks and _was_out(delivery)):
                each.looks += delivery.envelope.id not in leased
                each.at = now + PAUSE
                continue
            else:
                free.append(delivery)
                leased.add(delivery.envelope.id)  # a second copy waits for the end of this one
            self._waiting.remove(each)
        if free:
            self._go_on(free)

    async def _condemned(self, records: Iterable[SealedRecord]) -> Mapping[str, str]:
        """Why messages are dead letters whose worker died between their record and their burial."""
        keys = [condemned(record) for record in records if record.final]
        return await self._backend.get_marks(keys) if keys and isinstance(self._backend, Marks) else {}

    # -- being looked for -----------------------------------------------------------------------------------------

    def lost(self) -> None:
        """The claims on what runs here are lost: have others wait for its end."""
        self._leased |= frozenset(self._here.unended())
        if self._leased:
            self._lost.set()

    async def _lease(self, marks: Marks) -> None:
        """Say what runs here without a claim, as long as it does."""
        while True:
            await self._lost.wait()
            self._lost.clear()
            while self._leased:
                try:
                    await self._tell(marks)
                except StoreError as error:
                    logger.error("Others cannot be told what runs here without a claim: %s", error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._lost.wait(), RENEWED)
                self._lost.clear()

    async def _tell(self, marks: Marks) -> None:
        ended = self._leased.difference(self._here.unended())
        if ended and self._settling.idle:  # their records are written
            await marks.drop_marks([PREFIX + id for id in ended])
            self._leased -= ended
        expires = self._clock.now() + LEASE
        await marks.put_marks([Mark(PREFIX + id, self._node, expires) for id in self._leased])


def came_before(delivery: Delivery) -> bool:
    """Whether a message, or a copy of it, may have been handed out before."""
    return delivery.doubtful or _was_out(delivery)


def _was_out(delivery: Delivery) -> bool:
    """Whether somebody may be about to say that it runs there, and not only have said so."""
    return delivery.redelivered or _RESENT in delivery.envelope.head


def is_over(envelope: Envelope, record: SealedRecord) -> bool:
    """Whether the attempt that a message asks for has ended, by what is recorded of its task."""
    if record.life != life_of(envelope):
        return record.life > life_of(envelope)
    if record.final:
        return True
    try:
        attempt, reached = unpack(envelope).headers.get("retries"), unseal(record).retries
    except WireError:
        return False
    if not isinstance(attempt, int) or reached is None:
        return False
    return reached > attempt or (reached == attempt and record.state == State.RETRY)
