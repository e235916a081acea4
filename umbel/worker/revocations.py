"""What was revoked, as far as this node knows: all that stands in the store, and what is added."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

from umbel.clock import Clock
from umbel.ports import Mark, Marks
from umbel.revoking import PREFIX


class Order(NamedTuple):
    """Do not run this task; ``terminate``: stop it, too, if it runs. ``expires`` is a unix time in seconds."""

    terminate: bool
    expires: float | None


class Revocations:
    """The orders by task id. The node's loop owns it; an order is forgotten when its mark has expired."""

    def __init__(self, marks: Marks, clock: Clock, on_order: Callable[[str, Order], None]) -> None:
        self._marks = marks
        self._clock = clock
        self._on_order = on_order
        self.orders: dict[str, Order] = {}
        """What is known now, by task id; for others to read."""

    async def run(self, ready: Callable[[], None]) -> None:
        """The service; ``ready()`` is called once everything that stood in the store is known."""
        async for marks in self._marks.watch_marks(PREFIX):
            self._prune()
            for mark in marks:
                self._learn(mark)
            ready()

    def _learn(self, mark: Mark) -> None:
        task_id = mark.key.removeprefix(PREFIX)
        order = Order(bool(json.loads(mark.value).get("terminate")), mark.expires)
        self.orders[task_id] = order
        self._on_order(task_id, order)

    def _prune(self) -> None:
        now = self._clock.now()
        over = [key for key, order in self.orders.items() if order.expires is not None and order.expires <= now]
        for task_id in over:
            del self.orders[task_id]
