"""Time limits of what is running: one timer a node for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

Over = Callable[[int, int], None]

_Key = tuple[int, int]


class Limits:
    """Calls ``on_soft(runner, number)`` and ``on_hard(runner, number)`` when a delivery has run for too long.

    Only what runs is remembered. The node's loop owns it; times are the loop's own, so a change of the clock on the
    wall moves nothing.
    """

    def __init__(self, on_soft: Over, on_hard: Over) -> None:
        self._on_soft = on_soft
        self._on_hard = on_hard
        self._soft: dict[_Key, float] = {}
        self._hard: dict[_Key, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.any = False
        """Whether anything that runs has a limit."""

    def watch(self, runner: int, number: int, soft: float | None, hard: float | None) -> None:
        """Delivery ``number`` of ``runner`` starts now; the limits are in seconds."""
        now = asyncio.get_running_loop().time()
        if soft is not None:
            self._soft[runner, number] = now + soft
        if hard is not None:
            self._hard[runner, number] = now + hard
        self.any = True
        self._arm()

    def ended(self, runner: int, number: int) -> None:
        """It has ended, one way or the other."""
        self._soft.pop((runner, number), None)
        self._hard.pop((runner, number), None)
        self.any = bool(self._soft or self._hard)

    def close(self) -> None:
        """Forget all of them."""
        self._soft.clear()
        self._hard.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        due = min((*self._soft.values(), *self._hard.values()), default=None)
        if due is None or (self._timer is not None and self._timer.when() <= due):
            return  # a timer that rings too early looks again
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for limits, tell in ((self._soft, self._on_soft), (self._hard, self._on_hard)):
            for key in [key for key, due in limits.items() if due <= now]:
                del limits[key]
                tell(*key)
        self._arm()
