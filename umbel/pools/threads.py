"""Runs deliveries beside each other, each in a thread of its own, their coroutines on one loop."""

from __future__ import annotations

import contextvars
import ctypes
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from queue import SimpleQueue
from typing import Any

from umbel.attempt import Ended, drive
from umbel.errors import SoftTimeLimitExceeded
from umbel.middleware import Runnable
from umbel.model import Message
from umbel.pools.interruptible import Interruptible
from umbel.pools.loop import LoopThread
from umbel.pools.outbox import Outbox
from umbel.pools.pool import Flag, HandOver, Job, Starts, ThreadFlag
from umbel.pools.soft_signal import TEXT

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc


class Place:
    """A thread's place in the pool: what it runs, and the way to interrupt that."""

    def __init__(self) -> None:
        self.number = 0
        """What is being lived through."""
        self.coroutine: Interruptible | None = None
        self._thread: int | None = None
        """The thread that is inside the user's function."""
        self._guard = threading.Lock()

    @property
    def inside(self) -> bool:
        """Whether a plain function is being called here."""
        return self._thread is not None

    def enter(self) -> None:
        """This thread is about to call the user's function."""
        with self._guard:
            self._thread = threading.get_ident()

    def leave(self) -> None:
        """The function has ended. An exception that was meant for it and comes too late is swallowed here."""
        while True:
            try:
                with self._guard:
                    if self._thread is not None:
                        _raise_in_thread(ctypes.c_ulong(self._thread), None)
                    self._thread = None
                return
            except SoftTimeLimitExceeded:
                continue

    def interrupt(self, number: int) -> None:
        """From another thread: raise ``SoftTimeLimitExceeded`` in the function, if it is that of ``number``.

        The interpreter does so between two of its steps: a call that blocks has to return first.
        """
        with self._guard:
            if self._thread is not None and self.number == number:
                _raise_in_thread(ctypes.c_ulong(self._thread), ctypes.py_object(SoftTimeLimitExceeded))


class Threads:
    """As many deliveries at a time as there are slots; a ``Pool``."""

    turn = None

    def __init__(self, starts: Starts, hand_over: HandOver, slots: int) -> None:
        self._starts = starts
        self._inbox: SimpleQueue[Sequence[Job] | None] = SimpleQueue()
        self._next_ones: deque[Job] = deque()
        """The rest of the batch that was taken last; whoever has the turn owns it."""
        self._turn = threading.Lock()
        """Held to take a delivery and start it, so that they are started in order."""
        self._places = [Place() for _ in range(slots)]
        self._mine = threading.local()
        self._outbox = Outbox(hand_over)
        self._loop = LoopThread()

    def put(self, jobs: Sequence[Job]) -> None:
        """Queue some deliveries behind those that wait."""
        self._inbox.put(jobs)

    def stop(self) -> None:
        """Let ``serve`` return when everything before this is done."""
        self._inbox.put(None)

    def interrupt(self, number: int) -> None:
        """Raise ``SoftTimeLimitExceeded`` in the function of ``number``."""
        for place in self._places:
            if place.number == number:
                coroutine = place.coroutine
                if coroutine is not None:
                    self._loop.soon(coroutine.interrupt, SoftTimeLimitExceeded(TEXT))
                place.interrupt(number)

    def cancel(self, number: int, ended: Ended, refuse: Callable[[], None]) -> None:
        """Cancel its coroutine; a plain function in a thread cannot be ended."""
        for place in self._places:
            if place.number == number:
                coroutine = place.coroutine
                if coroutine is not None:
                    self._loop.soon(coroutine.end, ended)
                elif place.inside:
                    refuse()

    def flag(self) -> Flag:
        """A flag that blocks the thread."""
        return ThreadFlag()

    async def call(self, task: Runnable, message: Message) -> Any:
        """Call the user's function: the one place that does."""
        place: Place = self._mine.place
        if task.is_async:
            place.coroutine = Interruptible(task.run(*message.args, **message.kwargs))
            try:
                return self._loop.run(place.coroutine)
            finally:
                place.coroutine = None
        place.enter()
        try:
            return task.run(*message.args, **message.kwargs)
        except SoftTimeLimitExceeded as error:
            error.args = error.args or (TEXT,)
            raise
        finally:
            place.leave()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run it to its end on the loop."""
        return self._loop.run(coroutine)

    def serve(self) -> None:
        """Run what comes, until ``stop``."""
        threads = [
            threading.Thread(target=self._work, args=(slot,), name=f"umbel-slot-{slot + 1}", daemon=True)
            for slot in range(len(self._places))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._outbox.close()

    def close(self) -> None:
        """End the loop, if there is one."""
        self._loop.close()

    def _work(self, slot: int) -> None:
        place = self._mine.place = self._places[slot]
        while (job := self._take(slot)) is not None:
            place.number, life = job
            report = contextvars.copy_context().run(drive, life())
            place.number = 0
            self._starts.finish(slot)
            self._outbox.add(report)
            if not self._next_ones and self._inbox.empty():
                self._outbox.flush()

    def _take(self, slot: int) -> Job | None:
        """The next one, started in this slot; None at the end."""
        with self._turn:
            while True:
                while self._next_ones:
                    number, life = self._next_ones.popleft()
                    if self._starts.start(number, slot):
                        return number, life
                    self._outbox.add_void(number)
                if self._inbox.empty():
                    self._outbox.flush()
                jobs = self._inbox.get()
                if jobs is None:
                    self._inbox.put(None)  # for the next thread
                    return None
                self._next_ones.extend(jobs)
