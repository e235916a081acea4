"""Runs deliveries one by one in the main thread, where signals work and debuggers are at home."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Coroutine, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from umbel.attempt import Ended, drive
from umbel.middleware import Runnable
from umbel.model import Message
from umbel.pools.outbox import Outbox
from umbel.pools.pool import Flag, HandOver, Job, Starts, ThreadFlag
from umbel.pools.soft_signal import SoftSignal

if TYPE_CHECKING:
    from umbel.pools.loop import LoopHere


class MainThread:
    """One delivery at a time; a ``Pool``. Its loop runs while a coroutine does."""

    turn = None

    def __init__(self, starts: Starts, hand_over: HandOver) -> None:
        self._starts = starts
        self._hand_over = hand_over
        self._inbox: SimpleQueue[Sequence[Job] | None] = SimpleQueue()
        self._loop: LoopHere | None = None
        """The loop of ``async def`` tasks; lives as long as the process, so pools of connections can be shared."""
        self._number = 0
        """What is being lived through."""
        self._soft = SoftSignal()

    def put(self, jobs: Sequence[Job]) -> None:
        """Queue some deliveries behind those that wait."""
        self._inbox.put(jobs)

    def stop(self) -> None:
        """Let ``serve`` return when everything before this is done."""
        self._inbox.put(None)

    def interrupt(self, number: int) -> None:
        """Raise ``SoftTimeLimitExceeded`` in the function of ``number``, if that is what is being called."""
        self._soft.interrupt(number)

    def cancel(self, number: int, ended: Ended, refuse: Callable[[], None]) -> None:
        """Its process, which runs nothing else, can be killed with it."""
        refuse()

    def flag(self) -> Flag:
        """A flag that blocks the thread."""
        return ThreadFlag()

    async def call(self, task: Runnable, message: Message) -> Any:
        """Call the user's function: the one place that does."""
        self._soft.inside = self._number
        try:
            if not task.is_async:
                return task.run(*message.args, **message.kwargs)
            return self.run(task.run(*message.args, **message.kwargs))
        finally:
            self._soft.inside = 0

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run it to its end on the loop."""
        if self._loop is None:
            from umbel.pools.loop import LoopHere  # a runner of plain functions does without its memory

            self._loop = self._soft.loop = LoopHere()
        return self._loop.run(coroutine)

    def serve(self) -> None:
        """Run what comes, until ``stop``."""
        self._soft.install()
        outbox = Outbox(self._hand_over)
        clean = contextvars.copy_context()
        while (jobs := self._inbox.get()) is not None:
            for number, life in jobs:
                if not self._starts.start(number):
                    outbox.add_void(number)
                    continue
                self._number = number
                report = clean.copy().run(drive, life())
                self._starts.finish()
                outbox.add(report)
            if self._inbox.empty():
                outbox.flush()
        outbox.close()

    def close(self) -> None:
        """End the loop, if there is one."""
        if self._loop is not None:
            self._loop.close()
