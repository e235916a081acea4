"""Hears what is published on channels of a Redis server, over one connection for all who listen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from umbel.errors import StoreError
from umbel.stores.redis.address import Address
from umbel.stores.redis.connection import Connection
from umbel.stores.redis.link import PATIENCE, checked
from umbel.stores.redis.opening import connect

logger = logging.getLogger("umbel.stores")

Ear = Callable[[bytes | None], None]
"""Called with what is published; with None when something may have been missed, and from then on nothing is."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_BEAT = 5.0
"""Seconds between two questions whether the server is there."""

_TIDY = 0.05
"""Seconds after which the server is told, at the latest, what nobody follows any more."""

LINGERS = 10.0
"""Seconds for which the connection is kept when nobody listens."""


class Hearing(Protocol):
    """How a store is heard: what ``Listener`` has, and promises."""

    async def follow(self, channels: Iterable[str], ear: Ear) -> None: ...

    async def follow_each(self, ears: Sequence[tuple[str, Ear]]) -> None: ...

    def leave(self, channels: Iterable[str], ear: Ear) -> None: ...

    def leave_each(self, ears: Sequence[tuple[str, Ear]]) -> None: ...

    async def close(self) -> None: ...


class Listener:
    """Belongs to a loop. The connection is made for the first who listens, and goes some time after the last."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses
        self._ears: dict[bytes, set[Ear]] = {}
        self._connection: Connection | None = None
        self._service: asyncio.Task[None] | None = None
        self._opening: asyncio.Future[Connection] | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._unwanted: set[bytes] = set()
        """Channels that nobody follows any more, which the server does not know yet."""

    async def follow(self, channels: Iterable[str], ear: Ear) -> None:
        """Return when ``ear`` hears what is published on these; raises ``StoreError`` where that cannot be had now.

        When the connection is lost later it is made again, and every ear is told. Who has followed leaves.
        """
        await self.follow_each([(channel, ear) for channel in channels])

    async def follow_each(self, ears: Sequence[tuple[str, Ear]]) -> None:
        """``follow``, with an ear for each channel."""
        for channel, ear in ears:
            self._ears.setdefault(channel.encode(), set()).add(ear)
        try:
            await self._subscribe(await self._ready(), [channel.encode() for channel, _ in ears])
        except BaseException:
            self.leave_each(ears)
            raise

    def leave(self, channels: Iterable[str], ear: Ear) -> None:
        """End what ``follow`` began."""
        self.leave_each([(channel, ear) for channel in channels])

    def leave_each(self, ears: Sequence[tuple[str, Ear]]) -> None:
        """End what ``follow_each`` began. The connection stays for a while, for others who may come."""
        connection = self._connection
        for channel, ear in ears:
            name = channel.encode()
            known = self._ears.get(name)
            if known is None:
                continue
            known.discard(ear)
            if not known:
                del self._ears[name]
                if not self._unwanted:
                    asyncio.get_running_loop().call_later(_TIDY, self._tidy)
                self._unwanted.add(name)
        if not self._ears and connection is not None and self._leaving is None:
            self._leaving = asyncio.get_running_loop().call_later(LINGERS, self._left)

    async def close(self) -> None:
        """Let go of everything."""
        self._ears.clear()
        connection = self._connection
        self._left()
        if connection is not None:
            await connection.close()

    def _left(self) -> None:
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            leaving.cancel()
        if self._ears:
            return
        service, self._service = self._service, None
        connection, self._connection = self._connection, None
        if service is not None:
            service.cancel()
        if connection is not None:
            connection.leave()

    async def _ready(self) -> Connection:
        connection = self._connection
        if connection is not None and not connection.lost.done():
            return connection
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
            self._opening.add_done_callback(self._opened)
        return await asyncio.shield(self._opening)

    def _opened(self, opening: asyncio.Future[Connection]) -> None:
        self._opening = None
        if opening.cancelled() or opening.exception() is not None:
            return
        if self._connection is not opening.result():  # everybody has left meanwhile
            opening.result().leave()

    async def _open(self) -> Connection:
        connection = await connect(self._addresses, PATIENCE)
        connection.on_message = self._hear
        if self._ears:
            self._connection = connection
            if self._service is None:
                self._service = asyncio.create_task(self._keep())
        return connection

    def _hear(self, channel: bytes, payload: bytes) -> None:
        for ear in tuple(self._ears.get(channel, ())):
            ear(payload)

    def _tidy(self) -> None:
        """Say what nobody follows any more: with the next thing that is said, or soon."""
        unwanted, self._unwanted = self._unwanted, set()
        connection = self._connection
        if connection is not None and not connection.lost.done():
            for name in unwanted.difference(self._ears):
                _unheard(connection.ask("UNSUBSCRIBE", name))

    async def _subscribe(self, connection: Connection, names: Sequence[bytes]) -> None:
        self._tidy()
        for answer in await asyncio.gather(*(connection.ask("SUBSCRIBE", name) for name in names)):
            checked(connection, answer)

    async def _keep(self) -> None:
        """The service that makes the connection again when it is lost."""
        pause = _FIRST_PAUSE
        while True:
            connection = self._connection
            if connection is not None and not connection.lost.done():
                pause = _FIRST_PAUSE
                await asyncio.wait({connection.lost}, timeout=_BEAT)
                if not connection.lost.done():
                    _unheard(connection.ask("PING"))
                continue
            if not self._ears:
                self._service = None
                return
            try:
                await self._subscribe(await self._ready(), list(self._ears))
            except StoreError as error:
                if pause == _FIRST_PAUSE:
                    logger.warning("Nothing is heard from the server until it is there again: %s", error)
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE, 2 * pause)
                continue
            for ear in {ear for ears in self._ears.values() for ear in ears}:
                ear(None)


def _unheard(answer: asyncio.Future[object]) -> None:
    """Nobody waits for it."""
    answer.add_done_callback(lambda done: done.exception() if not done.cancelled() else None)
