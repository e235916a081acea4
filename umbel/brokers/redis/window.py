"""How much may be claimed: a bound that consumers of one node share, each in its turn."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from umbel.brokers.redis.claims import Claims


class Window:
    """``size`` messages at most are unsettled at a time, over all whose claims ``join``. Belongs to a loop."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._turns: dict[Claims, int] = {}
        """When each has claimed last."""
        self._numbers = itertools.count(1)
        self._asked = 0
        """How many are being claimed."""
        self._waiting: dict[Claims, asyncio.Event] = {}
        """Who was refused, and is to be woken."""

    def join(self, claims: Claims) -> None:
        """These count."""
        self._turns[claims] = 0

    def leave(self, claims: Claims) -> None:
        """Who had these claims nothing more; what is not settled of them still counts."""
        self._turns[claims] = next(self._numbers)
        self._waiting.pop(claims, None)
        self.stir()

    def room(self, claims: Claims, wake: asyncio.Event) -> int:
        """How many whoever has ``claims`` may claim now; if none, ``wake`` is set when that may be otherwise."""
        room = self.size - sum(map(len, self._turns)) - self._asked
        mine = self._turns[claims]
        if room > 0 and all(mine <= self._turns[other] for other in self._waiting):
            self._waiting.pop(claims, None)
            return room
        self._waiting[claims] = wake
        return 0

    @contextmanager
    def asking(self, claims: Claims, count: int) -> Iterator[None]:
        """So many are being claimed; afterwards those that came count."""
        self._turns[claims] = next(self._numbers)
        self._asked += count
        try:
            yield
        finally:
            self._asked -= count
            self.stir()

    def stir(self) -> None:
        """There may be room for those that were refused: whoever has claimed longest ago asks first."""
        for claims in sorted(self._waiting, key=self._turns.__getitem__):
            self._waiting[claims].set()
