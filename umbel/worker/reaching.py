"""Asks a server again and again, as a worker does that was started before it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from umbel.errors import StoreUnreachable

T = TypeVar("T")

logger = logging.getLogger("umbel.worker")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0


async def insist(ask: Callable[[], Awaitable[T]], retries: int | None) -> T:
    """What ``ask`` gives, asked again after a growing pause while the server cannot be reached.

    Raises ``StoreUnreachable`` after so many ``retries`` (None: never), and everything else at once.
    """
    pause, tries = _FIRST_PAUSE, 0
    while True:
        try:
            return await ask()
        except StoreUnreachable as error:
            tries += 1
            if retries is not None and tries > retries:
                raise
            logger.error("The broker cannot be reached, tried again in %.1f s: %s", pause, error)
        await asyncio.sleep(pause)
        pause = min(_LONGEST_PAUSE, 2 * pause)
