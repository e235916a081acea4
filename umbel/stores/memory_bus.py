"""Carries commands and answers between the nodes and the callers of one process."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from umbel.model import Envelope

if TYPE_CHECKING:
    from umbel.stores.bells import LoopBell


class _Ear:
    """One listener's messages; ``deque`` and the bell are safe from any thread."""

    def __init__(self, bell: LoopBell) -> None:
        self._bell = bell
        self._heard: deque[Envelope] = deque()

    def hand(self, envelope: Envelope) -> None:
        self._heard.append(envelope)
        self._bell.ring()

    async def next(self) -> Envelope:
        while not self._heard:  # the bell may have been rung for what was taken already
            await self._bell.wait()
        return self._heard.popleft()


class MemoryBus:
    """``ports.Bus`` inside a process. Thread-safe; each listener belongs to its loop."""

    form = "plain"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: set[_Ear] = set()
        self._inboxes: dict[str, _Ear] = {}

    async def send(self, command: Envelope) -> bool:
        with self._lock:
            ears = tuple(self._nodes)
        for ear in ears:
            ear.hand(command)
        return bool(ears)

    async def hear(self, node: str) -> AsyncGenerator[list[Envelope], None]:
        with self._listening() as ear:
            yield []
            while True:
                yield [await ear.next()]

    @contextmanager
    def _listening(self) -> Iterator[_Ear]:
        from umbel.stores.bells import LoopBell

        ear = _Ear(LoopBell())
        with self._lock:
            self._nodes.add(ear)
        try:
            yield ear
        finally:
            with self._lock:
                self._nodes.discard(ear)

    async def reply(self, address: str, answer: Envelope) -> None:
        with self._lock:
            ear = self._inboxes.get(address)
        if ear is not None:
            ear.hand(answer)

    @asynccontextmanager
    async def inbox(self) -> AsyncIterator[MemoryInbox]:
        """A place for answers."""
        from umbel.stores.bells import LoopBell

        address, ear = str(uuid.uuid4()), _Ear(LoopBell())
        with self._lock:
            self._inboxes[address] = ear
        try:
            yield MemoryInbox(address, ear)
        finally:
            with self._lock:
                del self._inboxes[address]


class MemoryInbox:
    """``ports.Inbox`` inside a process."""

    def __init__(self, address: str, ear: _Ear) -> None:
        self.address = address
        self._ear = ear

    async def next(self, seconds: float) -> Envelope | None:
        import asyncio

        try:
            async with asyncio.timeout(seconds):
                return await self._ear.next()
        except TimeoutError:
            return None
