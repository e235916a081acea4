"""What was revoked, as far as this node knows: all that stands in the store, and what is added."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from umbel.clock import Clock
from umbel.ports import Mark, Marks
from umbel.revoking import KEPT, PREFIX, mark_for, marks_for

MOST = 100_000
"""Orders that a node remembers by itself; the oldest go first."""


class Order(NamedTuple):
    """Do not run this task; ``terminate``: stop it, too, if it runs; ``cancel``: ask it to stop by itself if it does.
    ``expires`` is a unix time in seconds."""

    terminate: bool
    expires: float | None
    cancel: bool = False

    def says_more(self, other: Order) -> bool:
        """Whether it asks for something that ``other`` does not."""
        return (self.terminate and not other.terminate) or (self.cancel and not (other.cancel or other.terminate))


class Revocations:
    """The orders by task id. The node's loop owns it; an order is forgotten when its mark has expired.

    ``own`` says that the marks are this machine's alone: then they are bounded, and peers are to be asked for theirs.
    """

    def __init__(
        self, marks: Marks, clock: Clock, on_order: Callable[[str, Order], None], *, own: bool = False
    ) -> None:
        self._marks = marks
        self._clock = clock
        self._on_order = on_order
        self.own = own
        self.orders: dict[str, Order] = {}
        """What is known now, by task id; for others to read."""

    async def run(self, ready: Callable[[], None]) -> None:
        """The service; ``ready()`` is called once everything that stood in the store is known."""
        async for marks in self._marks.watch_marks(PREFIX):
            self._prune()
            for mark in marks:
                self._learn(mark)
            if self.own and len(self.orders) > MOST:
                await self._forget_oldest()
            ready()

    async def remember(self, ids: Iterable[str], terminate: bool, cancel: bool = False) -> None:
        """Put marks for those that have none that says as much; durable when it returns. Raises ``StoreError``."""
        known = await self._marks.get_marks([PREFIX + task_id for task_id in ids])
        order = Order(terminate, None, cancel)
        new = [
            task_id
            for task_id in ids
            if (value := known.get(PREFIX + task_id)) is None or order.says_more(_order(value, None))
        ]
        await self._put(marks_for(new, terminate, self._clock.now(), cancel=cancel))

    async def learn(self, told: Mapping[str, float]) -> None:
        """Put marks for what a peer knows and this node does not: task ids, and when each is to be forgotten."""
        latest = self._clock.now() + KEPT
        known = await self._marks.get_marks([PREFIX + task_id for task_id in told])
        fresh = [
            mark_for(task_id, False, min(expires, latest))
            for task_id, expires in told.items()
            if PREFIX + task_id not in known
        ]
        await self._put(fresh)

    async def _put(self, marks: list[Mark]) -> None:
        if marks:
            await self._marks.put_marks(marks)
        for mark in marks:
            self._learn(mark)

    async def _forget_oldest(self) -> None:
        surplus = list(self.orders)[: len(self.orders) - MOST]
        for task_id in surplus:
            del self.orders[task_id]
        await self._marks.drop_marks([PREFIX + task_id for task_id in surplus])

    def _learn(self, mark: Mark) -> None:
        task_id = mark.key.removeprefix(PREFIX)
        order = _order(mark.value, mark.expires)
        before = self.orders.get(task_id)
        self.orders[task_id] = order
        if before is None or order.says_more(before):  # else it was carried out
            self._on_order(task_id, order)

    def _prune(self) -> None:
        now = self._clock.now()
        over = [key for key, order in self.orders.items() if order.expires is not None and order.expires <= now]
        for task_id in over:
            del self.orders[task_id]


def _order(value: str, expires: float | None) -> Order:
    said = json.loads(value)
    return Order(bool(said.get("terminate")), expires, bool(said.get("cancel")))
