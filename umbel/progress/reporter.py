"""How the code of a task says how far it is."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import length_hint
from typing import Any, Generic, NoReturn, TypeVar, cast, overload

from umbel import current
from umbel.errors import TaskCancelled, UserError
from umbel.progress.meter import Meter
from umbel.wire.notes import links_of, text_of

T = TypeVar("T")

BREATHER = 0.05
"""Seconds after which ``async for`` over something plain lets other coroutines have their turn."""


def meter_here() -> Meter | None:
    """That of the attempt under way in this thread or coroutine; None outside a task."""
    attempt = current.request.get()
    if attempt is None or attempt.message is None:
        return None
    meter = attempt.progress
    if meter is None:
        meter = attempt.progress = Meter(attempt, time.monotonic())
        flusher = current.flusher
        if flusher is not None:
            flusher.adopt(meter)
    return cast("Meter", meter)


def _stop_if_asked(meter: Meter) -> None:
    if meter.cancelled:
        raise TaskCancelled("the task was asked to stop")


class Track(Generic[T]):
    """What ``track`` gives: the items of ``iterable``, for ``for`` and ``async for``, counted as they are done."""

    def __init__(
        self, iterable: Iterable[T] | AsyncIterable[T], total: float | None, unit: str | None, message: str | None
    ) -> None:
        self._iterable = iterable
        self._total = total
        self._unit = unit
        self._message = message

    def __iter__(self) -> Iterator[T]:
        meter = meter_here()
        items = cast("Iterable[T]", self._iterable)
        if meter is None:
            yield from items
            return
        inner = self._begin(meter)
        try:
            done = 0
            if inner:
                for item in items:
                    if meter.cancelled:
                        _stop_if_asked(meter)
                    yield item
            else:
                for item in items:
                    if meter.cancelled:
                        _stop_if_asked(meter)
                    yield item
                    done += 1
                    meter.current = done
        finally:
            meter.depth -= 1

    async def __aiter__(self) -> AsyncIterator[T]:
        meter = meter_here()
        if meter is None:
            async for item in self._awaited():
                yield item
            return
        inner = self._begin(meter)
        try:
            done = 0
            async for item in self._awaited():
                if meter.cancelled:
                    _stop_if_asked(meter)
                yield item
                if not inner:
                    done += 1
                    meter.current = done
        finally:
            meter.depth -= 1

    def __len__(self) -> int:
        return len(cast("Any", self._iterable))

    async def _awaited(self) -> AsyncIterator[T]:
        items = self._iterable
        if isinstance(items, AsyncIterable):
            async for item in items:
                yield item
            return
        from asyncio import sleep

        since = time.monotonic()
        for item in items:
            yield item
            if time.monotonic() - since > BREATHER:
                await sleep(0)
                since = time.monotonic()

    def _begin(self, meter: Meter) -> bool:
        """Whether this one is inside another, which does the counting."""
        _stop_if_asked(meter)
        meter.depth += 1
        if meter.depth > 1:
            return True
        total = self._total
        if total is None and not isinstance(self._iterable, AsyncIterable):
            total = length_hint(self._iterable, -1)
        meter.total = None if total is None or total < 0 else total
        meter.current = 0
        if self._unit is not None:
            meter.unit = text_of(self._unit, 40)
        if self._message is not None:
            meter.message = text_of(self._message)
        meter.soon()
        return False


class Reporter:
    """Says how far the running task is. Every call sets fields in memory; what is new is sent at most four times a
    second, the last of it always. Outside a task all of it does nothing.

    Where somebody asked the task to stop, ``track``, ``set``, ``advance``, ``message``, ``stage`` and ``check`` raise
    ``TaskCancelled``.
    """

    def track(
        self,
        iterable: Iterable[T] | AsyncIterable[T],
        total: float | None = None,
        unit: str | None = None,
        message: str | None = None,
    ) -> Track[T]:
        """The items of ``iterable``, for ``for`` and ``async for``; one counts as done when the next is asked for.

        ``total`` is how many there are, by default its length where it has one. Of one ``track`` inside another the
        outer one counts.
        """
        return Track(iterable, total, unit, message)

    def set(
        self,
        current: float | None = None,
        total: float | None = None,
        message: str | None = None,
        *,
        unit: str | None = None,
    ) -> None:
        """So many of so many are done. What is None stays as it is; a ``total`` that turns out too small is dropped."""
        meter = meter_here()
        if meter is None:
            return
        _stop_if_asked(meter)
        if total is not None:
            meter.total = total
        if current is not None:
            meter.current = current
        if unit is not None:
            meter.unit = text_of(unit, 40)
        if message is not None:
            meter.message = text_of(message)
        if not meter.told:
            meter.soon()

    def advance(self, n: float = 1) -> None:
        """So many more are done."""
        meter = meter_here()
        if meter is None:
            return
        _stop_if_asked(meter)
        meter.current = (meter.current or 0) + n
        if not meter.told:
            meter.soon()

    def message(self, text: str) -> None:
        """What the task is doing now, for its end user."""
        self.set(message=text)

    def stages(self, *plan: str | tuple[str, float]) -> None:
        """The stages that are to come, each a label or a label with its weight, so that the whole is known from the
        start. Without it the stages of the last run count, and in the first one only those that have begun."""
        meter = meter_here()
        if meter is not None:
            pairs = [(each, 1.0) if isinstance(each, str) else each for each in plan]
            meter.plan = [(text_of(label, 200), max(0.0, float(weight))) for label, weight in pairs]

    @contextmanager
    def stage(self, label: str, weight: float = 1.0) -> Iterator[None]:
        """A part of the task that takes ``weight`` parts of its time. One inside another shows its label only."""
        meter = meter_here()
        if meter is None:
            yield
            return
        _stop_if_asked(meter)
        label = text_of(label, 200)
        outer = meter.label
        if outer is None:
            meter.enter(label, max(0.0, float(weight)))
        else:
            meter.label = label
            meter.soon()
        yield
        if outer is None:
            meter.leave()
        else:
            meter.label = outer

    def log(self, text: str) -> None:
        """One more line below the bar; the last twenty are kept."""
        meter = meter_here()
        if meter is not None:
            meter.lines.append(text_of(text))
            if not meter.told:
                meter.soon()

    @overload
    def finish(self, message: str, *, links: Iterable[tuple[str, str]] = ...) -> None: ...

    @overload
    def finish(self, message: str, value: T, links: Iterable[tuple[str, str]] = ...) -> T: ...

    def finish(self, message: str, value: Any = None, links: Iterable[tuple[str, str]] = ()) -> Any:
        """What the task came to, for its end user, with links to go on by; gives ``value``, for ``return``.

        Raises ``ValueError`` for a link that is neither http(s) nor a path of the page's own server.
        """
        meter = meter_here()
        found = links_of(links)
        if meter is not None:
            meter.message, meter.links, meter.told = text_of(message), found, True
        return value

    def fail(self, message: str) -> NoReturn:
        """End the task as failed, with a text for its end user: raises ``UserError``."""
        raise UserError(message)

    def check(self) -> None:
        """Raise ``TaskCancelled`` if somebody asked the task to stop, for a task that has nothing to tell."""
        meter = meter_here()
        if meter is not None:
            _stop_if_asked(meter)

    def update(self, meta: Mapping[str, Any]) -> None:
        """What ``update_state(state="PROGRESS", meta=…)`` says."""
        meter = meter_here()
        if meter is None:
            return
        meter.meta = dict(meta)
        for name in ("current", "total"):
            value = meta.get(name)
            if isinstance(value, int | float):
                setattr(meter, name, value)
        for name in ("message", "status", "description"):
            if isinstance(meta.get(name), str):
                meter.message = text_of(meta[name])
                break
        if not meter.told:
            meter.soon()
