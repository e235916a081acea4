"""Runs deliveries one by one in the main thread, where signals work and debuggers are at home."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from umbel.attempt import drive
from umbel.declared import Declared
from umbel.model import Message

if TYPE_CHECKING:
    import asyncio

FLUSH = 0.001
"""Seconds of work after which reports are handed over though more deliveries wait."""

Job = tuple[int, Callable[[], Coroutine[Any, Any, Any]]]
"""A delivery's number and its life, which raises nothing."""


class Starts(Protocol):
    """Where starts and ends are written down."""

    def start(self, number: int) -> bool: ...

    def finish(self, number: int) -> None: ...


class MainThread:
    """One delivery at a time. ``put`` may be called from any thread, ``serve`` from the main thread alone.

    ``hand_over(reports, void)`` gets the reports of the deliveries that ended, in order, and the numbers that were
    not started because they had been taken back.
    """

    def __init__(self, starts: Starts, hand_over: Callable[[list[Any], list[int]], None]) -> None:
        self._starts = starts
        self._hand_over = hand_over
        self._inbox: SimpleQueue[Sequence[Job] | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop of ``async def`` tasks; lives as long as the process, so pools of connections can be shared."""

    def put(self, jobs: Sequence[Job]) -> None:
        """Queue some deliveries behind those that wait."""
        self._inbox.put(jobs)

    def stop(self) -> None:
        """Let ``serve`` return when everything before this is done."""
        self._inbox.put(None)

    async def call(self, task: Declared, message: Message) -> Any:
        """Call the user's function: the one place that does."""
        if not task.is_async:
            return task.run(*message.args, **message.kwargs)
        if self._loop is None:
            import asyncio  # a runner of plain functions does without its memory

            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(task.run(*message.args, **message.kwargs))

    def serve(self) -> None:
        """Run what comes, until ``stop``."""
        reports: list[Any] = []
        void: list[int] = []
        flushed = monotonic()
        while (jobs := self._inbox.get()) is not None:
            for number, life in jobs:
                if not self._starts.start(number):
                    void.append(number)
                    continue
                reports.append(drive(life()))
                self._starts.finish(number)
                now = monotonic()
                if now - flushed > FLUSH:
                    self._hand_over(reports, void)
                    reports, void, flushed = [], [], now
            if (reports or void) and self._inbox.empty():
                self._hand_over(reports, void)
                reports, void, flushed = [], [], monotonic()
        if reports or void:
            self._hand_over(reports, void)
        self._close_loop()

    def _close_loop(self) -> None:
        if self._loop is not None:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
