"""Runs an app's tasks in the test that sent them: in memory, by a clock that the test turns."""

from __future__ import annotations

import asyncio
import math
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Literal, Self

from umbel import current
from umbel.app import Umbel
from umbel.dead import DeadTask
from umbel.errors import ConfigurationError, TimeoutError, UmbelError
from umbel.model import Delivery
from umbel.publisher import on_a_loop
from umbel.stores.memory import MemoryStore, name_of
from umbel.testing.borrowing import borrowed, fresh_url
from umbel.testing.history import Ran, Waiting, read
from umbel.testing.one_by_one import AFTER, BEFORE, OneByOne
from umbel.testing.virtual_clock import VirtualClock

LIMIT = 10_000
"""Tasks that one drain runs, unless it is told otherwise."""


def running(app: Umbel, *, now: datetime | None = None, **settings: Any) -> Rehearsal:
    """A block in which the tasks of ``app`` are sent to memory and run by the test itself::

        with running(app) as t:
            result = add.options(countdown=7200).delay(2, 2)
            t.advance(hours=2)
            t.drain()
            assert result.get() == 4

    Messages make the whole way: serializer, signatures, a worker's decisions, settlement, result. Time stands still
    unless the block turns it; it begins at ``now``, an aware datetime, or at the present. ``settings`` are the app's
    for the length of the block. Afterwards it has the broker, the results, the clock and the settings that it had.

    A result store that is switched off stays so: what finds no result in production finds none here. ``get()`` and
    ``await`` run what is due until their result is there.

    Entering raises ``ConfigurationError`` where the app is in such a block already, ``UnknownOption`` and
    ``ConfigurationError`` for settings. ``async with`` works the same.
    """
    if now is not None and now.tzinfo is None:
        raise ConfigurationError(f"running(now={now!r}) needs a time zone: datetime(…, tzinfo=UTC)")
    return Rehearsal(app, now, settings)


class Rehearsal:
    """What ``running`` gives. Its methods may be called from any thread; one task runs at a time."""

    def __init__(self, app: Umbel, now: datetime | None, settings: dict[str, Any]) -> None:
        self._app = app
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clock = VirtualClock((now or datetime.fromtimestamp(app.clock.now(), UTC)).timestamp())
        self._stack = ExitStack()
        self._lock = threading.Lock()
        """Held while a task runs."""
        self._ran: list[Ran] = []
        self._worker: OneByOne | None = None
        self._store: MemoryStore | None = None

    def __repr__(self) -> str:
        return f"<running {self._app!r} at {self.now:%Y-%m-%d %H:%M:%S}>"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            url = fresh_url()
            stack.enter_context(borrowed(self._app, "running(app)", url, self._settings, self._clock))
            self._store = MemoryStore.named(name_of(url), self._app.conf)
            self._store.use_clock(self._clock)
            self._worker = OneByOne(self._app, self._store, self._loop)
            stack.enter_context(self._worker.living())
            stack.callback(setattr, self._app, "rehearsal", None)
            self._app.rehearsal = self
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        unused = self._working.crash
        self._stack.close()
        self._worker = self._store = None
        if unused and error is None:
            raise UmbelError("crash_worker() was called, and no task was run after it: nothing was tested by it")

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    # -- time -----------------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The time in this block, in the app's zone."""
        return datetime.fromtimestamp(self._clock.now(), self._app.timezone)

    def advance(
        self,
        by: timedelta | float = 0.0,
        *,
        days: float = 0.0,
        hours: float = 0.0,
        minutes: float = 0.0,
        seconds: float = 0.0,
    ) -> datetime:
        """Turn the clock, ``by`` a timedelta or seconds and by what the words say; gives the new time.

        Nothing is run: it is as if no worker had been there meanwhile. Raises ``ConfigurationError`` for a time that
        would go back.
        """
        total = by if isinstance(by, timedelta) else timedelta(seconds=by)
        total += timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if total < timedelta():
            raise ConfigurationError(f"advance() turns the clock forwards, not by {total}")
        self._clock.turn(total.total_seconds())
        self._keeping.ring()
        return self.now

    # -- running --------------------------------------------------------------------------------------------------

    def step(self) -> Ran | None:
        """Run the one task that is next, and give how it ended; None when nothing is due."""
        self._refuse("step")
        with self._turn():
            return self._note(self._working.run_next())

    async def astep(self) -> Ran | None:
        """As ``step``, on the running loop; a plain function runs in a thread, as in a worker no loop is beside it."""
        self._refuse("astep")
        async with self._aturn():
            return self._note(await self._working.arun_next())

    def drain(self, *, wait: bool = False, limit: int = LIMIT) -> int:
        """Run everything that is due, with what it sends, in this thread until nothing is; gives how many were run.

        With ``wait`` the clock is turned to whatever comes due next, again and again, until nothing waits at all.
        That a task fails raises nothing: ask its result. Raises ``UmbelError`` when more than ``limit`` were run, with
        the name of the task that was run most.
        """
        return self._drain(lambda: False, wait, limit)

    async def adrain(self, *, wait: bool = False, limit: int = LIMIT) -> int:
        """As ``drain``, on the running loop; see ``astep``."""
        return await self._adrain(lambda: False, wait, limit)

    def until_done(self, task_ids: Sequence[str]) -> None:
        """Run what is due, in this thread, until one of these has ended: ``get()`` calls it.

        Raises ``TimeoutError`` where nothing that is due ends one of them, and says why.
        """
        self._drain(lambda: self._ended(task_ids), False, LIMIT)
        self._check_ended(task_ids)

    async def auntil_done(self, task_ids: Sequence[str]) -> None:
        """As ``until_done``, on the running loop: ``await result`` calls it."""
        await self._adrain(lambda: self._ended(task_ids), False, LIMIT)
        self._check_ended(task_ids)

    def crash_worker(self, when: Literal["before", "after"] = "after") -> None:
        """Let the worker die with the next delivery, or with that of the task that runs now, as by kill -9.

        ``after``: its function has run, what it sent and wrote stands, and nothing was settled. ``before``: it was
        handed out and not started. The message is then delivered again, unless the task is settled early
        (``acks_late=False``). The next worker is there at once.

        Raises ``ConfigurationError`` for another word. A block in which nothing ran after it ends in ``UmbelError``.
        """
        if when not in (BEFORE, AFTER):
            raise ConfigurationError(f"crash_worker(when={when!r}): the worker dies 'before' a task or 'after' it")
        self._working.crash = when

    # -- looking --------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> list[Waiting]:
        """What waits, in the order in which it comes due."""
        zone, now = self._app.timezone, self._clock.now()
        waiting = []
        for item in self._keeping.waiting():
            due = item.due if item.due is not None and item.due > now else None
            waiting.append(
                Waiting(
                    **read(self._app, Delivery(item.envelope, item.queue, None)),
                    priority=item.priority,
                    due=None if due is None else datetime.fromtimestamp(due, zone),
                )
            )
        return waiting

    @property
    def results(self) -> list[Ran]:
        """Every delivery that was run, in order, with the state in which it ended."""
        return list(self._ran)

    @property
    def dead(self) -> Sequence[DeadTask]:
        """The dead letters; ``app.dead`` can show and replay them."""
        return self._app.dead.list(limit=None)

    # -- inside ---------------------------------------------------------------------------------------------------

    @property
    def _working(self) -> OneByOne:
        if self._worker is None:
            raise UmbelError("running(app) is over, or was not entered: with running(app) as t: …")
        return self._worker

    @property
    def _keeping(self) -> MemoryStore:
        if self._store is None:
            raise UmbelError("running(app) is over, or was not entered: with running(app) as t: …")
        return self._store

    def _refuse(self, method: str) -> None:
        attempt = current.request.get()
        if attempt is not None and attempt.id is not None:
            raise UmbelError(f"{method}() inside the task {attempt.task}: the test runs tasks, a task does not")
        asynchronous = method.startswith("a")
        if not asynchronous and on_a_loop():
            raise UmbelError(f"{method}() on a running event loop would stop the loop: await t.a{method}()")

    def _drain(self, done: Callable[[], bool], wait: bool, limit: int) -> int:
        self._refuse("drain")
        ran: Counter[str] = Counter()
        while not done():
            with self._turn():
                end = self._note(self._working.run_next())
            if end is None:
                if not (wait and self._turn_to_next()):
                    break
                continue
            ran[end.task or "?"] += 1
            if ran.total() >= limit:
                self._stop_if_endless(ran, end, wait)
        return ran.total()

    async def _adrain(self, done: Callable[[], bool], wait: bool, limit: int) -> int:
        self._refuse("adrain")
        ran: Counter[str] = Counter()
        while not done():
            async with self._aturn():
                end = self._note(await self._working.arun_next())
            if end is None:
                if not (wait and self._turn_to_next()):
                    break
                continue
            ran[end.task or "?"] += 1
            if ran.total() >= limit:
                self._stop_if_endless(ran, end, wait)
        return ran.total()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._lock:
            yield

    @asynccontextmanager
    async def _aturn(self) -> AsyncIterator[None]:
        while not self._lock.acquire(blocking=False):  # noqa: ASYNC110  it is a lock between threads, not of a loop
            await asyncio.sleep(0.001)
        try:
            yield
        finally:
            self._lock.release()

    def _note(self, end: Ran | None) -> Ran | None:
        if end is not None:
            self._ran.append(end)
        return end

    def _stop_if_endless(self, ran: Counter[str], end: Ran, wait: bool) -> None:
        left = [waiting for waiting in self.pending if wait or waiting.due is None]
        if not left:
            return
        name, times = ran.most_common(1)[0]
        raise UmbelError(
            f"{ran.total()} tasks were run and {len(left)} more wait: {name} ran {times} times, and the last was "
            f"{end.task}[{end.id}], which ended as {end.state}; does it retry, or send itself, without end? "
            "If it does not, allow more with limit="
        )

    def _turn_to_next(self) -> bool:
        """Turn the clock to what comes due next; False when nothing does."""
        due = self._keeping.next_due(each.name for each in self._keeping.queues())
        if due is None:
            return False
        self.advance(max(0.0, due - self._clock.now()))
        return True

    def _ended(self, task_ids: Sequence[str]) -> bool:
        return any(record.final for record in self._keeping.load(task_ids).values())

    def _check_ended(self, task_ids: Sequence[str]) -> None:
        if not self._ended(task_ids):
            raise TimeoutError("; ".join(self._why_not(task_id) for task_id in task_ids[:3]))

    def _why_not(self, task_id: str) -> str:
        for waiting in self.pending:
            if waiting.id == task_id and waiting.due is not None:
                seconds = math.ceil(waiting.due.timestamp() - self._clock.now())
                when = f"is due in {seconds} s, and time stands still: t.advance(seconds={seconds})"
                return f"{waiting.task}[{task_id}] {when}"
        for letter in self.dead:
            if letter.id == task_id:
                return f"{letter.task}[{task_id}] is a dead letter and will have no result: {letter.reason}"
        for end in reversed(self._ran):
            if end.id == task_id:
                return f"{end.task}[{task_id}] ended as {end.state} and has no result"
        return f"{task_id} was not sent inside this block, so nothing here will end it"
