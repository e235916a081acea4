"""Passes what callers in many threads and loops send to the loop of the broker, and tells each how it went."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from umbel.bridge import Bridge
from umbel.errors import StoreError, TimeoutError, UmbelError
from umbel.model import Envelope, Route
from umbel.offer import Offer
from umbel.ports import Broker, Replies, ResultBackend
from umbel.shortcuts import Posts, SendsDirectly

T = TypeVar("T")
Pairs = Sequence[tuple[Route, Envelope]]


class Mailbox(Generic[T]):
    """Values for a loop's thread, from any other: however many come at once, the loop is woken once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[T], None]) -> None:
        self._loop = loop
        self._take = take
        self._values: deque[T] = deque()
        self._woken = False

    def put(self, value: T) -> None:
        """Have ``take(value)`` called; raises ``RuntimeError`` when the loop is closed."""
        self._values.append(value)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        self._woken = False  # first: what comes from now on wakes again
        with contextlib.suppress(IndexError):
            while True:
                self._take(self._values.popleft())


class _Letter:
    """What one caller sends; ``done`` is called on the broker's loop, once, after ``error`` is set."""

    __slots__ = ("abandoned", "done", "error", "pairs", "withdraw")

    def __init__(self, pairs: Pairs, done: Callable[[], None]) -> None:
        self.pairs = pairs
        self.done = done
        self.error: BaseException | None = None
        self.abandoned = False
        self.withdraw: Callable[[], None] | None = None

    def ended(self, error: BaseException | None) -> None:
        """It went so."""
        self.error = error
        if not self.abandoned:
            self.done()

    def abandon(self) -> None:
        """Nobody waits any more; on the broker's loop."""
        self.abandoned = True
        if self.withdraw is not None:
            self.withdraw()


class Post:
    """The way of one process to one broker, over ``bridge``; where results come back, they are listened for first."""

    def __init__(self, bridge: Bridge, broker: Broker, backend: ResultBackend | None) -> None:
        assert isinstance(broker, Posts)
        self.bridge = bridge
        self.broker = broker
        self._posts: Posts = broker
        self._backend = backend
        self._replies = backend if isinstance(backend, Replies) else None
        self._direct: SendsDirectly | None = None
        if isinstance(broker, SendsDirectly) and self._replies is None:
            self._direct = broker
        self._mailbox: Mailbox[_Letter] = Mailbox(bridge.loop, self._take)
        self._late: Mailbox[_Letter] = Mailbox(bridge.loop, _Letter.abandon)
        self._answers: WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox[asyncio.Future[None]]] = WeakKeyDictionary()
        self._opening: set[asyncio.Task[None]] = set()

    def send(self, pairs: Pairs, timeout: float) -> None:
        """As ``Broker.publish``, for any thread but the bridge's own.

        Raises ``umbel.TimeoutError`` when the broker has not confirmed within ``timeout`` seconds; what is not on its
        way by then is not sent.
        """
        if asyncio._get_running_loop() is self.bridge.loop:
            raise UmbelError("a plain call from umbel's own background loop would wait for itself: await it instead")
        left = timeout
        if self._direct is not None and (loop := self.bridge.passable(self.broker)) is not None:
            began = monotonic()
            pairs = self._direct.send_directly(loop, pairs, timeout)
            if not pairs:
                return
            left = max(0.0, timeout - (monotonic() - began))
        waiting = threading.Lock()
        waiting.acquire()
        letter = _Letter(pairs, waiting.release)
        self._mailbox.put(letter)
        told = False
        try:
            told = waiting.acquire(timeout=left)
        finally:
            if not told:
                self._abandon(letter)
        if not told:
            raise TimeoutError(f"no answer within {timeout} s")
        if letter.error is not None:
            raise letter.error

    async def asend(self, pairs: Pairs, timeout: float) -> None:
        """As ``send``, from a coroutine, whose loop goes on."""
        loop = asyncio.get_running_loop()
        answers = self._answers.get(loop)
        if answers is None:
            answers = self._answers[loop] = Mailbox(loop, _wake)
        future: asyncio.Future[None] = loop.create_future()
        put = answers.put

        def done() -> None:
            with contextlib.suppress(RuntimeError):  # the caller's loop is closed, and the caller gone
                put(future)

        letter = _Letter(pairs, done)
        self._mailbox.put(letter)
        late = loop.call_later(timeout, _expire, future, timeout)
        try:
            await future
        except BaseException:
            self._abandon(letter)
            raise
        finally:
            late.cancel()
        if letter.error is not None:
            raise letter.error

    async def asend_until(self, pairs: Pairs, timeout: float, offer: Offer) -> None:
        """``asend``, again and again while ``offer`` allows it, which raises ``PublishError`` in the end."""
        while True:
            try:
                return await self.asend(pairs, timeout)
            except (StoreError, TimeoutError) as error:
                await asyncio.sleep(offer.pause_after(error))

    def _abandon(self, letter: _Letter) -> None:
        letter.abandoned = True
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing is sent any more
            self._late.put(letter)

    # -- on the bridge's loop -------------------------------------------------------------------------------------

    def _take(self, letter: _Letter) -> None:
        if letter.abandoned:
            return
        replies = self._replies
        if self.bridge.inside(self.broker) and (replies is None or replies.listening):
            self._hand_on(letter)
            return
        task = self.bridge.loop.create_task(self._open_for(letter))
        letter.withdraw = partial(_cancel, task)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open_for(self, letter: _Letter) -> None:
        try:
            await self.bridge.entered(self.broker)
            if self._backend is not None and self._replies is not None:
                await self.bridge.entered(self._backend)
                await self._replies.listen()
        except Exception as error:  # noqa: BLE001  whoever waits gets it
            letter.ended(error)
        else:
            self._hand_on(letter)

    def _hand_on(self, letter: _Letter) -> None:
        try:
            letter.withdraw = self._posts.post(letter.pairs, letter.ended)
        except Exception as error:  # noqa: BLE001  whoever waits gets it, and nobody else
            letter.ended(error)


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _expire(future: asyncio.Future[None], timeout: float) -> None:
    if not future.done():
        future.set_exception(TimeoutError(f"no answer within {timeout} s"))
