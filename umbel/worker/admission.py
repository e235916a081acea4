"""Whether a message that arrived may run now."""

from __future__ import annotations

from umbel.model import Message, Outcome, Postponed, Revoked

EARLY = 0.001
"""Seconds by which two clocks' rounding may differ before a message counts as too early."""


def admit(message: Message, now: float) -> Outcome | None:
    """None to run it; ``Revoked`` when it has expired, ``Postponed`` when its time has not come. ``now``: unix time."""
    if message.expires is not None and message.expires.timestamp() <= now:
        return Revoked("expired", expired=True)
    if message.eta is not None:
        due = message.eta.timestamp()
        if due - now > EARLY:
            return Postponed(due)
    return None
