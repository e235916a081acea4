"""Says what a store that knows queues by their names alone leaves out of a queue's declaration."""

from __future__ import annotations

import logging

from umbel.model import Queue

logger = logging.getLogger("umbel.stores")


def declared(queue: Queue) -> None:
    """Log a warning for arguments: they are for another broker, and nothing here follows them."""
    if queue.arguments:
        logger.warning(
            "queue %s: its arguments (%s) mean nothing to this broker", queue.name, ", ".join(sorted(queue.arguments))
        )
