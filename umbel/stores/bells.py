"""Wakes a coroutine from any thread."""

from __future__ import annotations

import asyncio


class LoopBell:
    """A bell beside one coroutine; made on its loop, rung from everywhere.

    Look at what you wait for after making it and after every ``wait``: a ring in between is never lost.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._rung = False

    def ring(self) -> None:
        """Wake the coroutine; costs next to nothing when it was rung already. A loop that is closed hears nothing."""
        if self._rung:
            return
        self._rung = True
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    async def wait(self, seconds: float | None = None) -> None:
        """Return after the next ring, or after that time."""
        timer = None if seconds is None else self._loop.call_later(max(seconds, 0.0), self._event.set)
        try:
            await self._event.wait()
        finally:
            if timer is not None:
                timer.cancel()
        self._event.clear()
        self._rung = False
