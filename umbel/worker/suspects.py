"""Messages that a dead worker may have started: their starts are counted durably before they are started again."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Protocol

from umbel.errors import StoreError
from umbel.model import Delivery
from umbel.worker.counts import Counts
from umbel.worker.holding import LOST, Certificate, Held

logger = logging.getLogger("umbel.worker")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class Runners(Protocol):
    """Where suspects are run: each alone in its runner, or, where runners have many slots, alone at its last start."""

    def reserve(self, most: int) -> list[int]:
        """Keep up to so many idle runners free of anything else; gives their numbers. A runner with many slots that are
        free is named as many times."""
        ...

    def give_alone(self, number: int, held: Held) -> bool:
        """Give ``held`` to a reserved runner; False if that one is gone."""
        ...

    def release(self, numbers: Iterable[int]) -> None:
        """These were reserved and are not needed."""
        ...


class Suspects:
    """Takes redelivered messages and hands them out one a runner. The node's loop owns it.

    What was never started again has no count. The first start before the redelivery is presumed: ``limit`` starts in
    all (``task_max_starts``), then a dead letter. A message that has been started again before and came back once more
    runs while no other suspect does, so that whoever takes the worker down takes no innocent with it time and again.
    """

    def __init__(self, counts: Counts, runners: Runners, limit: int) -> None:
        self._counts = counts
        self._runners = runners
        self._limit = limit
        self.waiting: deque[Delivery] = deque()
        """Those that are to be started, for others to look whether there are any."""
        self._running: dict[str, int] = {}
        """Starts of the suspects that run now, by task id."""
        self._known: dict[str, int] = {}
        """What the counts were when this node first looked, by task id. Only the node that has a message counts it, and
        writes the same number again after a write of which it is not known whether it took effect."""
        self.blocked = False
        """Whether those that wait may not start before one that runs has ended."""
        self._ended: list[str] = []
        self._wake = asyncio.Event()

    @property
    def running(self) -> list[str]:
        """The ids of those that were handed out and have not come to a verdict."""
        return list(self._running)

    def take(self, deliveries: Iterable[Delivery]) -> None:
        """These were handed out before."""
        self.waiting.extend(deliveries)
        self._wake.set()

    def ended(self, again: Mapping[str, bool]) -> None:
        """Deliveries of these ids have come to their verdicts; True where the start keeps its count.

        Told when that is durable: the next one may take the worker down, and what has ended would come back with one
        start more.
        """
        for task_id, counted in again.items():
            if self._running.pop(task_id, None) is not None:
                self._known.pop(task_id, None)
                if not counted:
                    self._ended.append(task_id)
                self._wake.set()

    async def forgive(self, task_ids: Iterable[str]) -> None:
        """These were stopped with the worker, in order: their last start does not count."""
        stopped = [task_id for task_id in task_ids if self._running.pop(task_id, None) is not None]
        if stopped:
            await self._counts.forgive({task_id: self._known.pop(task_id) for task_id in stopped})

    def freed(self) -> None:
        """A runner may have room."""
        self._wake.set()

    def pull(self, task_id: str) -> Delivery | None:
        """Take out the one of this task, if it waits here."""
        for delivery in self.waiting:
            if delivery.envelope.id == task_id:
                self.waiting.remove(delivery)
                self._known.pop(task_id, None)
                return delivery
        return None

    async def run(self) -> None:
        """The service: lives until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._forget()
                await self._start()
            except StoreError as error:
                if pause == _FIRST_PAUSE:
                    logger.error("Starts cannot be counted, redelivered tasks wait: %s", error)
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)
                self._wake.set()
            else:
                pause = _FIRST_PAUSE

    async def _forget(self) -> None:
        if self._ended:
            ended = list(self._ended)
            await self._counts.forget(ended)
            del self._ended[: len(ended)]

    async def _start(self) -> None:
        self.blocked = any(starts > 2 for starts in self._running.values())
        if not self.waiting or self.blocked:
            return
        numbers = self._runners.reserve(len(self.waiting))
        try:
            if numbers:
                await self._start_on(numbers)
        finally:
            self._runners.release(numbers)

    async def _start_on(self, numbers: list[int]) -> None:
        """Start as many as may be on these runners; those that are left in ``numbers`` were not needed."""
        batch = [self.waiting[at] for at in range(min(len(numbers), len(self.waiting)))]
        await self._look_up(batch)
        chosen = self._choose(batch)
        self.blocked = not chosen
        starting = [(delivery, starts) for delivery, starts in chosen if starts < self._limit]
        if starting:
            await self._counts.starting(starting)
        for delivery, starts in chosen:
            if delivery not in self.waiting:  # taken back by a revoke meanwhile
                continue
            held = Held(delivery)
            held.suspect = True
            held.losses = starts
            if starts >= self._limit:
                reason = f"{starts} starts ended without a verdict (task_max_starts={self._limit})"
                held.certificate = Certificate(LOST, reason, bury=True)
            if self._runners.give_alone(numbers.pop(), held):
                self.waiting.remove(delivery)
                self._running[delivery.envelope.id] = starts + 1

    async def _look_up(self, batch: list[Delivery]) -> None:
        """Learn the counts of those that are new here."""
        new = [each for each in batch if each.envelope.id not in self._known]
        if new:
            self._known |= await self._counts.known(new)

    def _choose(self, batch: list[Delivery]) -> list[tuple[Delivery, int]]:
        """(delivery, earlier starts) of those to start now."""
        chosen: list[tuple[Delivery, int]] = []
        for delivery in batch:
            starts = self._known[delivery.envelope.id]
            if starts == 1 or starts >= self._limit:
                chosen.append((delivery, starts))
            elif not chosen and not self._running:
                return [(delivery, starts)]
        return chosen
