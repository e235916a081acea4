"""Lists, replays and drops dead letters, which stand in a queue that can only be read from its front."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from umbel.brokers.amqp.burial import exhumed
from umbel.brokers.amqp.outlet import Outlet
from umbel.brokers.amqp.topology import DEAD, ensure_dead
from umbel.errors import StoreBusy
from umbel.model import Envelope, Route
from umbel.ports import DeadLetter
from umbel.stores.amqp import frames
from umbel.stores.amqp.channel import Arrival, Channel, ChannelRefused
from umbel.stores.amqp.entities import declare_queue
from umbel.stores.amqp.link import Link

MOST = 10_000
"""Dead letters that are looked at; those behind them show when these are gone."""

_FORBIDDEN = 403
_LOOK_AGAIN = 0.5
_names = itertools.count(1)


class Cemetery:
    """The dead letters of one server. One reader at a time: another gets ``StoreBusy``."""

    def __init__(self, link: Link, outlet: Outlet) -> None:
        self._link = link
        self._outlet = outlet

    async def letters(self, after: int, limit: int) -> Sequence[DeadLetter]:
        """See ``ports.DeadLetters``."""
        async with self._open() as (_, arrivals):
            found = sorted(letter for letter in map(exhumed, arrivals) if letter.number > after)
        return found[:limit]

    async def replay(self, letters: Sequence[tuple[int, Envelope]]) -> int:
        """Each is confirmed in its queue before it is taken from here: a crash between doubles it, and loses none."""
        wanted = dict(letters)
        async with self._open() as (channel, arrivals):
            chosen = [(arrival, letter) for arrival in arrivals if (letter := exhumed(arrival)).number in wanted]
            await self._outlet.publish(
                [(Route(letter.queue, letter.priority), wanted[letter.number]) for _, letter in chosen]
            )
            for arrival, _ in chosen:
                channel.settle(frames.ack(channel.number, arrival.tag, False))
        return len(chosen)

    async def drop(self, numbers: Sequence[int]) -> int:
        """See ``ports.DeadLetters``."""
        wanted = frozenset(numbers)
        async with self._open() as (channel, arrivals):
            chosen = [arrival for arrival in arrivals if exhumed(arrival).number in wanted]
            for arrival in chosen:
                channel.settle(frames.ack(channel.number, arrival.tag, False))
        return len(chosen)

    async def _all(self, channel: Channel, whole: asyncio.Event) -> None:
        """Return when all has come; some may have expired since it was counted."""
        while not whole.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(whole.wait(), _LOOK_AGAIN)
            channel.check()
            if not await declare_queue(channel, DEAD, passive=True):
                return

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[tuple[Channel, list[Arrival]]]:
        """A channel that holds what there is; leaving gives back what was not settled, in its order."""
        await ensure_dead(self._link)
        async with self._link.scratch() as channel:
            count = min(await declare_queue(channel, DEAD, passive=True), MOST)
            arrivals: list[Arrival] = []
            whole = asyncio.Event()

            def arrive(batch: list[Arrival]) -> None:
                arrivals.extend(batch)
                if len(arrivals) >= count:
                    whole.set()

            if count:
                await channel.qos(count)
                tag = f"umbel-dead{next(_names)}"
                channel.on_end = lambda why: whole.set()
                try:
                    await channel.consume(DEAD, tag, arrive, exclusive=True)
                except ChannelRefused as refusal:
                    if refusal.code != _FORBIDDEN:
                        raise
                    raise StoreBusy("another program is reading the dead letters; try again") from refusal
                await self._all(channel, whole)
            yield channel, arrivals[:count]
