"""Runs deliveries one by one in the main thread, where signals work and debuggers are at home."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Coroutine, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from umbel.attempt import drive
from umbel.errors import SoftTimeLimitExceeded
from umbel.middleware import Runnable
from umbel.model import Message
from umbel.pools.outbox import Outbox

if TYPE_CHECKING:
    import asyncio

Job = tuple[int, Callable[[], Coroutine[Any, Any, Any]]]
"""A delivery's number and its life, which raises nothing."""


class Starts(Protocol):
    """Where starts and ends are written down."""

    def start(self, number: int) -> bool: ...

    def finish(self, number: int) -> None: ...


class MainThread:
    """One delivery at a time. ``put``, ``interrupt`` and ``stop`` may be called from any thread.

    ``hand_over(reports, void)`` gets the reports of the deliveries that ended, in order, and the numbers that were
    not started because they had been taken back.
    """

    def __init__(self, starts: Starts, hand_over: Callable[[list[Any], list[int]], None]) -> None:
        self._starts = starts
        self._hand_over = hand_over
        self._inbox: SimpleQueue[Sequence[Job] | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop of ``async def`` tasks; lives as long as the process, so pools of connections can be shared."""
        self._number = 0
        """What is being lived through."""
        self._inside = 0
        """The number whose function is being called, else 0; the thread that serves alone sets it."""
        self._overdue = 0
        """The number whose soft limit is over; ``interrupt`` alone sets it."""
        self._serving: threading.Thread | None = None

    def put(self, jobs: Sequence[Job]) -> None:
        """Queue some deliveries behind those that wait."""
        self._inbox.put(jobs)

    def stop(self) -> None:
        """Let ``serve`` return when everything before this is done."""
        self._inbox.put(None)

    def interrupt(self, number: int) -> None:
        """Raise ``SoftTimeLimitExceeded`` in the function of ``number``, if that is what is being called.

        Works where ``serve`` has the process's main thread: it takes a signal to end a call that blocks.
        """
        self._overdue = number
        serving = self._serving
        if serving is threading.main_thread() and serving.ident is not None and self._inside == number:
            signal.pthread_kill(serving.ident, signal.SIGUSR1)

    async def call(self, task: Runnable, message: Message) -> Any:
        """Call the user's function: the one place that does."""
        self._inside = self._number
        try:
            if not task.is_async:
                return task.run(*message.args, **message.kwargs)
            if self._loop is None:
                import asyncio  # a runner of plain functions does without its memory

                self._loop = asyncio.new_event_loop()
            return self._loop.run_until_complete(task.run(*message.args, **message.kwargs))
        finally:
            self._inside = 0

    def serve(self) -> None:
        """Run what comes, until ``stop``."""
        self._serving = threading.current_thread()
        if self._serving is threading.main_thread() and hasattr(signal, "SIGUSR1"):
            signal.signal(signal.SIGUSR1, self._raise_soft_limit)
        outbox = Outbox(self._hand_over)
        while (jobs := self._inbox.get()) is not None:
            for number, life in jobs:
                if not self._starts.start(number):
                    outbox.add_void(number)
                    continue
                self._number = number
                report = drive(life())
                self._starts.finish(number)
                outbox.add(report)
            if self._inbox.empty():
                outbox.flush()
        outbox.close()
        self._close_loop()

    def _raise_soft_limit(self, signum: int, frame: object) -> None:
        """The signal's handler: it may come late, and must then raise nothing."""
        if self._inside and self._inside == self._overdue:
            self._overdue = 0
            raise SoftTimeLimitExceeded("the task ran beyond its soft time limit")

    def _close_loop(self) -> None:
        if self._loop is not None:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
