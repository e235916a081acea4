"""A TCP proxy that can do to connections what networks do: cut, stall, swallow, close one way, refuse."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

_RESET = struct.pack("ii", 1, 0)
PATIENCE = 60.0


class Way:
    """One connection through the proxy: two streams, each pumped into the other while ``flowing``."""

    def __init__(self, flowing: asyncio.Event, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._flowing = flowing
        self.client = client
        self.server = server
        self.swallows = False
        self.mute = False
        self.told: list[asyncio.StreamWriter] = []
        """The ends that were told that the other will say no more."""

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """From one end to the other until it ends; what is swallowed, or meant for a closed direction, is lost."""
        try:
            while data := await reader.read(1 << 16):
                await self._flowing.wait()
                muted = self.mute and writer is self.client
                if not self.swallows and not muted and writer not in self.told:
                    writer.write(data)
                    await writer.drain()
        except OSError:
            if not self.swallows:
                self.reset()
        else:
            if not self.swallows:
                writer.close()

    def reset(self) -> None:
        """Both ends get an RST."""
        for writer in (self.client, self.server):
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


class Proxy:
    """Listens on ``port`` of the loopback and forwards to ``target``, the server's port. A context manager."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.made = 0
        """How many connections were made through it so far."""
        self._ways: list[Way] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._mute = False

    def __enter__(self) -> Self:
        self._thread.start()
        self.flow()
        self.accept()
        return self

    def __exit__(self, *ignored: object) -> None:
        self.refuse()
        self.cut()
        asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def url(self, of: str) -> str:
        """The server's URL, by way of here."""
        return of.replace(f":{self.target}/", f":{self.port}/")

    # -- what it does to connections ----------------------------------------------------------------------------------

    def cut(self) -> None:
        """Reset every connection."""

        def work() -> None:
            ways, self._ways = self._ways, []
            self._mute = False
            for way in ways:
                way.reset()

        self._do(work)

    def stall(self) -> None:
        """Forward nothing until ``flow``; connections stay open, and what is sent comes late."""
        self._do(self._flowing.clear)

    def flow(self) -> None:
        """Forward again."""
        self._do(self._flowing.set)

    def swallow(self) -> None:
        """From now on the connections that there are lose everything, and neither end is told of it."""

        def work() -> None:
            for way in self._ways:
                way.swallows = True

        self._do(work)

    def answer_no_more(self) -> None:
        """From now on all connections, also new ones, lose what the server says, until ``cut``."""

        def work() -> None:
            self._mute = True
            for way in self._ways:
                way.mute = True

        self._do(work)

    def half_close(self, end: str) -> None:
        """Tell one end ("client" or "server") of every connection that the other will say no more."""

        def work() -> None:
            for way in self._ways:
                writer = way.client if end == "client" else way.server
                way.told.append(writer)
                with contextlib.suppress(OSError):
                    writer.write_eof()

        self._do(work)

    def refuse(self) -> None:
        """Take no new connections."""

        def work() -> None:
            if self._server is not None:
                self._server.close()
                self._server = None

        self._do(work)

    def accept(self) -> None:
        """Take new connections, on the same port as before."""

        async def work() -> None:
            if self._server is None:
                self._server = await asyncio.start_server(self._arrived, "127.0.0.1", self.port)
                self.port = self._server.sockets[0].getsockname()[1]

        asyncio.run_coroutine_threadsafe(work(), self._loop).result(PATIENCE)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _do(self, work: Callable[[], None]) -> None:
        async def there() -> None:
            work()

        asyncio.run_coroutine_threadsafe(there(), self._loop).result(PATIENCE)

    async def _arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs, ours = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        way = Way(self._flowing, writer, ours)
        way.mute = self._mute
        self.made += 1
        self._ways.append(way)
        for pump in (way.pump(reader, ours), way.pump(theirs, writer)):
            task = self._loop.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _finish(self) -> None:
        """Return when every connection is closed, also those that had come and were not made yet."""
        self._flowing.set()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for way in self._ways:
                way.reset()
            await asyncio.wait(others, timeout=0.1)
        await asyncio.sleep(0)
