"""One connection to a Redis server: commands in the order in which they are asked, answers as they come."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hiredis import HiredisError, ReplyError, pack_command
from hiredis import Reader as Parser

from umbel.errors import StoreError, StoreRefused, StoreUnreachable

if TYPE_CHECKING:
    from umbel.stores.redis.address import Address

Word = str | bytes | int | float

GOODBYE = 2.0
"""Seconds that the end of a connection may take."""

_PUSHED = (b"message", b"pmessage")


class Connection(asyncio.Protocol):
    """Made by ``opening.connect``; belongs to the loop that it was made on.

    ``patience`` are the seconds in which an answer must begin to come, or go on. ``lost`` is done when the connection
    has ended, with the reason. ``on_message`` is called with the channel and the bytes of what is published there.
    """

    def __init__(self, address: Address, patience: float) -> None:
        loop = asyncio.get_running_loop()
        self.address = address
        self.lost: asyncio.Future[StoreError] = loop.create_future()
        self.on_message: Callable[[bytes, bytes], None] | None = None
        self._loop = loop
        self._patience = patience
        self._parser = Parser()
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._since = 0.0
        """When the last sign of life came, or the oldest question without an answer was asked."""
        self._gone = asyncio.Event()
        self._heard = False
        """Whether the server has ever said anything."""
        self._timer: asyncio.TimerHandle | None = None
        self._soon: list[bytes] = []
        """What is written at the end of this turn of the loop."""
        self._writable = asyncio.Event()
        self._writable.set()

    # -- asyncio's side -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        if isinstance(exc, ssl.SSLError) and not self._heard:
            # A server that wants another certificate says so after its own part of the handshake.
            self._end(StoreRefused(f"{self.address}: no TLS connection: {exc.reason or exc}"))
            return
        why = f": {exc}" if exc is not None else ": the server hung up"
        if self.address.tls and not self._heard:  # it may have had no time to say more
            why += ", perhaps for want of a certificate (ssl_certfile)"
        self._end(StoreUnreachable(f"{self.address}: the connection was lost{why}"))

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._since = self._loop.time()
        self._heard = True
        parser = self._parser
        parser.feed(data)
        try:
            while (answer := parser.gets()) is not False:
                if self.on_message is not None and type(answer) is list and answer[0] in _PUSHED:
                    self.on_message(answer[-2], answer[-1])
                elif self._waiting:
                    future = self._waiting.popleft()
                    if not future.done():  # who asked may be gone
                        future.set_result(answer)
                else:
                    raise ValueError(f"it said {answer!r:.80} unasked")
        except (HiredisError, ValueError) as error:
            self.abort(StoreRefused(f"{self.address} does not speak as Redis does: {error}"))

    # -- what its users use ---------------------------------------------------------------------------------------

    def ask(self, *words: Word) -> asyncio.Future[Any]:
        """Send a command, with everything else of this turn of the loop; the future has the answer.

        The answer may be a ``hiredis.ReplyError``. The future fails with ``StoreUnreachable`` when the connection is
        lost, ``doubtful`` when the command may have been done. Cancelling it takes nothing back.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.lost.done():
            future.set_exception(StoreUnreachable(str(self.lost.result())))
            return future
        if not self._soon:
            self._loop.call_soon(self._write)
        self._soon.append(pack_command(words))  # type: ignore[arg-type]  # it takes any number of them
        if not self._waiting:
            self._since = self._loop.time()
            if self._timer is None:
                self._timer = self._loop.call_later(self._patience, self._look)
        self._waiting.append(future)
        return future

    async def writable(self) -> None:
        """Return when the server has taken most of what was written."""
        await self._writable.wait()

    @property
    def takes_more(self) -> bool:
        """Whether ``writable`` would return at once."""
        return self._writable.is_set()

    def abort(self, why: StoreError) -> None:
        """End it without a word."""
        transport, self._transport = self._transport, None
        self._end(why)
        if transport is not None:
            transport.abort()

    def leave(self) -> None:
        """End it in the background; what was asked is sent, and its answers are not awaited."""
        if self._soon and not self.lost.done():
            self._write()
        transport, self._transport = self._transport, None
        self._end(StoreUnreachable(f"{self.address}: the connection was closed"))
        if transport is not None:
            transport.close()

    async def close(self) -> None:
        """``leave``, and return when it is gone."""
        transport = self._transport
        self.leave()
        try:
            async with asyncio.timeout(GOODBYE):
                await self._gone.wait()
        except TimeoutError:
            if transport is not None:
                transport.abort()

    # -- its own --------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        if self._transport is not None and self._soon:
            self._transport.write(self._soon[0] if len(self._soon) == 1 else b"".join(self._soon))
        self._soon.clear()

    def _look(self) -> None:
        """Whether the server still answers."""
        self._timer = None
        if not self._waiting:
            return
        silent = self._loop.time() - self._since
        if silent >= self._patience:
            self.abort(StoreUnreachable(f"{self.address}: no answer for {silent:.0f} s"))
        else:
            self._timer = self._loop.call_later(self._patience - silent, self._look)

    def _end(self, why: StoreError) -> None:
        if self.lost.done():
            return
        self.lost.set_result(why)
        if self._timer is not None:
            self._timer.cancel()
        self._writable.set()
        waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            if not future.done():
                lost = StoreUnreachable(str(why)) if isinstance(why, StoreUnreachable) else why
                if isinstance(lost, StoreUnreachable):
                    lost.doubtful = True
                future.set_exception(lost)


def refused(answer: Any) -> bool:
    """Whether the server said no."""
    return isinstance(answer, ReplyError)


def texts(answer: Sequence[Any]) -> list[str]:
    """The words of an answer."""
    return [word.decode("utf-8", "replace") for word in answer]
