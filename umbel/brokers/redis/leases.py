"""Keeps a node's claims by renewing them, and puts back what dead nodes had claimed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from umbel.brokers.redis.claims import Claim, Claims
from umbel.errors import StoreError
from umbel.stores.redis.connection import Word
from umbel.stores.redis.layout import entry_in, step_in
from umbel.stores.redis.link import Script
from umbel.stores.redis.store import RedisStore
from umbel.wire.kombu import has_eta, redelivered

logger = logging.getLogger("umbel.brokers")

LATE, RENEWAL, SWEEP, CALM = 0.8, 0.2, 0.08, 0.4
"""Parts of a lease: after so long without a renewal, a node starts nothing more of what it has claimed; so often it
renews, and looks for others who do not; so long after a connection was made nobody is taken for dead, for it may have
been the server that was away."""

READS = 60.0
"""Seconds for which a consumer is believed to read a queue."""

_AT_ONCE, _BYTES = 100, 1 << 20
_RENEW, _OVERDUE, _RESTORE, _RELEASE = Script("renew"), Script("overdue"), Script("restore"), Script("release")


class Leases:
    """The services of one consumer, ``owner``, for the claims that it has.

    ``on_late()`` is called when nothing could be renewed for so long that others may take over.
    """

    def __init__(
        self,
        store: RedisStore,
        claims: Claims,
        owner: str,
        queues: Sequence[str],
        now: Callable[[], float],
        on_late: Callable[[], None],
    ) -> None:
        self._store = store
        self._claims = claims
        self._owner = owner
        self._queues = queues
        self._now = now
        self._on_late = on_late
        timeout = min(address.visibility_timeout for address in store.addresses)
        self.lease = store.addresses[0].lease
        """Seconds for which a claim stands that is not renewed."""
        self._every = min(RENEWAL * self.lease, timeout / 3)

    async def renew(self) -> None:
        """The service that keeps what is claimed, and says that the queues are read."""
        loop = asyncio.get_running_loop()
        last, late = loop.time(), False
        while True:
            began = loop.time()
            try:
                async with asyncio.timeout(LATE * self.lease):
                    await self._renew([claim for claim in self._claims if not claim.lost])
            except (StoreError, TimeoutError) as error:
                if not late:
                    logger.debug("Claims are not renewed: %s", error)
                pause = min(0.5, self._every)
            else:
                last, late, pause = began, False, self._every
            if loop.time() - last > LATE * self.lease and not late:
                late = True
                seconds = LATE * self.lease
                logger.warning("No claim could be renewed for %.0f s: what has not been started is given up", seconds)
                self._on_late()
            await asyncio.sleep(pause)

    async def leave(self) -> None:
        """Say that the queues are not read any more."""
        if self._queues and self._store.link.standing is not None:
            with contextlib.suppress(StoreError):
                reads = [("ZREM", self._store.layout.reads(queue), self._owner) for queue in self._queues]
                await self._store.link.ask_all(reads)

    async def release(self) -> None:
        """Put what waits for its time where workers of others find it, in queues that nobody reads now."""
        layout, link = self._store.layout, self._store.link
        for queue in self._queues:
            due, stay = layout.due(queue), 0
            while some := await link.ask("ZRANGE", due, stay, stay + _AT_ONCE - 1):
                told = [each for each in some if has_eta(each)]
                stay += len(some) - len(told)
                keys = [layout.reads(queue), due, *layout.lists(queue)]
                if told and not await link.run(_RELEASE, keys, [self._now(), *told]):
                    break

    async def _renew(self, claims: list[Claim]) -> None:
        layout = self._store.layout
        keys = [*layout.held, *map(layout.reads, self._queues)]
        args: list[Word] = [self.lease, self._owner, self._now(), int(READS), *(claim.tag for claim in claims)]
        gone = await self._store.link.run(_RENEW, keys, args)
        # What was settled meanwhile stands no more either.
        lost = [claims[place] for place in gone if self._claims.get(claims[place].delivery.receipt) is claims[place]]
        if lost:
            self._claims.lose(lost)
            logger.warning("%d claim(s) ended before they were renewed: somebody else may run those tasks", len(lost))

    async def sweep(self) -> None:
        """The service that puts back what was claimed by nodes that renew it no more."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP * self.lease)
            link = self._store.link
            if link.standing is None or loop.time() - link.since < CALM * self.lease:
                continue
            try:
                await self._sweep()
            except StoreError as error:
                logger.debug("Nobody's claims are looked for: %s", error)

    async def _sweep(self) -> None:
        """Put back what is overdue and stays so for a moment: after a standstill of the server, owners come first."""
        link, layout = self._store.link, self._store.layout
        moment, *overdue = await link.run(_OVERDUE, [layout.unacked, layout.claims], [1, 1, ""])
        if not overdue:
            return
        await asyncio.sleep(SWEEP * self.lease / 2)
        count = 0
        while True:
            _, *told = await link.run(_OVERDUE, [layout.unacked, layout.claims], [_AT_ONCE, _BYTES, moment])
            args = [word for pair in zip(told[::2], told[1::2], strict=True) for word in self._back(*pair)]
            if not args:
                break
            count += await link.run(_RESTORE, layout.touched, args)
        if count:
            logger.warning("%d message(s) of a worker that is gone are back in their queues", count)

    def _back(self, tag: bytes, value: bytes | None) -> tuple[Word, Word, Word]:
        """Tag, list and entry of a message that goes back; without a list if somebody else has taken it."""
        if value is None:
            return tag, "", b""
        entry, queue = entry_in(value)
        return tag, self._store.layout.lists(queue)[step_in(tag)], redelivered(entry)
