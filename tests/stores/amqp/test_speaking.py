"""What a connection makes of a server that says something else than it should."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import pytest
from pamqp import commands
from pamqp.frame import marshal, unmarshal

from umbel.errors import StoreUnreachable
from umbel.stores.amqp import frames
from umbel.stores.amqp.address import addresses
from umbel.stores.amqp.channel import Channel
from umbel.stores.amqp.connection import Connection
from umbel.stores.amqp.opening import connect
from umbel.testing.conformance.harness import PATIENCE

M = TypeVar("M")


class Peer:
    """The server's end of a connection: a test says what it says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def hears(self, kind: type[M]) -> M:
        """The next method, which is of this kind."""
        with anyio.fail_after(PATIENCE):
            head = await self._reader.readexactly(7)
            rest = await self._reader.readexactly(frames.HEAD.unpack(head)[2] + 1)
        method = unmarshal(head + rest)[2]
        assert isinstance(method, kind), method
        return method

    def says(self, channel: int, *methods: Any) -> None:
        self.sends(b"".join(marshal(method, channel) for method in methods))

    def sends(self, data: bytes) -> None:
        self._writer.write(data)

    async def lets_in(self) -> None:
        with anyio.fail_after(PATIENCE):
            await self._reader.readexactly(8)
        self.says(0, commands.Connection.Start(server_properties={}))
        await self.hears(commands.Connection.StartOk)
        self.says(0, commands.Connection.Tune(2047, 131072, 0))
        await self.hears(commands.Connection.TuneOk)
        await self.hears(commands.Connection.Open)
        self.says(0, commands.Connection.OpenOk())

    async def opens(self, connection: Connection) -> Channel:
        """The first channel, when both ends have it."""
        opening = asyncio.create_task(connection.channel())
        await self.hears(commands.Channel.Open)
        self.says(1, commands.Channel.OpenOk())
        return await opening

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Peer, Connection]]:
    """Both ends of a connection that is logged in."""
    came: asyncio.Queue[Peer] = asyncio.Queue()
    server = await asyncio.start_server(lambda *ends: came.put_nowait(Peer(*ends)), "127.0.0.1", 0)
    async with server:
        connecting = asyncio.create_task(connect(addresses(f"amqp://127.0.0.1:{server.sockets[0].getsockname()[1]}//")))
        peer = await came.get()
        await peer.lets_in()
        connection = await connecting
        try:
            yield peer, connection
        finally:
            connection.abort(None)
            peer.close()


def frame(kind: int, channel: int, payload: bytes = b"") -> bytes:
    return frames.HEAD.pack(kind, channel, len(payload)) + payload + bytes((frames.END,))


EMPTY_CONTENT = b"".join(frames.content(1, b"\0\0", b"", 100))


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (frame(frames.BODY, 0, b"x"), "a frame of type 3 on channel 0"),
        (frame(frames.HEARTBEAT, 1), "a frame of type 8 on channel 1"),
        (frame(frames.HEARTBEAT, 0)[:-1] + b"x", "a frame does not end where it should"),
        (marshal(commands.Connection.Secure("why"), 0), r"Connection\.Secure was not asked for"),
        (marshal(commands.Basic.QosOk(), 1), r"Basic\.QosOk was not asked for"),
        (EMPTY_CONTENT, "a message that nothing announced"),
    ],
)
async def test_a_frame_that_cannot_be_ends_the_connection(sent: bytes, told: str) -> None:
    async with connected() as (peer, connection):
        channel = await peer.opens(connection)
        peer.sends(sent)
        with anyio.fail_after(PATIENCE):
            error = await connection.lost
        with pytest.raises(StoreUnreachable, match=rf"127\.0\.0\.1:\d+.* does not speak AMQP 0-9-1: {told}") as caught:
            await channel.heard()
        assert caught.value is error


async def test_what_is_asked_of_a_connection_that_was_closed_says_so() -> None:
    async with connected() as (peer, connection):
        closing = asyncio.create_task(connection.close())
        await peer.hears(commands.Connection.Close)
        peer.says(0, commands.Connection.CloseOk())
        await closing
        with pytest.raises(StoreUnreachable, match=r"127\.0\.0\.1:\d+.*: the connection was closed"):
            await connection.channel()
