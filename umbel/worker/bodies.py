"""Sees to it that the body of a chord is sent whose last part cannot come again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence

from umbel.app import Umbel
from umbel.errors import StoreError, WireError
from umbel.joins import Joins
from umbel.model import Delivery
from umbel.wire.chords import unseal_link
from umbel.worker import joining
from umbel.worker.holding import JOINED, Certificate, Held

logger = logging.getLogger("umbel.worker")

LOOKS = 10.0
"""Seconds between two looks for what others have left."""


class Bodies:
    """Looks at the desks of ``queues``, where groups stand whose body is to be sent; ``start(held)`` has a runner make
    it. The node's loop owns it."""

    def __init__(
        self, app: Umbel, store: Joins, queues: Iterable[str], start: Callable[[Sequence[Held]], None]
    ) -> None:
        self._store = store
        self._desks = {queue: joining.desk_of(app, queue) for queue in queues}
        self._start = start
        self._leaving: dict[str, str] = {}
        """The queues of those whose body is on its way, by their groups."""
        self._left: dict[str, str] = {}
        """And of those whose body is sent, and of which the store is still to hear."""
        self._stirred = asyncio.Event()

    def leaving(self, queue: str, groups: Sequence[str]) -> Callable[[], None]:
        """The bodies of these leave now; what this gives is to be called when they are sent."""
        here = dict.fromkeys(groups, queue)
        self._leaving |= here

        def left() -> None:
            for group in here:
                self._leaving.pop(group, None)
            self._left |= here
            self._stirred.set()

        return left

    def look(self) -> None:
        """There may be something at a desk."""
        self._stirred.set()

    async def run(self) -> None:
        """The service: lives until cancelled."""
        known = True
        while True:
            try:
                await self.tell()
                for queue, desk in self._desks.items():
                    await self._see_to(queue, desk)
                known = True
            except StoreError as error:
                if known:
                    logger.error("The bodies of chords that nobody has sent cannot be looked for: %s", error)
                known = False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), min(LOOKS, joining.CLAIM / 3))
            self._stirred.clear()

    async def tell(self) -> None:
        """Have the store know what is sent."""
        for queue, desk in self._desks.items():
            groups = [group for group, other in self._left.items() if other == queue]
            if groups:
                await self._store.sent(desk, groups)
                for group in groups:
                    self._left.pop(group, None)

    async def _see_to(self, queue: str, desk: str) -> None:
        """Keep what is on its way from others, and take what they have left."""
        groups = [group for group, other in self._leaving.items() if other == queue]
        if groups:
            await self._store.hold(desk, groups, joining.CLAIM)
        found = await self._store.unsent(desk, joining.CLAIM)
        taken = []
        for group, link in found.items():
            try:
                held = Held(Delivery(unseal_link(link), queue, None, redelivered=True))
            except WireError as error:
                logger.error("The body of the chord %s cannot be sent: %s", group, error)
                continue
            logger.warning("The body of the chord %s was not sent by whoever joined it, and is now", group)
            held.early = True
            held.certificate = Certificate(JOINED, f"the chord {group} is joined")
            taken.append(held)
        if taken:
            self._start(taken)
