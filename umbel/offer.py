"""How often and how long a message is offered to a broker that may not take it."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import Any

from umbel.errors import PublishError, StoreFull
from umbel.retry import PublishRetry

_WORTH_A_RETRY = (StoreFull,)
"""Errors that say for sure that nothing was kept, and that time may mend: after any other, a message that is offered
again might run twice."""


class Offer:
    """One message, or some, on the way to the broker, until ``latest`` on the monotonic clock."""

    __slots__ = ("_latest", "_message", "_pauses", "_retry")

    def __init__(self, message: Any, retry: PublishRetry, latest: float) -> None:
        self._message = message
        self._retry = retry
        self._pauses: Iterator[float] | None = None
        self._latest = latest

    def pause_after(self, error: Exception) -> float:
        """The seconds to wait before the next try; raises ``PublishError`` when there is none."""
        if self._pauses is None:
            self._pauses = self._retry.pauses()
        pause = next(self._pauses, None) if isinstance(error, _WORTH_A_RETRY) else None
        if pause is None or monotonic() + pause > self._latest:
            raise PublishError(f"the broker did not take the message: {error}", self._message) from error
        return pause
