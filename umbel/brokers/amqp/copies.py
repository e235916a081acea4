"""What is sent in the place of a message that was handed out: copies of it, and its dead letter."""

from __future__ import annotations

from umbel.brokers.amqp.burial import obituary
from umbel.brokers.amqp.topology import DEAD
from umbel.model import Delivery, Envelope, Route, Verdict
from umbel.wire.amqp import given_back, starts_of, uncounted, with_headers
from umbel.wire.marks import STARTS

OFTEN = 10
"""So often handed out, a message is replaced by a copy: a server may drop it after twenty times."""

BACK = ("requeue", "return")
"""Verdicts after which somebody gets it again."""


def known_starts(delivery: Delivery) -> int:
    """How many starts of it ended without a verdict: what it says itself, else one of what was handed out before."""
    return starts_of(delivery.envelope.head) or int(delivery.redelivered)


def worn(delivery: Delivery) -> bool:
    """Whether the server has counted so many deliveries of it that a fresh copy should take its place."""
    return given_back(delivery.envelope.head) >= OFTEN


def fresh(delivery: Delivery, starts: int = 0) -> Envelope:
    """A copy of which the server counts anew; ``starts`` is written on it. Raises ``DecodeError`` for a broken head."""
    head = uncounted(delivery.envelope.head)
    return delivery.envelope._replace(head=with_headers(head, {STARTS: starts}) if starts else head)


def in_place_of(
    delivery: Delivery, verdict: Verdict, copied: bool, burials: float | None, now: float
) -> tuple[Route, Envelope] | None:
    """What has to be sent before a message with this verdict is let go; None for one that is only let go, or back.

    ``copied`` says that the server holds a copy which counts the start that has ended: what is given back does not.
    """
    kind = verdict.kind
    if kind == "later":
        return Route(delivery.queue, delivery.priority or None, verdict.due), delivery.envelope
    if kind == "dead":
        return Route(DEAD), obituary(delivery, verdict.reason or "", burials, now)
    if kind in BACK and (copied or worn(delivery)):
        return home(delivery), fresh(delivery, known_starts(delivery) if copied else 0)
    return None


def home(delivery: Delivery) -> Route:
    """Back to where it came from."""
    return Route(delivery.queue, delivery.priority or None)
