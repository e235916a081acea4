"""The bus on a Redis server: commands on Celery's channel, answers in lists of those who ask."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from umbel.errors import StoreError, StoreUnreachable
from umbel.model import Envelope
from umbel.stores.bells import LoopBell
from umbel.stores.redis.address import Address
from umbel.stores.redis.link import PATIENCE, Script, Way
from umbel.stores.redis.listener import Hearing
from umbel.stores.redis.store import RedisStore
from umbel.wire.control import ANSWERS, COMMANDS, inbox_of
from umbel.wire.kombu import addressed

logger = logging.getLogger("umbel.brokers")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
_BLOCKS = 5
"""Seconds for which the server waits before it says that no answer has come."""

KEPT = 600
"""Seconds after which an inbox that nobody has closed is removed by the next who opens one."""

_INBOX, _ANSWER = Script("inbox"), Script("answer")


class Line(Protocol):
    """What a loop has of the adapter."""

    @property
    def store(self) -> RedisStore: ...

    @property
    def listener(self) -> Hearing: ...


class RedisBus:
    """``ports.Bus`` on a server, over what ``line()`` has, the running loop's."""

    form = "kombu"

    def __init__(self, addresses: Sequence[Address], line: Callable[[], Line], now: Callable[[], float]) -> None:
        self._addresses = addresses
        self._line = line
        self._now = now

    async def send(self, command: Envelope) -> bool:
        store = self._line().store
        channel = store.layout.channel(self._addresses[0].db, COMMANDS)
        return bool(await store.link.ask("PUBLISH", channel, addressed(command.head, COMMANDS, "", None)) > 0)

    async def reply(self, address: str, answer: Envelope) -> None:
        store = self._line().store
        place, member = store.layout.binding(ANSWERS, address, inbox_of(address))
        entry = addressed(answer.head, ANSWERS, address, None)
        inbox = store.layout.inbox(inbox_of(address))
        await store.link.run(_ANSWER, [place, inbox], [member, entry, KEPT])

    async def hear(self, node: str) -> AsyncGenerator[list[Envelope], None]:
        line = self._line()
        channel = line.store.layout.channel(self._addresses[0].db, COMMANDS)
        ear = _Ear()
        pause = _FIRST_PAUSE
        while True:
            try:
                await line.listener.follow([channel], ear.hear)
                break
            except StoreError as error:
                level = logging.WARNING if pause == _FIRST_PAUSE else logging.DEBUG
                logger.log(level, "%s does not hear commands until it is heard again: %s", node, error)
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)
        try:
            yield []
            while True:
                while ear.heard:
                    yield ear.take()
                await ear.bell.wait()
        finally:
            line.listener.leave([channel], ear.hear)

    @asynccontextmanager
    async def inbox(self) -> AsyncIterator[RedisInbox]:
        """A place for answers."""
        store = self._line().store
        address = str(uuid.uuid4())
        place, member = store.layout.binding(ANSWERS, address, inbox_of(address))
        inbox = store.layout.inbox(inbox_of(address))
        keys = [place, store.layout.inboxes, inbox]
        await store.link.run(_INBOX, keys, ["open", member, self._now(), KEPT])
        reading = RedisInbox(address, store.link.another(_BLOCKS + PATIENCE), inbox)
        try:
            yield reading
        finally:
            await reading.close()
            with contextlib.suppress(StoreError):
                await store.link.run(_INBOX, keys, ["close", member, self._now(), KEPT])


class _Ear:
    """What has come over the channel and was not looked at."""

    def __init__(self) -> None:
        self.heard: deque[bytes | None] = deque()
        self.bell = LoopBell()

    def hear(self, payload: bytes | None) -> None:
        self.heard.append(payload)
        self.bell.ring()

    def take(self) -> list[Envelope]:
        """What was heard before the next break, or the break."""
        if self.heard[0] is None:
            self.heard.popleft()
            return []
        found: list[Envelope] = []
        while self.heard and (payload := self.heard[0]) is not None:
            self.heard.popleft()
            found.append(Envelope("kombu", "", payload, b""))
        return found


class RedisInbox:
    """``ports.Inbox`` on a server: the list ``key``, read over a connection of its own."""

    def __init__(self, address: str, link: Way, key: str) -> None:
        self.address = address
        self._link = link
        self._key = key
        self._came: deque[Envelope] = deque()
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())
        self._reading.add_done_callback(lambda reading: self._news.set())

    async def next(self, seconds: float) -> Envelope | None:
        try:
            async with asyncio.timeout(seconds):
                while not self._came:
                    if self._reading.done():
                        raise self._reading.exception() or StoreUnreachable("the inbox is closed")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return None
        return self._came.popleft()

    async def _read(self) -> None:
        while True:
            came = await self._link.ask("BRPOP", self._key, _BLOCKS)
            if came is not None:
                self._came.append(Envelope("kombu", "", came[1], b""))
                self._news.set()

    async def close(self) -> None:
        """Read no more."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._link.close()
