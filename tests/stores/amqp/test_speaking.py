"""What a connection makes of what a server says that it should not, or that nobody waits for any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import pytest
from pamqp import commands
from pamqp.frame import marshal, unmarshal

from umbel.brokers.amqp.prefetching import Prefetching
from umbel.errors import StoreUnreachable
from umbel.stores.amqp import frames
from umbel.stores.amqp.address import addresses
from umbel.stores.amqp.channel import Channel
from umbel.stores.amqp.connection import Connection
from umbel.stores.amqp.link import Link
from umbel.testing.conformance.harness import PATIENCE

M = TypeVar("M")


class Peer:
    """The server's end of a connection: a test says what it says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def hears(self, kind: type[M], channel: int | None = None) -> M:
        """The next method, which is of this kind, and on this channel."""
        with anyio.fail_after(PATIENCE):
            head = await self._reader.readexactly(7)
            rest = await self._reader.readexactly(frames.HEAD.unpack(head)[2] + 1)
        _, number, method = unmarshal(head + rest)
        assert isinstance(method, kind), method
        assert channel in (None, number)
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
async def linked() -> AsyncIterator[tuple[Peer, Link]]:
    """Both ends of a connection that is logged in, this one as the link that has made it."""
    came: asyncio.Queue[Peer] = asyncio.Queue()
    server = await asyncio.start_server(lambda *ends: came.put_nowait(Peer(*ends)), "127.0.0.1", 0)
    async with server:
        link = Link(addresses(f"amqp://127.0.0.1:{server.sockets[0].getsockname()[1]}//"))
        connecting = asyncio.create_task(link.connection())
        peer = await came.get()
        await peer.lets_in()
        connection = await connecting
        try:
            yield peer, link
        finally:
            connection.abort(None)
            peer.close()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Peer, Connection]]:
    """Both ends of a connection that is logged in."""
    async with linked() as (peer, link):
        yield peer, await link.connection()


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


# -- what was given up


async def given_up(asking: asyncio.Task[Any]) -> None:
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()


async def test_an_answer_that_nobody_waits_for_is_taken_for_no_other() -> None:
    async with connected() as (peer, connection):
        channel = await peer.opens(connection)
        asking = asyncio.create_task(channel.qos(1))
        await peer.hears(commands.Basic.Qos)
        await given_up(asking)
        heard, again = asyncio.create_task(channel.heard()), asyncio.create_task(channel.qos(2))
        await peer.hears(commands.Channel.Flow)
        peer.says(1, commands.Basic.QosOk(), commands.Channel.FlowOk(True))
        await heard
        assert (await peer.hears(commands.Basic.Qos)).prefetch_count == 2
        assert not again.done()
        peer.says(1, commands.Basic.QosOk())
        await again


async def test_a_channel_that_nobody_waits_for_is_closed_and_its_number_is_given_away_then() -> None:
    async with connected() as (peer, connection):
        opening = asyncio.create_task(connection.channel())
        await peer.hears(commands.Channel.Open, 1)
        await given_up(opening)
        await peer.hears(commands.Channel.Close, 1)
        second = asyncio.create_task(connection.channel())
        await peer.hears(commands.Channel.Open, 2)
        peer.says(1, commands.Channel.OpenOk(), commands.Channel.CloseOk())
        peer.says(2, commands.Channel.OpenOk())
        await second
        third = asyncio.create_task(connection.channel())
        await peer.hears(commands.Channel.Open, 1)
        peer.says(1, commands.Channel.OpenOk())
        await third


async def test_a_channel_that_was_not_made_ready_is_closed() -> None:
    async with linked() as (peer, link):
        opening = asyncio.create_task(link.channel(Channel.confirm))
        await peer.hears(commands.Channel.Open, 1)
        peer.says(1, commands.Channel.OpenOk())
        await peer.hears(commands.Confirm.Select, 1)
        await given_up(opening)
        await peer.hears(commands.Channel.Close, 1)


async def test_a_channel_that_is_being_closed_takes_nothing_more() -> None:
    async with connected() as (peer, connection):
        channel = await peer.opens(connection)
        closing = asyncio.create_task(channel.close())
        await peer.hears(commands.Channel.Close)
        await given_up(closing)
        with pytest.raises(StoreUnreachable, match="the channel was closed"):
            await channel.heard()
        closing = asyncio.create_task(channel.close())
        peer.says(1, commands.Channel.CloseOk())
        await closing
        with pytest.raises(StoreUnreachable, match="the channel was closed"):
            await channel.heard()
        await peer.opens(connection)


async def test_a_channel_is_closed_though_the_server_owes_an_answer() -> None:
    """RabbitMQ tells that a consumer was started when its queue has said so, and not if the channel is gone by then."""
    async with connected() as (peer, connection):
        channel = await peer.opens(connection)
        asking = asyncio.create_task(channel.consume("q", "tag", lambda arrivals: None))
        await peer.hears(commands.Basic.Consume)
        await given_up(asking)
        closing = asyncio.create_task(channel.close())
        await peer.hears(commands.Channel.Close)
        peer.says(1, commands.Channel.CloseOk())
        with anyio.fail_after(PATIENCE):
            await closing


async def test_a_consumer_that_nobody_waited_for_is_ended_with_the_others() -> None:
    async with connected() as (peer, connection):
        channel, came = await peer.opens(connection), asyncio.Event()
        prefetching = Prefetching(["q"], 1, lambda queue, arrivals: came.set())
        beginning = asyncio.create_task(prefetching.begin(channel))
        await peer.hears(commands.Basic.Qos)
        peer.says(1, commands.Basic.QosOk())
        tag = (await peer.hears(commands.Basic.Consume)).consumer_tag
        await given_up(beginning)
        peer.says(1, commands.Basic.ConsumeOk(tag), commands.Basic.Deliver(tag, 1, False, "", "q"))
        peer.sends(EMPTY_CONTENT)
        with anyio.fail_after(PATIENCE):
            await came.wait()
        prefetching.wanted = 0
        ending = asyncio.create_task(prefetching.adjust())
        assert (await peer.hears(commands.Basic.Cancel)).consumer_tag == tag
        peer.says(1, commands.Basic.CancelOk(tag))
        await ending
