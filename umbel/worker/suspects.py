"""Messages that a dead worker may have started: their starts are counted durably before they are started again."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from umbel.clock import Clock
from umbel.errors import StoreError
from umbel.model import Delivery
from umbel.ports import Marks
from umbel.worker.holding import LOST, Certificate, Held

logger = logging.getLogger("umbel.worker")

PREFIX = "starts:"
"""A mark of this name and a task id counts the starts of a redelivered message."""

KEPT = 7 * 86400.0
"""Seconds for which a count is kept if its task never comes to an end."""

_PAUSE = 0.5


class Runners(Protocol):
    """Where suspects are run: each alone in its runner."""

    def idle(self) -> int: ...

    def give_alone(self, held: Held) -> None: ...


class Suspects:
    """Takes redelivered messages and hands them out one a runner. The node's loop owns it.

    What was never started again has no count. The first start before the redelivery is presumed: ``limit`` starts in
    all (``task_max_starts``), then a dead letter. A message that has been started again before and came back once more
    runs while no other suspect does, so that whoever takes the worker down takes no innocent with it time and again.
    """

    def __init__(self, marks: Marks, clock: Clock, runners: Runners, limit: int) -> None:
        self._marks = marks
        self._clock = clock
        self._runners = runners
        self._limit = limit
        self.waiting: deque[Delivery] = deque()
        """Those that are to be started, for others to look whether there are any."""
        self._running: dict[str, int] = {}
        """Starts of the suspects that run now, by task id."""
        self._ended: list[str] = []
        self._wake = asyncio.Event()

    def take(self, deliveries: Iterable[Delivery]) -> None:
        """These were handed out before."""
        self.waiting.extend(deliveries)
        self._wake.set()

    def ended(self, task_id: str) -> None:
        """A delivery has come to its verdict; only suspects matter here."""
        if self._running.pop(task_id, None) is not None:
            self._ended.append(task_id)
            self._wake.set()

    async def forgive(self, task_ids: Iterable[str]) -> None:
        """These were stopped with the worker, in order: their last start does not count."""
        keys = [PREFIX + task_id for task_id in task_ids if self._running.pop(task_id, None) is not None]
        if keys:
            await self._marks.add_to_marks(keys, -1, self._clock.now() + KEPT)

    def freed(self) -> None:
        """A runner may have room."""
        self._wake.set()

    def pull(self, task_id: str) -> Delivery | None:
        """Take out the one of this task, if it waits here."""
        for delivery in self.waiting:
            if delivery.envelope.id == task_id:
                self.waiting.remove(delivery)
                return delivery
        return None

    def empty(self) -> list[Delivery]:
        """All that wait, to give back."""
        given = list(self.waiting)
        self.waiting.clear()
        return given

    async def run(self) -> None:
        """The service: lives until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._forget()
                await self._start()
            except StoreError as error:
                logger.error("Starts cannot be counted, redelivered tasks wait: %s", error)
                await asyncio.sleep(_PAUSE)
                self._wake.set()

    async def _forget(self) -> None:
        if self._ended:
            ended = list(self._ended)
            await self._marks.drop_marks([PREFIX + task_id for task_id in ended])
            del self._ended[: len(ended)]

    async def _start(self) -> None:
        room = self._runners.idle()
        if not room or not self.waiting or any(starts > 2 for starts in self._running.values()):
            return
        batch = [self.waiting[at] for at in range(min(room, len(self.waiting)))]
        keys = [PREFIX + delivery.envelope.id for delivery in batch]
        known = await self._marks.get_marks(keys)
        chosen = self._choose(batch, {key.removeprefix(PREFIX): int(value) for key, value in known.items()})
        if not chosen:
            return
        expires = self._clock.now() + KEPT
        counted = [d for d, starts in chosen if starts < self._limit]
        await self._marks.add_to_marks([PREFIX + d.envelope.id for d in counted], 1, expires)
        for delivery, starts in chosen:
            self.waiting.remove(delivery)
            held = Held(delivery)
            held.suspect = True
            held.losses = starts
            self._running[delivery.envelope.id] = starts + 1
            if starts >= self._limit:
                reason = (
                    f"{starts} starts ended without a verdict, with the whole worker (task_max_starts={self._limit})"
                )
                held.certificate = Certificate(LOST, reason, bury=True)
            self._runners.give_alone(held)

    def _choose(self, batch: list[Delivery], known: dict[str, int]) -> list[tuple[Delivery, int]]:
        """(delivery, earlier starts) of those to start now."""
        chosen: list[tuple[Delivery, int]] = []
        for delivery in batch:
            starts = 1 + known.get(delivery.envelope.id, 0)
            if starts == 1 or starts >= self._limit:
                chosen.append((delivery, starts))
            elif not chosen and not self._running:
                return [(delivery, starts)]
        return chosen
