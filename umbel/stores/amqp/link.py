"""A connection that is made when it is needed, and made again when it was lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from umbel.errors import StoreError
from umbel.stores.amqp.address import Address
from umbel.stores.amqp.channel import Channel
from umbel.stores.amqp.connection import Connection
from umbel.stores.amqp.opening import connect


class Link:
    """The way to one server of ``addresses``; belongs to a loop."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()
        self.worked = False
        """Whether a server has ever let this in."""

    async def connection(self) -> Connection:
        """The connection, made now if there is none; raises what ``connect`` does."""
        async with self._lock:
            if self._connection is None or self._connection.lost.done():
                self._connection = await connect(self._addresses)
                self.worked = True
            return self._connection

    async def channel(self, prepare: Callable[[Channel], Awaitable[object]]) -> Channel:
        """A channel of its own for the caller, which ``prepare`` has made ready; it is closed if that was cancelled."""
        channel = await (await self.connection()).channel()
        try:
            await prepare(channel)
        except asyncio.CancelledError:
            with contextlib.suppress(StoreError):
                channel.leave()
            raise
        return channel

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[Channel]:
        """A channel for a question whose answer may close it."""
        channel = await (await self.connection()).channel()
        try:
            yield channel
        finally:
            await channel.close()

    async def close(self) -> None:
        """Say goodbye; the next use connects again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
