"""Notices runners that do not answer: stopped ones, and those whose task holds the interpreter's lock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from umbel.worker.runners import Runner

logger = logging.getLogger("umbel.worker")

EVERY = 10.0
"""Seconds between two questions to a runner."""

DEAF = 60.0
"""Seconds without an answer after which a runner is said to be deaf."""


class Hearing:
    """Asks runners for an answer now and then. A deaf one keeps its task, whose claim is the node's: it is logged, and
    killed only where ``timeout`` (``worker_deaf_timeout``, seconds) says so. The node's loop owns it.
    """

    def __init__(
        self,
        timeout: float | None,
        on_deaf: Callable[[Runner, str], None],
        *,
        every: float = EVERY,
        deaf: float = DEAF,
    ) -> None:
        self._timeout = timeout
        self._on_deaf = on_deaf
        self._every = every
        self._deaf = deaf
        self._asked: dict[int, float] = {}
        """When each runner was first asked without having answered since, by its number, in the loop's time."""
        self._said: set[int] = set()
        self._next = 0.0

    def tick(self, runners: Iterable[Runner]) -> None:
        """Ask and look; called often, does something every ``every`` seconds."""
        now = asyncio.get_running_loop().time()
        if now < self._next:
            return
        self._next = now + self._every
        alive = {runner.number: runner for runner in runners if runner.ready}
        self._asked = {number: since for number, since in self._asked.items() if number in alive}
        self._said &= alive.keys()
        for number, runner in alive.items():
            since = self._asked.setdefault(number, now)
            if now - since >= self._deaf and number not in self._said:
                self._said.add(number)
                logger.warning(
                    "Runner %d (pid %d) has not answered for %g s while it runs %s: it is stopped, or its task holds "
                    "the interpreter's lock; its tasks stay claimed",
                    number,
                    runner.pid,
                    now - since,
                    ", ".join(runner.assigned[n].delivery.envelope.id for n in runner.running) or "nothing",
                )
            if self._timeout is not None and now - since >= self._timeout:
                self._on_deaf(runner, f"was killed: it had not answered for {now - since:g} s (worker_deaf_timeout)")
            runner.link.ask()

    def heard(self, runner: Runner) -> None:
        """It has answered."""
        self._asked.pop(runner.number, None)
        if runner.number in self._said:
            self._said.discard(runner.number)
            logger.warning("Runner %d (pid %d) answers again", runner.number, runner.pid)
