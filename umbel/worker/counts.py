"""Where it is kept how often a message was started that a dead worker may have started."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from umbel.clock import Clock
from umbel.model import Delivery
from umbel.ports import CountsStarts, Mark, Marks

PREFIX = "starts:"
"""A mark of this name and a task id counts the starts of a redelivered message."""

KEPT = 7 * 86400.0
"""Seconds for which a mark is kept if its task never comes to an end."""


class Counts(Protocol):
    """What is known of suspects. Of each one start is presumed, so that the least is 1."""

    async def known(self, deliveries: Sequence[Delivery]) -> Mapping[str, int]:
        """How many starts of these ended without a verdict, by task id. Raises ``StoreError``."""
        ...

    async def starting(self, starts: Sequence[tuple[Delivery, int]]) -> None:
        """These are about to start, so many starts being known of each. It is durable when this returns; once more with
        the same numbers, it changes nothing. Raises ``StoreError``."""
        ...

    async def forgive(self, known: Mapping[str, int]) -> None:
        """The last starts of these do not count. Raises ``StoreError``."""
        ...

    async def forget(self, task_ids: Sequence[str]) -> None:
        """These have come to their verdict. Raises ``StoreError``."""
        ...


class MarkedCounts:
    """Counts in a store, for all who share it."""

    def __init__(self, marks: Marks, clock: Clock) -> None:
        self._marks = marks
        self._clock = clock

    async def known(self, deliveries: Sequence[Delivery]) -> Mapping[str, int]:
        ids = [each.envelope.id for each in deliveries]
        counted = await self._marks.get_marks([PREFIX + id for id in ids])
        return {id: 1 + int(counted.get(PREFIX + id, 0)) for id in ids}

    async def starting(self, starts: Sequence[tuple[Delivery, int]]) -> None:
        await self._put((delivery.envelope.id, known) for delivery, known in starts)

    async def forgive(self, known: Mapping[str, int]) -> None:
        await self._put((task_id, count - 1) for task_id, count in known.items())

    async def _put(self, counts: Iterable[tuple[str, int]]) -> None:
        expires = self._clock.now() + KEPT
        await self._marks.put_marks([Mark(PREFIX + task_id, str(count), expires) for task_id, count in counts])

    async def forget(self, task_ids: Sequence[str]) -> None:
        await self._marks.drop_marks([PREFIX + task_id for task_id in task_ids])


class WrittenCounts:
    """Counts on the messages themselves, where no store is shared."""

    def __init__(self, consumer: CountsStarts) -> None:
        self._consumer = consumer

    async def known(self, deliveries: Sequence[Delivery]) -> Mapping[str, int]:
        return {each.envelope.id: max(1, self._consumer.starts_of(each)) for each in deliveries}

    async def starting(self, starts: Sequence[tuple[Delivery, int]]) -> None:
        for delivery, known in starts:
            await self._consumer.count_start(delivery, known + 1)

    async def forgive(self, known: Mapping[str, int]) -> None:
        """A message that is given back says what it said before."""

    async def forget(self, task_ids: Sequence[str]) -> None:
        """What was written is gone with the message."""
