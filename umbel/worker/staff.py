"""Sees to it that there are as many runners as there should be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from umbel.errors import UmbelError
from umbel.worker.fleet import Fleet
from umbel.worker.runners import Runner

_FALSE_STARTS = 5


class Staff:
    """Starts runners by ``start()``, in the place of those that were lost or that take nothing more. ``fail(error)`` is
    told when that is of no use. The node's loop owns it.
    """

    def __init__(
        self, fleet: Fleet, wanted: int, start: Callable[[], Awaitable[None]], fail: Callable[[BaseException], None]
    ) -> None:
        self._fleet = fleet
        self._wanted = wanted
        self._start = start
        self._fail = fail
        self._false_starts = 0
        self._starting: set[asyncio.Task[None]] = set()
        self._closed = False

    async def open(self) -> None:
        """Start all of them; raises what ``start()`` raises."""
        for _ in range(self._wanted):
            await self._start()

    def close(self) -> None:
        """Start no more."""
        self._closed = True

    def lost(self, runner: Runner) -> None:
        """A runner has ended."""
        if self._closed:
            return
        self._false_starts = 0 if runner.ready else self._false_starts + 1
        if self._false_starts >= _FALSE_STARTS:
            self._fail(UmbelError(f"{_FALSE_STARTS} runners in a row ended before they were ready; see their messages"))
            return
        self.tend()

    def tend(self) -> None:
        """Start those that are missing, or let one end that is too many; called now and then.

        A runner with one slot that is about to end counts until it has: its task takes the place of another.
        """
        fleet = self._fleet
        if self._closed:
            return
        there = sum(fleet.slots == 1 or not runner.stopping for runner in fleet.runners.values())
        missing = self._wanted + fleet.extra - there - len(self._starting)
        for _ in range(missing):
            task = asyncio.get_running_loop().create_task(self._start_one(0.1 * 2**self._false_starts))
            self._starting.add(task)
            task.add_done_callback(self._started)
        if missing < 0:
            fleet.retire_one()

    async def _start_one(self, pause: float) -> None:
        if self._false_starts:
            await asyncio.sleep(pause)
        if not self._closed:
            await self._start()

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fail(task.exception() or UmbelError("a runner could not be started"))
