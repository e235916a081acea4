"""Keeps calls in a file while their broker is away, and sends them when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from umbel import bridge
from umbel.errors import StoreRefused, StoreUnreachable, TimeoutError, UmbelError
from umbel.model import Envelope, Route
from umbel.ports import Broker
from umbel.stores.bells import LoopBell
from umbel.stores.sqlite.spool import Spooled, SpoolFile
from umbel.stores.threads import in_thread
from umbel.wire.marking import resent

logger = logging.getLogger("umbel.spool")

BATCH = 100
"""Messages that are sent at once, and are doubtful after a crash."""

LOOK = 5.0
"""Seconds between two looks for what other processes have left."""

REFUSALS = 5
"""How often a message is offered that the broker refuses, before those behind it have their turn."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


class Spooling:
    """The file at ``path``, for what ``broker`` cannot take now. ``ready()`` makes the broker usable; None where it is.

    An async context manager: while it is entered, what waits is sent, in its order, by one process at a time. Each
    message leaves the file after the broker has confirmed it; one of which that is not sure is sent again, marked so.
    """

    def __init__(self, path: str, broker: Broker, ready: Callable[[], Awaitable[None]] | None = None) -> None:
        self.file = SpoolFile(str(Path(path).expanduser().absolute()))
        self._broker = broker
        self._ready = ready
        self._bell: LoopBell | None = None
        self._sending: asyncio.Task[None] | None = None
        self._away = False
        """Whether it was told that the broker is away."""
        self._refusals = 0

    def publish(self, messages: Sequence[tuple[Route, Envelope]], send: Callable[[], None]) -> None:
        """Call ``send``, or keep the messages if the broker is away, or others wait already.

        Called by any thread. Raises what ``send`` raises else, and ``StoreError`` when they cannot be kept.
        """
        doubtful = False
        if not self.file.any():
            try:
                send()
                return
            except (StoreUnreachable, TimeoutError) as error:
                doubtful = not isinstance(error, StoreUnreachable) or error.doubtful
                if not self._away:
                    self._away = True
                    logger.warning(
                        "The broker is away, calls are kept in %s until it is back: %s", self.file.path, error
                    )
        self.file.add(messages, doubtful)
        way = bridge.get()
        way.run(self._begin(way))

    async def _begin(self, way: bridge.Way) -> None:
        await way.entered(self._broker)  # first, so that it is left last
        await way.entered(self)
        if self._bell is not None:
            self._bell.ring()

    async def __aenter__(self) -> Self:
        self._bell = bell = LoopBell()
        self._sending = asyncio.create_task(self._run(bell))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
        self.file.close()

    async def _run(self, bell: LoopBell) -> None:
        """The service: lives until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            try:
                wait = LOOK
                if await in_thread(self.file.any):
                    wait = LOOK if await self._send_all() else _LONGEST_PAUSE
                pause = _FIRST_PAUSE
            except (UmbelError, OSError) as error:
                logger.log(
                    logging.DEBUG if self._away else logging.WARNING, "Calls wait in %s: %s", self.file.path, error
                )
                self._away = True
                wait = pause
                pause = min(_LONGEST_PAUSE, 2 * pause)
            await bell.wait(wait)

    def _back(self) -> None:
        if self._away:
            self._away = False
            logger.info("The broker has taken what was kept in %s", self.file.path)

    async def _send_all(self) -> bool:
        """Send what waits; False when another process does."""
        lock = self.file.lock()
        if lock is None:
            return False
        try:
            while batch := await in_thread(self.file.first, 1 if self._refusals else BATCH):
                if self._ready is not None:
                    await self._ready()
                await self._broker.size(batch[0].route.queue)  # where it is away still, nothing becomes doubtful
                await self._send(batch)
        finally:
            lock.release()
        self._back()
        return True

    async def _send(self, batch: list[Spooled]) -> None:
        numbers = [message.number for message in batch]
        await in_thread(self.file.doubt, numbers)
        messages = [
            (message.route, resent(message.envelope) if message.doubtful else message.envelope) for message in batch
        ]
        try:
            await self._broker.publish(messages)
        except StoreUnreachable:
            raise
        except UmbelError as error:
            if isinstance(error, StoreRefused) and error.ids:
                await in_thread(self.file.drop, [each.number for each in batch if each.envelope.id not in error.ids])
            self._refusals += 1
            if self._refusals <= REFUSALS or len(batch) > 1:
                raise
            logger.error("The broker refuses [%s], which stays in %s: %s", messages[0][1].id, self.file.path, error)
            await in_thread(self.file.refuse, numbers[0], str(error))
        else:
            await in_thread(self.file.drop, numbers)
        self._refusals = 0
