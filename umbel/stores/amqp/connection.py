"""One connection to an AMQP server: logging in, heartbeats, frames to and from its channels."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pamqp import commands
from pamqp.exceptions import PAMQPException
from pamqp.frame import marshal, unmarshal

from umbel._version import __version__
from umbel.errors import StoreError, StoreRefused, StoreUnreachable
from umbel.stores.amqp import frames
from umbel.stores.amqp.channel import Channel

if TYPE_CHECKING:
    from umbel.stores.amqp.address import Address

logger = logging.getLogger("umbel.brokers")

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
FRAME_MAX = 131072
"""Bytes of a frame: what RabbitMQ proposes; what it does not allow is cut into pieces."""

MOST_CHANNELS = 2047
GOODBYE = 2.0
"""Seconds for which the answer to a goodbye is awaited."""

CAPABILITIES = {
    "publisher_confirms": True,
    "consumer_cancel_notify": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
}


class Connection(asyncio.Protocol):
    """Made by ``opening.connect``; belongs to the loop that it was made on.

    ``lost`` is done when it has ended, with the reason: a ``StoreError``, or None after ``close``.
    """

    def __init__(self, address: Address) -> None:
        loop = asyncio.get_running_loop()
        self.address = address
        self.lost: asyncio.Future[StoreError | None] = loop.create_future()
        self.unblocked = asyncio.Event()
        """Cleared while the server takes no messages (memory or disk alarm)."""
        self.unblocked.set()
        self.piece = FRAME_MAX - 8
        """Bytes of a body that fit into a frame."""
        self.server: dict[str, Any] = {}
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._channels: dict[int, Channel] = {}
        self._opened: asyncio.Future[None] = loop.create_future()
        self._closing = False
        self._gone = asyncio.Event()
        self._heartbeat = 0.0
        self._received = self._sent = loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._soon: list[bytes] = []
        """What is written at the end of this turn of the loop."""

    # -- asyncio's side -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(PROTOCOL_HEADER)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        if self._closing:
            self._end(None)
        elif isinstance(exc, ssl.SSLError) and not isinstance(exc, ssl.SSLEOFError) and not self._opened.done():
            # A server that wants another certificate says so after its own part of the handshake.
            self._end(StoreRefused(f"{self.address}: no TLS connection: {exc.reason or exc}"))
        elif not self._opened.done() and self.server:
            # A server that does not say that it would tell when it refuses a login may refuse it so.
            told = "authentication_failure_close" in self.server.get("capabilities", {})
            kind = StoreUnreachable if told or exc is not None else StoreRefused
            self._end(kind(f"{self.address}: the server hung up while {self.address.user!r} logged in"))
        else:
            why = f": {exc}" if exc is not None else ": the server hung up"
            self._end(StoreUnreachable(f"{self.address}: the connection was lost{why}"))

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._received = self._loop.time()
        if self._rest:
            data = self._rest + data
        at, size, channels = 0, len(data), self._channels
        try:
            while size - at >= 8:
                kind, channel, length = frames.HEAD.unpack_from(data, at)
                if kind == frames.METHOD and channel in channels and data[at + 7 : at + 11] == frames.DELIVER_START:
                    whole = frames.read_whole(data, at, self.piece)
                    if whole is not None:
                        method, head, body, at = whole
                        channels[channel].delivered(method, head, body)
                        continue
                end = at + 7 + length
                if kind not in frames.KINDS or length > self.piece:
                    raise ValueError(f"it sent {data[at : at + 24]!r}")
                if end >= size:
                    break
                if data[end] != frames.END:
                    raise ValueError("a frame does not end where it should")
                self._frame(kind, channel, data[at + 7 : end], data[at : end + 1])
                at = end + 1
        except (ValueError, IndexError, struct.error, PAMQPException) as error:
            self.abort(StoreUnreachable(f"{self.address} does not speak AMQP 0-9-1: {error}"))
            return
        self._rest = data[at:]
        for channel_ in tuple(self._channels.values()):
            channel_.flush()

    def _frame(self, kind: int, channel: int, payload: bytes, whole: bytes) -> None:
        if channel:
            known = self._channels.get(channel)
            if known is not None:
                known.frame(kind, payload, whole)
        elif kind == frames.METHOD:
            self._method(unmarshal(whole)[2])
        elif kind != frames.HEARTBEAT:
            raise ValueError(f"a frame of type {kind} on channel 0")

    # -- methods of the connection --------------------------------------------------------------------------------

    def _method(self, method: Any) -> None:
        address = self.address
        if isinstance(method, commands.Connection.Start):
            self.server = dict(method.server_properties or {})
            client: dict[str, Any] = {
                "product": "umbel",
                "version": __version__,
                "platform": "Python",
                "capabilities": CAPABILITIES,
            }
            secret = f"\0{address.user}\0{address.password}"
            self.send(0, commands.Connection.StartOk(client, "PLAIN", secret, "en_US"))
        elif isinstance(method, commands.Connection.Tune):
            self._tune(method)
        elif isinstance(method, commands.Connection.OpenOk):
            self._opened.set_result(None)
        elif isinstance(method, commands.Connection.Close):
            self.send(0, commands.Connection.CloseOk())
            self.abort(self._refusal(method.reply_code or 0, str(method.reply_text)))
        elif isinstance(method, commands.Connection.CloseOk):
            if self._transport is not None:
                self._transport.close()
        elif isinstance(method, commands.Connection.Blocked):
            logger.warning("%s takes no messages until it has room: %s", self.address, method.reason)
            self.unblocked.clear()
        elif isinstance(method, commands.Connection.Unblocked):
            logger.warning("%s takes messages again", self.address)
            self.unblocked.set()
        else:
            raise ValueError(f"{method.name} was not asked for")

    def _tune(self, method: commands.Connection.Tune) -> None:
        size = min(method.frame_max or FRAME_MAX, FRAME_MAX)
        self.piece = size - 8
        wanted = self.address.heartbeat
        theirs = float(method.heartbeat or 0)
        self._heartbeat = min(wanted, theirs) if wanted and theirs else wanted or theirs
        most = min(method.channel_max or MOST_CHANNELS, MOST_CHANNELS)
        self.send(0, commands.Connection.TuneOk(most, size, int(self._heartbeat)))
        self.send(0, commands.Connection.Open(self.address.vhost))
        if self._heartbeat:
            self._timer = self._loop.call_later(self._heartbeat / 2, self._beat)

    def _refusal(self, code: int, text: str) -> StoreError:
        what = f"{self.address}: the server closed the connection: {code} {text}"
        if code == 403:
            return StoreRefused(f"{self.address}: login refused: user {self.address.user!r} or its password is wrong")
        if code in (402, 530):
            return StoreRefused(
                f"{self.address}: the virtual host {self.address.vhost!r} is not open to this user: {text}"
            )
        return StoreUnreachable(what)

    def _beat(self) -> None:
        now = self._loop.time()
        left = self._received + 2 * self._heartbeat - now
        if left <= 0:
            silent = now - self._received
            self.abort(StoreUnreachable(f"{self.address}: no sign of life for {silent:.0f} s"))
            return
        if now - self._sent >= self._heartbeat / 2:
            self.write(frames.HEARTBEAT_FRAME)
        self._timer = self._loop.call_later(min(left, self._heartbeat / 2), self._beat)

    # -- what channels and users use ------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes; raises what ended the connection."""
        self.check()
        assert self._transport is not None
        self._sent = self._loop.time()
        if self._soon:
            data = b"".join((*self._soon, data))
            self._soon.clear()
        self._transport.write(data)

    def write_soon(self, parts: Iterable[bytes]) -> None:
        """Send many pieces, with everything else of this turn of the loop; raises what ended the connection."""
        self.check()
        if not self._soon:
            self._loop.call_soon(self._write_soon)
        self._soon += parts

    def _write_soon(self) -> None:
        if self._soon and not self.lost.done():
            self.write(b"")

    def send(self, channel: int, method: Any) -> None:
        """Send a method."""
        self.write(marshal(method, channel))

    @property
    def takes_more(self) -> bool:
        """Whether ``writable`` would return at once."""
        return self._writable.is_set() and self.unblocked.is_set() and not self.lost.done()

    async def writable(self) -> None:
        """Return when what was written has gone far enough for more, and the server takes messages."""
        await self._writable.wait()
        await self.unblocked.wait()
        self.check()

    def check(self) -> None:
        """Raise what ended the connection, if it has ended."""
        if self.lost.done():
            raise self.lost.result() or StoreUnreachable(f"{self.address}: the connection was closed")

    def socket(self) -> socket.socket | None:
        """What it runs over."""
        found: socket.socket | None = None if self._transport is None else self._transport.get_extra_info("socket")
        return found

    async def opened(self) -> None:
        """Return when the login is done; raise why it was refused."""
        await self._opened

    async def channel(self) -> Channel:
        """A new channel."""
        self.check()
        number = next(n for n in range(1, MOST_CHANNELS + 1) if n not in self._channels)
        channel = self._channels[number] = Channel(self, number)
        try:
            await channel.call(commands.Channel.Open(), commands.Channel.OpenOk)
        except asyncio.CancelledError:
            with contextlib.suppress(StoreError):
                channel.leave()
            raise
        return channel

    def forget(self, number: int) -> None:
        """This channel is closed."""
        self._channels.pop(number, None)

    def abort(self, why: StoreError | None) -> None:
        """End at once; ``why`` is what everyone who waits gets."""
        self._end(why)
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Say goodbye; idempotent, never raises for a connection that is lost."""
        if not self.lost.done():
            self._closing = True
            with contextlib.suppress(StoreError):
                self.send(0, commands.Connection.Close(200, "", 0, 0))
            await asyncio.wait([self.lost], timeout=GOODBYE)
            self.abort(None)
        if self._transport is not None:
            await self._gone.wait()

    def _end(self, why: StoreError | None) -> None:
        if self.lost.done():
            return
        self.lost.set_result(why)
        if self._timer is not None:
            self._timer.cancel()
        error = why or StoreUnreachable(f"{self.address}: the connection was closed")
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()  # nobody need wait for it yet
        self._writable.set()
        self.unblocked.set()
        for channel in tuple(self._channels.values()):
            channel.end(error)
        self._channels.clear()
