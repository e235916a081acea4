"""Dead letters as messages of their own: the original inside, with where it was, why it died, and when."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from umbel.brokers.amqp.topology import LEVELS
from umbel.errors import DecodeError
from umbel.model import Delivery, Envelope
from umbel.ports import DeadLetter
from umbel.stores.amqp.channel import Arrival
from umbel.wire.amqp import id_and_priority, pack_properties, read_properties

_NUMBER, _QUEUE, _PRIORITY, _REASON, _DIED, _HEAD = (
    "umbel_dead_number",
    "umbel_dead_queue",
    "umbel_dead_priority",
    "umbel_dead_reason",
    "umbel_dead_died",
    "umbel_dead_head",
)
"""The headers of a dead letter; ``_HEAD`` is the head of the message, byte for byte."""

_LONGEST = 2**32 - 1
"""Milliseconds that the server can wait before it forgets a message."""


def obituary(delivery: Delivery, reason: str, expires: float | None, now: float) -> Envelope:
    """The dead letter of a delivery. ``expires`` is in seconds, None for never; ``now`` a unix time."""
    envelope = delivery.envelope
    headers: dict[str, Any] = {
        _NUMBER: _number(envelope, now),
        _QUEUE: delivery.queue,
        _PRIORITY: delivery.priority,
        _REASON: reason,
        _DIED: now,
        _HEAD: envelope.head,
    }
    properties = {"headers": headers, "delivery_mode": 2, "correlation_id": envelope.id[:255] or None}
    if expires is not None:
        properties["expiration"] = str(min(int(expires * 1000), _LONGEST))
    head = pack_properties({name: value for name, value in properties.items() if value is not None})
    return Envelope("amqp", envelope.id, head, envelope.body)


def _number(envelope: Envelope, now: float) -> int:
    """Rises with time; two of the same microsecond differ by their ids."""
    return int(now * 1e6) << 12 | int.from_bytes(blake2b(envelope.id.encode(), digest_size=2).digest()) >> 4


def exhumed(arrival: Arrival) -> DeadLetter:
    """The dead letter in a message. One that nobody buried came down the ladder of delays and found its queue gone."""
    try:
        headers = read_properties(arrival.head).get("headers", {})
    except DecodeError:
        headers = {}
    number, inner = headers.get(_NUMBER), headers.get(_HEAD)
    if type(number) is not int or not isinstance(inner, bytes):
        return _stray(arrival)
    texts = [value if isinstance(value := headers.get(name), str) else "" for name in (_QUEUE, _REASON)]
    numbers = [value if isinstance(value := headers.get(name), int | float) else 0 for name in (_PRIORITY, _DIED)]
    envelope = Envelope("amqp", id_and_priority(inner)[0], inner, arrival.body)
    return DeadLetter(number, envelope, texts[0], int(numbers[0]), texts[1], float(numbers[1]))


def _stray(arrival: Arrival) -> DeadLetter:
    queue = arrival.key.split(".", LEVELS)[-1]
    number = int.from_bytes(blake2b(arrival.head + arrival.body, digest_size=7).digest())
    id, priority = id_and_priority(arrival.head)
    envelope = Envelope("amqp", id, arrival.head, arrival.body)
    return DeadLetter(number, envelope, queue, priority, f"when it was due, its queue {queue!r} was gone", 0.0)
