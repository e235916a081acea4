"""Puts faults between a program and its broker or result backend: calls that fail before or after they took effect.

Give an app a store that fails one call in ten, and look whether what stands on it keeps its promises::

    faults = Faults(seed=7, rate=0.1)
    inject(app, faults)

or wrap adapters by hand: ``FaultyBroker(broker, faults)``, ``FaultyBackend(backend, faults)``. Whatever the wrapped
adapter offers beyond its port (``Immediate``, ``Marks``, ``DeadLetters``, ``Withdraws``, a consumer's ``Lifelines``,
``KeepsRecords``, ``Follows``, ``Tethered`` and ``CountsStarts``) the wrapper offers too, save ``Posts``: what would be
posted is published.

Three kinds of fault:

- ``before``: the call raises ``StoreError`` and nothing took effect, as with a store that cannot be reached.
- ``after``: the call took effect, durably, and raises ``StoreError`` all the same: the answer was lost.
- ``slow``: the call is late, and so is its answer.

Which calls get which is a matter of what the ports allow. ``publish``, ``publish_now``, ``size``, ``purge``,
``settle``, ``count_start``, ``store``, ``load``, ``forget``, ``queues``, ``withdraw``, the calls about dead letters and
those about marks get all three. ``declare``, ``consume``, ``resize``, ``close`` and each step of an iteration
(deliveries, ``watch``, ``watch_marks``) may only be slow: a consumer outlives its store's refusals by itself. Entering,
leaving, ``lifeline``, ``keeps``, ``on_lost``, ``overdue`` and ``starts_of`` are left alone.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from umbel.app import Umbel
from umbel.errors import ConfigurationError, StoreError, UnknownOption
from umbel.model import Delivery, Envelope, Queue, Route, SealedRecord, Settlement
from umbel.ports import (
    AnswersLate,
    Broker,
    Consumer,
    CountsStarts,
    DeadLetters,
    Follows,
    KeepsRecords,
    Lifelines,
    ListsQueues,
    Marks,
    ResultBackend,
    Tethered,
    Withdraws,
)
from umbel.shortcuts import Immediate

T = TypeVar("T")

BEFORE, AFTER, SLOW = "before", "after", "slow"
KINDS = (BEFORE, AFTER, SLOW)


class Fault(NamedTuple):
    """What happens to one call; ``early`` and ``late`` are the seconds of its delay before and after it is done."""

    kind: str
    early: float = 0.0
    late: float = 0.0


_NONE = Fault("none")


class Faults:
    """Decides by seed which calls fail, and how. Safe to use from all threads, by any number of wrappers.

    ``rate`` is the share of calls that get a fault, 0 to 1; ``kinds`` are those to choose from; a slow call is held up
    for ``pause`` seconds at most. The n-th call of a method has the same fate whatever the other methods and threads do
    meanwhile, so a seed means the same from run to run. ``error`` makes what is raised, a ``StoreError``, from a text.

    ``calls`` counts the calls by method, ``struck`` the faults by method and kind.

    Raises ``ConfigurationError`` for a rate or pause that cannot be meant, ``UnknownOption`` for an unknown kind.
    """

    def __init__(
        self,
        seed: int,
        rate: float,
        kinds: Sequence[str] = KINDS,
        *,
        pause: float = 0.01,
        error: Callable[[str], StoreError] = StoreError,
    ) -> None:
        if not 0 <= rate <= 1:
            raise ConfigurationError(f"Faults: rate is a share of the calls, from 0 to 1, not {rate!r}")
        if not 0 <= pause < float("inf"):
            raise ConfigurationError(f"Faults: pause is a number of seconds from 0, not {pause!r}")
        for kind in kinds:
            if kind not in KINDS:
                raise UnknownOption("Faults: kinds", kind, KINDS)
        self.seed = seed
        self.rate = rate
        self.kinds = tuple(kinds)
        self.pause = pause
        self.calls: Counter[str] = Counter()
        self.struck: Counter[tuple[str, str]] = Counter()
        self._error = error
        self._over = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Faults seed={self.seed} rate={self.rate:g} {dict(self.struck)}>"

    def stop(self) -> None:
        """From now on nothing fails."""
        self._over = True

    def resume(self) -> None:
        """Fail again, after ``stop``."""
        self._over = False

    def next(self, method: str, kinds: Iterable[str] = KINDS) -> Fault:
        """The fate of the next call of ``method``, which may get one of ``kinds``; it counts as made."""
        with self._lock:
            self.calls[method] += 1
            chance = random.Random(f"{self.seed} {method} {self.calls[method]}")
            allowed = [kind for kind in self.kinds if kind in kinds]
            if self._over or not allowed or chance.random() >= self.rate:
                return _NONE
            kind = chance.choice(allowed)
            self.struck[method, kind] += 1
        if kind != SLOW:
            return Fault(kind)
        return Fault(kind, chance.uniform(0, self.pause / 2), chance.uniform(0, self.pause / 2))

    async def call(self, method: str, work: Callable[[], Awaitable[T]], kinds: Iterable[str] = KINDS) -> T:
        """Make a call, or not; raises what its fault says, and what ``work`` raises."""
        fault = self.next(method, kinds)
        self._raise_if(BEFORE, fault, method)
        await _nap(fault.early)
        result = await work()
        await _nap(fault.late)
        self._raise_if(AFTER, fault, method)
        return result

    def call_now(self, method: str, work: Callable[[], T]) -> T:
        """As ``call``, in the calling thread."""
        fault = self.next(method)
        self._raise_if(BEFORE, fault, method)
        time.sleep(fault.early)
        result = work()
        time.sleep(fault.late)
        self._raise_if(AFTER, fault, method)
        return result

    def _raise_if(self, kind: str, fault: Fault, method: str) -> None:
        if fault.kind == kind:
            raise self._error(f"{method} fails by design, {kind} it took effect (seed {self.seed})")


async def _nap(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)


class _HasAdapter(Protocol):
    inner: Any
    faults: Faults


class _Wrapper:
    """What the wrappers of a broker and of a backend share: powers, and everything that is nobody's port."""

    inner: Any
    faults: Faults

    def __getattr__(self, name: str) -> Any:
        if name in ("inner", "faults", *_WITHHELD):
            raise AttributeError(name)
        return getattr(self.inner, name)

    def _lend_powers(self) -> None:
        """Offer the powers that the inner adapter has.

        They are attributes of the instance, so that ``isinstance`` finds those that are there and no other.
        """
        lent: dict[str, Any] = {}
        if isinstance(self.inner, Immediate):
            lent["publish_now"] = _now(self, "publish_now")
            lent["close_now"] = self.inner.close_now
        if isinstance(self.inner, Marks):
            lent |= {name: _failing(self, name) for name in _MARKS}
            lent["watch_marks"] = _slow_steps(self, "watch_marks")
        if isinstance(self.inner, DeadLetters):
            lent |= {name: _failing(self, name) for name in ("dead_letters", "replay", "drop_dead_letters")}
        if isinstance(self.inner, ListsQueues):
            lent["queues"] = _failing(self, "queues")
        if isinstance(self.inner, Withdraws):
            lent["withdraw"] = _failing(self, "withdraw")
        self.__dict__.update(lent)


_WITHHELD = ("post",)
"""What stands for calls that get faults, and would go past them."""

_MARKS = ("get_marks", "put_marks", "put_marks_if_absent", "add_to_marks", "drop_marks")


def _failing(wrapper: _HasAdapter, method: str) -> Callable[..., Awaitable[Any]]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        return await wrapper.faults.call(method, lambda: getattr(wrapper.inner, method)(*args, **kwargs))

    return call


def _now(wrapper: _HasAdapter, method: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return wrapper.faults.call_now(method, lambda: getattr(wrapper.inner, method)(*args, **kwargs))

    return call


def _slow_steps(wrapper: _HasAdapter, method: str) -> Callable[..., AsyncIterator[Any]]:
    async def steps(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        inner = getattr(wrapper.inner, method)(*args, **kwargs)
        try:
            async for step in inner:
                await _nap(wrapper.faults.next(method, (SLOW,)).late)
                yield step
        finally:
            if hasattr(inner, "aclose"):  # a generator lets go of what it holds now, not when it is collected
                await inner.aclose()

    return steps


class FaultyBroker(_Wrapper):
    """``inner`` with faults. Everything is as ``Broker`` says, and as the module says of faults."""

    def __init__(self, inner: Broker, faults: Faults) -> None:
        self.inner = inner
        self.faults = faults
        self.form = inner.form
        self._lend_powers()

    async def __aenter__(self) -> Self:
        await self.inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.inner.__aexit__(kind, error, trace)

    async def declare(self, queue: Queue) -> None:
        await self.faults.call("declare", lambda: self.inner.declare(queue), (SLOW,))

    async def publish(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        await self.faults.call("publish", lambda: self.inner.publish(messages))

    async def consume(self, queues: Sequence[str], prefetch: int) -> FaultyConsumer:
        inner = await self.faults.call("consume", lambda: self.inner.consume(queues, prefetch), (SLOW,))
        return FaultyConsumer(inner, self.faults)

    async def size(self, queue: str) -> int:
        return await self.faults.call("size", lambda: self.inner.size(queue))

    async def purge(self, queue: str) -> int:
        return await self.faults.call("purge", lambda: self.inner.purge(queue))


class FaultyConsumer:
    """``inner`` with faults. An iteration never raises one: it goes on, late."""

    def __init__(self, inner: Consumer, faults: Faults) -> None:
        self.inner = inner
        self.faults = faults
        self._steps: AsyncIterator[list[Delivery]] | None = None
        if isinstance(inner, Lifelines):
            self.lifeline = inner.lifeline
        if isinstance(inner, KeepsRecords):
            self.keeps = self._keeps
        if isinstance(inner, Follows):
            self.send = self._send
        if isinstance(inner, AnswersLate):
            self.heard = inner.heard
        if isinstance(inner, Tethered):
            self.on_lost = inner.on_lost
            self.overdue = inner.overdue
        if isinstance(inner, CountsStarts):
            self.starts_of = inner.starts_of
            self.count_start = self._count_start

    async def _send(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        inner = self.inner
        assert isinstance(inner, Follows)
        await self.faults.call("publish", lambda: inner.send(messages))

    def _keeps(self, backend: ResultBackend) -> bool:
        assert isinstance(self.inner, KeepsRecords)
        return self.inner.keeps(backend.inner if isinstance(backend, FaultyBackend) else backend)

    async def _count_start(self, delivery: Delivery, starts: int) -> None:
        assert isinstance(self.inner, CountsStarts)
        inner = self.inner
        await self.faults.call("count_start", lambda: inner.count_start(delivery, starts))

    def __aiter__(self) -> AsyncIterator[list[Delivery]]:
        return self

    async def __anext__(self) -> list[Delivery]:
        fault = self.faults.next("deliveries", (SLOW,))
        # Before the claim, never after it: whoever is cancelled here must not have a batch in hand.
        await _nap(fault.early + fault.late)
        if self._steps is None:
            self._steps = aiter(self.inner)
        return await anext(self._steps)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        await self.faults.call("settle", lambda: self.inner.settle(settlements))

    async def resize(self, prefetch: int) -> None:
        await self.faults.call("resize", lambda: self.inner.resize(prefetch), (SLOW,))

    async def close(self) -> None:
        await self.faults.call("close", self.inner.close, (SLOW,))


class FaultyBackend(_Wrapper):
    """``inner`` with faults. Everything is as ``ResultBackend`` says, and as the module says of faults."""

    def __init__(self, inner: ResultBackend, faults: Faults) -> None:
        self.inner = inner
        self.faults = faults
        self._lend_powers()

    async def __aenter__(self) -> Self:
        await self.inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.inner.__aexit__(kind, error, trace)

    async def store(self, records: Sequence[SealedRecord]) -> None:
        await self.faults.call("store", lambda: self.inner.store(records))

    async def load(self, ids: Sequence[str]) -> Mapping[str, SealedRecord]:
        return await self.faults.call("load", lambda: self.inner.load(ids))

    def watch(self, ids: Sequence[str]) -> AsyncIterator[SealedRecord]:
        return _slow_steps(self, "watch")(ids)

    async def forget(self, ids: Sequence[str]) -> None:
        await self.faults.call("forget", lambda: self.inner.forget(ids))


def inject(app: Umbel, faults: Faults) -> None:
    """Put ``faults`` between ``app`` and its broker, and its result backend if it has one.

    What the app publishes, asks and, as a worker, consumes from now on goes through them. A consumer or a call that is
    under way keeps what it has.
    """
    app._broker = (app.conf.broker_url, FaultyBroker(app.broker, faults))
    if app.result_url is not None:
        app._backend = (app.result_url, FaultyBackend(app.backend, faults))
    app.publisher._forget()
