"""Hears what is published on channels of a Redis server, over one connection for all who listen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

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


class Listener:
    """Belongs to a loop. The connection is made for the first who listens, and goes with the last."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses
        self._ears: dict[bytes, set[Ear]] = {}
        self._connection: Connection | None = None
        self._service: asyncio.Task[None] | None = None
        self._opening: asyncio.Future[Connection] | None = None

    async def follow(self, channels: Iterable[str], ear: Ear) -> None:
        """Return when ``ear`` hears what is published on these; raises ``StoreError`` where that cannot be had now.

        When the connection is lost later it is made again, and every ear is told. Who has followed leaves.
        """
        names = [channel.encode() for channel in channels]
        for name in names:
            self._ears.setdefault(name, set()).add(ear)
        try:
            await self._subscribe(await self._ready(), names)
        except BaseException:
            self._forget(names, ear)
            raise

    def leave(self, channels: Iterable[str], ear: Ear) -> None:
        """End what ``follow`` began."""
        self._forget([channel.encode() for channel in channels], ear)

    def close(self) -> None:
        """Let go of everything."""
        self._ears.clear()
        self._end()

    def _forget(self, names: Sequence[bytes], ear: Ear) -> None:
        connection = self._connection
        for name in names:
            ears = self._ears.get(name)
            if ears is None:
                continue
            ears.discard(ear)
            if not ears:
                del self._ears[name]
                if self._ears and connection is not None and not connection.lost.done():
                    _unheard(connection.ask("UNSUBSCRIBE", name))
        if not self._ears:
            self._end()

    def _end(self) -> None:
        service, self._service = self._service, None
        connection, self._connection = self._connection, None
        if service is not None:
            service.cancel()
        if connection is not None:
            connection.close()

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
        if not opening.cancelled() and opening.exception() is None and self._connection is not opening.result():
            opening.result().close()  # everybody has left meanwhile

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

    async def _subscribe(self, connection: Connection, names: Sequence[bytes]) -> None:
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
