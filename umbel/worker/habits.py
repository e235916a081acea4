"""Knows how long tasks take as a rule, and in which stages: hears of it from runners, tells all, and keeps it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from umbel.app import Umbel
from umbel.errors import StoreError
from umbel.ports import Mark, Marks
from umbel.worker.runners import Habit, Runner

logger = logging.getLogger("umbel.worker")

PREFIX = "habit:"
"""A mark of this name and a task's name says how long it takes."""

KEPT = 30 * 86400.0
"""Seconds for which a habit is remembered."""

MOST = 10_000
"""Task names of which one is."""


class Habits:
    """The habits of one app's tasks. The node's loop owns it. Where no store keeps marks they end with the node."""

    def __init__(self, app: Umbel, runners: Mapping[int, Runner]) -> None:
        self._app = app
        self._runners = runners
        self._known: dict[str, Habit] = {}
        self._unwritten: dict[str, Habit] = {}
        self._news = asyncio.Event()
        self.marks: Marks | None = None

    def greet(self, runner: Runner) -> None:
        """A runner is there."""
        if self._known:
            runner.link.habits(list(self._known.values()))

    def learn(self, teller: Runner, habit: Habit) -> None:
        """A runner has seen how long a task takes."""
        name = habit[0]
        if name not in self._known and len(self._known) >= MOST:
            return
        self._known[name] = self._unwritten[name] = habit
        self._tell([habit], but=teller)
        self._news.set()

    def _tell(self, habits: list[Habit], but: Runner | None = None) -> None:
        for runner in self._runners.values():
            if runner is not but and runner.ready:
                runner.link.habits(habits)

    async def run(self) -> None:
        """The service: reads what earlier workers knew, writes what is new. No failure of the store ends it."""
        await self._guarded(self._recall)
        while True:
            await self._news.wait()
            self._news.clear()
            await self._guarded(self._write)
            await asyncio.sleep(1.0)

    async def _guarded(self, step: Any) -> None:
        try:
            await step()
        except StoreError as error:
            logger.warning("How long tasks take is not known to, or not kept for, other workers: %s", error)

    async def _recall(self) -> None:
        if self.marks is None:
            return
        found = await self.marks.get_marks([PREFIX + name for name in self._app.tasks])
        habits = [habit for key, value in found.items() if (habit := _read(key.removeprefix(PREFIX), value))]
        self._known = {habit[0]: habit for habit in habits} | self._known
        self._tell(habits)

    async def _write(self) -> None:
        habits, self._unwritten = self._unwritten, {}
        if self.marks is not None:
            await self.marks.put_marks(_marks(habits.values(), self._app.clock.now() + KEPT))


def _marks(habits: Iterable[Habit], expires: float) -> list[Mark]:
    return [Mark(PREFIX + name, json.dumps([seconds, plan]), expires) for name, seconds, plan in habits]


def _read(name: str, value: str) -> Habit | None:
    try:
        seconds, plan = json.loads(value)
        return name, float(seconds), [(str(label), float(weight)) for label, weight in plan]
    except (ValueError, TypeError):
        return None
