"""Waits for something to come into empty lists of a Redis server, without taking it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from umbel.errors import StoreError, StoreUnreachable
from umbel.stores.redis.link import PATIENCE, Way

MOST = 16
"""Lists of one node that are waited for; more of them are looked at again and again."""

_BLOCKS = 5
"""Seconds for which the server waits before it says that nothing has come."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.25
_PAUSE = 0.5


class Ears:
    """One connection a list, on which the server blocks a move of the list's end onto its own place.

    With ``polls`` there are none. ``ring()`` is called whenever there may be something. ``listen`` is asked for while
    lists were found empty: a move that is under way when messages are claimed again takes nothing, and ends with the
    next one.
    """

    def __init__(self, link: Way, lists: Sequence[str], ring: Callable[[], None], *, polls: bool) -> None:
        self._link = link
        self._lists = lists
        self._ring = ring
        self._ears: dict[str, asyncio.Task[None]] = {}
        self._wanted: dict[str, asyncio.Event] = {}
        self._polls = polls
        self._pause = _FIRST_PAUSE

    def listen(self) -> float | None:
        """Have the server say when something comes; gives after how many seconds to look all the same, None: never."""
        if self._polls:
            self._pause = min(_LONGEST_PAUSE, 2 * self._pause)
            return self._pause
        for name in self._lists:
            if name not in self._ears:
                self._wanted[name] = asyncio.Event()
                self._ears[name] = asyncio.create_task(self._hear(name, self._wanted[name]))
            self._wanted[name].set()
        return None

    def found(self) -> None:
        """Something was there."""
        self._pause = _FIRST_PAUSE

    async def close(self) -> None:
        """Listen no more."""
        ears = list(self._ears.values())
        for ear in ears:
            ear.cancel()
        await asyncio.gather(*ears, return_exceptions=True)
        self._ears.clear()

    async def _hear(self, name: str, wanted: asyncio.Event) -> None:
        link = self._link.another(_BLOCKS + PATIENCE)
        try:
            while True:
                await wanted.wait()
                try:
                    came = await link.ask("BLMOVE", name, name, "RIGHT", "RIGHT", _BLOCKS)
                except StoreUnreachable:
                    await asyncio.sleep(_PAUSE)
                    self._ring()
                    continue
                except StoreError:  # a server that does not know how, or does not allow it; who claims tells the rest
                    self._polls = True
                    self._ring()
                    return
                if came is not None:
                    wanted.clear()
                    self._ring()
        finally:
            with contextlib.suppress(StoreError):
                await link.close()
