"""The layout in which a message travels over AMQP: its properties as the content header has them, the body as it is."""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from umbel.errors import DecodeError, EncodeError
from umbel.model import Envelope
from umbel.wire.amqp_fields import read_short_string, read_table, short_string, table
from umbel.wire.bounds import MAX_HEAD
from umbel.wire.envelope import Letter
from umbel.wire.marks import RESENT, STARTS
from umbel.wire.names import FOREIGN_HEADERS

_FLAGS = struct.Struct(">H")
_TIME = struct.Struct(">Q")

_SHORT, _TABLE, _OCTET, _STAMP = range(4)

_LAYOUT: tuple[tuple[str, int, int], ...] = (
    ("content_type", 0x8000, _SHORT),
    ("content_encoding", 0x4000, _SHORT),
    ("headers", 0x2000, _TABLE),
    ("delivery_mode", 0x1000, _OCTET),
    ("priority", 0x0800, _OCTET),
    ("correlation_id", 0x0400, _SHORT),
    ("reply_to", 0x0200, _SHORT),
    ("expiration", 0x0100, _SHORT),
    ("message_id", 0x0080, _SHORT),
    ("timestamp", 0x0040, _STAMP),
    ("type", 0x0020, _SHORT),
    ("user_id", 0x0010, _SHORT),
    ("app_id", 0x0008, _SHORT),
    ("cluster_id", 0x0004, _SHORT),
)
"""The properties of class basic, in the order in which they follow the flags that say which are there."""

PROPERTIES = frozenset(name for name, _, _ in _LAYOUT) - {"content_type", "content_encoding", "headers"}
"""What a message's properties may be called; AMQP has no room for another."""


def pack_properties(values: Mapping[str, Any]) -> bytes:
    """Flags and values; raises ``EncodeError`` that names a property which AMQP does not have or cannot hold."""
    flags = 0
    parts = [b""]
    known = 0
    for name, flag, kind in _LAYOUT:
        value = values.get(name)
        if value is None:
            known += name in values
            continue
        known += 1
        flags |= flag
        try:
            if kind == _SHORT:
                parts.append(short_string(value))
            elif kind == _TABLE:
                parts.append(table(value))
            else:
                parts.append(bytes((value,)) if kind == _OCTET else _TIME.pack(int(value.timestamp())))
        except (AttributeError, TypeError, ValueError, struct.error):
            raise EncodeError(f"properties.{name}: {value!r:.80} is nothing that AMQP can hold there") from None
    if known != len(values):
        strange = ", ".join(sorted(set(values) - {name for name, _, _ in _LAYOUT}))
        raise EncodeError(f"properties: AMQP has no property called {strange}")
    parts[0] = _FLAGS.pack(flags)
    return b"".join(parts)


@functools.lru_cache(maxsize=256)
def _present(flags: int) -> tuple[tuple[str, int], ...]:
    """Which properties these flags say are there."""
    return tuple((name, kind) for name, flag, kind in _LAYOUT if flags & flag)


def read_properties(head: bytes) -> dict[str, Any]:
    """The properties that are there, by name; raises ``DecodeError``."""
    if len(head) < 2:
        raise DecodeError("properties", "are cut off")
    (flags,) = _FLAGS.unpack_from(head)
    at = 2
    found: dict[str, Any] = {}
    for name, kind in _present(flags):
        if kind == _SHORT:
            found[name], at = read_short_string(head, at, name)
        elif kind == _TABLE:
            found[name], at = read_table(head, at, name)
        else:
            found[name], at = _number(head, at, name, kind)
    if at != len(head) or flags & 3:
        raise DecodeError("properties", "have more than AMQP's")
    return found


def _number(head: bytes, at: int, name: str, kind: int) -> tuple[Any, int]:
    size = 1 if kind == _OCTET else 8
    if at + size > len(head):
        raise DecodeError(name, "is cut off")
    if kind == _OCTET:
        return head[at], at + 1
    try:
        return datetime.fromtimestamp(_TIME.unpack_from(head, at)[0], UTC), at + 8
    except (ValueError, OverflowError, OSError):
        raise DecodeError(name, "is a time beyond the calendar") from None


def id_and_priority(head: bytes) -> tuple[str, int]:
    """The correlation id, which is the task's id, and the priority; "" and 0 where there is none or the head is broken.

    No table is read for it.
    """
    try:
        flags = head[0] << 8 | head[1]
        at = 2
        if flags & 0x8000:
            at += 1 + head[at]
        if flags & 0x4000:
            at += 1 + head[at]
        if flags & 0x2000:
            at += 4 + int.from_bytes(head[at : at + 4])
        if flags & 0x1000:
            at += 1
        priority = 0
        if flags & 0x0800:
            priority = head[at]
            at += 1
        if not flags & 0x0400:
            return "", priority
        return head[at + 1 : at + 1 + head[at]].decode("utf-8", "replace"), priority
    except IndexError:
        return "", 0


def with_priority(head: bytes, priority: int) -> bytes:
    """The head with this priority, and all else as it was; raises ``DecodeError`` for one that is broken."""
    if id_and_priority(head)[1] == priority:  # none is 0
        return head
    return pack_properties({**read_properties(head), "priority": priority})


def pack(
    id: str,
    headers: Mapping[str, Any],
    properties: Mapping[str, Any],
    body: bytes,
    content_type: str,
    content_encoding: str,
) -> Envelope:
    """See ``wire.envelope.pack``."""
    head = pack_properties(
        {"content_type": content_type, "content_encoding": content_encoding, "headers": headers, **properties}
    )
    if len(head) > MAX_HEAD:
        raise EncodeError(f"headers: with the properties they have {len(head)} bytes, at most {MAX_HEAD} can be sent")
    return Envelope("amqp", id, head, body)


def unpack(envelope: Envelope) -> Letter:
    """See ``wire.envelope.unpack``."""
    if len(envelope.head) > MAX_HEAD:
        raise DecodeError("head", f"has {len(envelope.head)} bytes, at most {MAX_HEAD} are read")
    properties = read_properties(envelope.head)
    headers = properties.pop("headers", {})
    content_type = properties.pop("content_type", None)
    if content_type is None:
        raise DecodeError("content-type", "missing")
    return Letter(headers, properties, envelope.body, content_type, properties.pop("content_encoding", "utf-8"))


_COUNT = "x-delivery-count"
_DEATHS = ("x-death", "x-first-death-", "x-last-death-")


def with_headers(head: bytes, headers: Mapping[str, Any]) -> bytes:
    """The head with more headers, and all else as it was; raises ``DecodeError`` for one that is broken."""
    properties = read_properties(head)
    return pack_properties({**properties, "headers": {**properties.get("headers", {}), **headers}})


def without_deaths(head: bytes) -> bytes:
    """The head without what RabbitMQ adds when a message expires on its way; raises ``DecodeError`` for a bad one."""
    if b"x-death" not in head:
        return head
    properties = read_properties(head)
    headers = {name: value for name, value in properties.get("headers", {}).items() if not name.startswith(_DEATHS)}
    properties.pop("headers", None)
    return pack_properties({**properties, "headers": headers} if headers else properties)


def resent(head: bytes) -> bytes:
    """The head, marked as that of a message which may have been sent before."""
    return with_headers(head, {RESENT: True})


_ADDED = FOREIGN_HEADERS | {RESENT, STARTS}
"""Headers that a message may get on its way, from the server or from whoever puts a copy in its place."""


def is_copy(head: bytes, other: bytes) -> bool:
    """Whether both heads say the same, but for what was added on the way; raises ``DecodeError`` for a broken one."""
    return head == other or _essence(head) == _essence(other)


def _essence(head: bytes) -> dict[str, Any]:
    properties = read_properties(head)
    headers = properties.get("headers", {})
    return {**properties, "headers": {name: value for name, value in headers.items() if name not in _ADDED}}


def starts_of(head: bytes) -> int:
    """How many starts of the message ended without a verdict, as it says itself; 0 for one that is broken."""
    if STARTS.encode() not in head:
        return 0
    try:
        starts = read_properties(head).get("headers", {}).get(STARTS)
    except DecodeError:
        return 0
    return starts if type(starts) is int and starts > 0 else 0


def given_back(head: bytes) -> int:
    """How often the server has counted that the message came back; 0 where it does not count."""
    if _COUNT.encode() not in head:
        return 0
    try:
        count = read_properties(head).get("headers", {}).get(_COUNT)
    except DecodeError:
        return 0
    return count if type(count) is int else 0


def uncounted(head: bytes) -> bytes:
    """The head of a copy that takes the place of the message: the server counts anew. Raises ``DecodeError``."""
    properties = read_properties(head)
    headers = {name: value for name, value in properties.get("headers", {}).items() if name != _COUNT}
    return pack_properties({**properties, "headers": {**headers, RESENT: True}})
