"""Runs deliveries beside each other on one loop in a thread of its own, plain functions in turns in the main thread."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from queue import SimpleQueue
from typing import Any, NamedTuple

from umbel.attempt import Ended
from umbel.errors import SoftTimeLimitExceeded
from umbel.middleware import Runnable
from umbel.model import Message
from umbel.pools.interruptible import Interruptible
from umbel.pools.loop import LoopFlag, LoopThread
from umbel.pools.outbox import Outbox
from umbel.pools.pool import Flag, HandOver, Job, Starts
from umbel.pools.soft_signal import TEXT, SoftSignal


class Place:
    """Where one delivery runs. The loop's thread owns it."""

    __slots__ = ("coroutine", "ended", "has_turn", "number", "slot", "task", "waiting")

    def __init__(self, number: int, slot: int) -> None:
        self.number = number
        self.slot = slot
        self.coroutine: Interruptible | None = None
        self.has_turn = False
        self.task: asyncio.Task[None] | None = None
        """Kept here, for the loop itself would let it be collected."""
        self.waiting = False
        """Whether it waits for its turn in the main thread."""
        self.ended: Ended | None = None


class PlainCall(NamedTuple):
    """A plain function for the main thread to call."""

    number: int
    context: contextvars.Context
    task: Runnable
    message: Message
    answer: asyncio.Future[tuple[Any, BaseException | None]]


_place: contextvars.ContextVar[Place] = contextvars.ContextVar("umbel_place")


class Coroutines:
    """As many deliveries at a time as there are slots; a ``Pool``."""

    def __init__(self, starts: Starts, hand_over: HandOver, slots: int) -> None:
        self._starts = starts
        self._free = list(range(slots))
        self._jobs: deque[Job] = deque()
        self._places: dict[int, Place] = {}
        """What runs, by number. The loop's thread owns this and the free slots."""
        self._main_thread = asyncio.Lock()
        """Held by the delivery whose plain function has its turn."""
        self._calls: SimpleQueue[PlainCall | None] = SimpleQueue()
        self._stopping = False
        self._soft = SoftSignal()
        self._outbox = Outbox(hand_over)
        self._loop = LoopThread()

    def put(self, jobs: Sequence[Job]) -> None:
        """Queue some deliveries behind those that wait."""
        self._jobs.extend(jobs)
        self._loop.soon(self._start)

    def stop(self) -> None:
        """Let ``serve`` return when everything before this is done."""
        self._stopping = True
        self._loop.soon(self._start)

    def interrupt(self, number: int) -> None:
        """Raise ``SoftTimeLimitExceeded`` in the coroutine or the function of ``number``."""
        self._soft.interrupt(number)
        self._loop.soon(self._interrupt, number)

    def cancel(self, number: int, ended: Ended, refuse: Callable[[], None]) -> None:
        """Cancel its coroutine, or let it wait no longer for its turn; a function that runs cannot be ended."""
        self._loop.soon(self._cancel, number, ended, refuse)

    def flag(self) -> Flag:
        """A flag to await."""
        return LoopFlag()

    async def turn(self, number: int) -> None:
        """Return when the main thread is free for the plain function of ``number``; its start counts from then on."""
        place = _place.get()
        self._starts.finish(place.slot)
        place.waiting = True
        try:
            await self._main_thread.acquire()
        except asyncio.CancelledError:
            if place.ended is None:
                raise
            raise place.ended from None
        finally:
            place.waiting = False
        place.has_turn = True
        self._starts.resume(number, place.slot)

    async def call(self, task: Runnable, message: Message) -> Any:
        """Call the user's function: the one place that does."""
        place = _place.get()
        if not task.is_async:
            answer = asyncio.get_running_loop().create_future()
            self._calls.put(PlainCall(place.number, contextvars.copy_context(), task, message, answer))
            value, error = await answer
            if error is not None:
                raise error
            return value
        place.coroutine = Interruptible(task.run(*message.args, **message.kwargs))
        try:
            return await place.coroutine
        finally:
            place.coroutine = None

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run it to its end on the loop."""
        return self._loop.run(coroutine)

    def serve(self) -> None:
        """Run what comes, until ``stop``; the calling thread calls the plain functions."""
        self._soft.install()
        while (call := self._calls.get()) is not None:
            value = error = None
            self._soft.inside = call.number
            try:
                value = call.context.run(call.task.run, *call.message.args, **call.message.kwargs)
            except BaseException as raised:  # noqa: BLE001  the delivery's life raises it
                error = raised
            finally:
                self._soft.inside = 0
            self._loop.soon(call.answer.set_result, (value, error))
        self._outbox.close()

    def close(self) -> None:
        """End the loop."""
        self._loop.close()

    # -- in the loop's thread -------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Start what waits in the slots that are free."""
        loop = asyncio.get_running_loop()
        taken_back = False
        while self._jobs and self._free:
            number, life = self._jobs.popleft()
            slot = self._free.pop()
            if not self._starts.start(number, slot):
                self._free.append(slot)
                self._outbox.add_void(number)
                taken_back = True
                continue
            place = self._places[number] = Place(number, slot)
            place.task = loop.create_task(self._live(place, life), context=contextvars.Context())
        if taken_back or not self._places:
            self._outbox.flush()
        if self._stopping and not self._jobs and not self._places:
            self._calls.put(None)

    async def _live(self, place: Place, life: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        _place.set(place)
        report = await life()
        if place.has_turn:
            self._main_thread.release()
        self._starts.finish(place.slot)
        self._outbox.add(report)
        del self._places[place.number]
        self._free.append(place.slot)
        self._start()

    def _interrupt(self, number: int) -> None:
        place = self._places.get(number)
        if place is not None and place.coroutine is not None:
            place.coroutine.interrupt(SoftTimeLimitExceeded(TEXT))

    def _cancel(self, number: int, ended: Ended, refuse: Callable[[], None]) -> None:
        place = self._places.get(number)
        if place is None:
            return
        if place.coroutine is not None:
            place.coroutine.end(ended)
        elif place.waiting and place.task is not None:
            place.ended = ended
            place.task.cancel()
        elif self._soft.inside == number:
            refuse()
