"""Says at the start of a worker what its servers are not set up for."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from umbel.errors import StoreError
from umbel.ports import Admits

logger = logging.getLogger("umbel.worker")


async def warn_of_shortcomings(adapters: Iterable[object]) -> None:
    """One warning for each promise that a server's settings give up, whichever of the adapters says so."""
    said: dict[str, None] = {}
    for adapter in adapters:
        if isinstance(adapter, Admits):
            try:
                said |= dict.fromkeys(await adapter.shortcomings())
            except StoreError as error:  # it is only asked
                logger.debug("The server does not tell how it is set up: %s", error)
    for sentence in said:
        logger.warning("%s", sentence)
