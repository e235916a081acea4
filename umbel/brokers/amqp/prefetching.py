"""Has a server know how much it may hand out: the consumers of one node, over the channel of now."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from functools import partial

from umbel.errors import StoreError
from umbel.stores.amqp.channel import Arrival, Channel

_CALM = 10.0
"""Seconds between two changes of the prefetch, but to a larger one."""

_BRIEF = 1.0
"""Seconds that a claim should last. After one that did not, the next begins with a single delivery: each loss counts
against all that was handed out, and a server may drop what it has counted too often."""

_names = itertools.count(1)


class Prefetching:
    """One consumer a queue. It keeps the prefetch with which it was started: another one needs another consumer.

    ``wanted`` is how many deliveries the server may have handed out, 0 for no consumer; ``adjust`` makes it so.
    ``arrive(queue, arrivals)`` gets what comes.
    """

    def __init__(self, queues: Sequence[str], wanted: int, arrive: Callable[[str, list[Arrival]], None]) -> None:
        self.wanted = wanted
        self._queues = queues
        self._arrive = arrive
        self._channel: Channel | None = None
        self._running: list[str] = []
        """The tags of the consumers that run."""
        self._given = 0
        """The prefetch with which they were started, at ``_since`` in the loop's seconds."""
        self._since = 0.0
        self._began = -_BRIEF
        """When the channel was new, so."""
        self._careful = False
        self._turn = asyncio.Lock()

    async def begin(self, channel: Channel) -> None:
        """Consume over this channel from now on; what ran over the last one has ended with it."""
        now = asyncio.get_running_loop().time()
        self._careful, self._began = now - self._began < _BRIEF, now
        self._channel, self._running, self._given = channel, [], 0
        async with self._turn:
            await self._consume()

    async def adjust(self) -> None:
        """Have the server know the prefetch: at once when it grows or is none, a smaller one now and then."""
        now = asyncio.get_running_loop().time()
        self._careful = self._careful and now - self._began < _BRIEF
        calm = now - self._since >= _CALM
        if not self.wanted or self.wanted > self._given or calm:
            async with self._turn:
                await self._consume()

    async def _consume(self) -> None:
        channel, wanted = self._channel, min(self.wanted, 1) if self._careful else self.wanted
        if channel is None or channel.ended is not None or wanted == self._given:
            return
        running, old = self._running, list(self._running)
        self._given = wanted
        self._since = asyncio.get_running_loop().time()
        if wanted:
            await channel.qos(min(wanted, 65535))
            for queue in self._queues:
                tag = f"umbel{next(_names)}"
                running.append(tag)  # also where nobody waits for it to the end
                await channel.consume(queue, tag, partial(self._arrive, queue), cancelled=partial(_cancelled, channel))
        for tag in old:
            await channel.cancel(tag)
            running.remove(tag)


def _cancelled(channel: Channel) -> None:
    """The server has ended a consumer: its queue was deleted, or moved."""
    channel.end(StoreError("the server ended the consumer: its queue is gone or moved"))
