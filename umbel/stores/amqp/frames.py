"""The three frames that a message costs, made and read by hand; every other method is left to pamqp."""

from __future__ import annotations

import struct
from collections.abc import Sequence

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
KINDS = frozenset({METHOD, HEADER, BODY, HEARTBEAT})
END = 0xCE

HEAD = struct.Struct(">BHI")
"""Of every frame: type, channel, size."""

_START = struct.Struct(">BHIHH")
_ACK = struct.Struct(">BHIHHQBB")
_CONTENT = struct.Struct(">BHIHHQ")
_DELIVER = struct.Struct(">QB")

BASIC = 60
PUBLISH, RETURN, DELIVER, ACK, REJECT, NACK = 40, 50, 60, 80, 90, 120

DELIVER_START = struct.pack(">HH", BASIC, DELIVER)
ACK_START = struct.pack(">HH", BASIC, ACK)
NACK_START = struct.pack(">HH", BASIC, NACK)
RETURN_START = struct.pack(">HH", BASIC, RETURN)

HEARTBEAT_FRAME = HEAD.pack(HEARTBEAT, 0, 0) + bytes((END,))


def start_of_publish(channel: int, exchange: str, key: str, *, mandatory: bool = True) -> bytes:
    """The method frame of a publish, the same for all messages that go there."""
    where, what = exchange.encode(), key.encode()
    size = 4 + 2 + 1 + len(where) + 1 + len(what) + 1
    return b"".join(
        (
            _START.pack(METHOD, channel, size, BASIC, PUBLISH),
            b"\0\0",
            bytes((len(where),)),
            where,
            bytes((len(what),)),
            what,
            bytes((mandatory, END)),
        )
    )


def content(channel: int, head: bytes, body: bytes, most: int) -> list[bytes]:
    """The frames that follow a publish: the properties, then the body in pieces of at most ``most`` bytes."""
    size = len(body)
    parts = [_CONTENT.pack(HEADER, channel, 12 + len(head), BASIC, 0, size), head]
    if 0 < size <= most:
        parts += (b"\xce", HEAD.pack(BODY, channel, size), body, b"\xce")
        return parts
    parts.append(b"\xce")
    for at in range(0, size, most):
        piece = body[at : at + most]
        parts += (HEAD.pack(BODY, channel, len(piece)), piece, b"\xce")
    return parts


def ack(channel: int, tag: int, multiple: bool) -> bytes:
    """The broker may forget this delivery, or all up to it."""
    return _ACK.pack(METHOD, channel, 13, BASIC, ACK, tag, multiple, END)


def reject(channel: int, tag: int, requeue: bool) -> bytes:
    """The broker gets this delivery back, or drops it as its queue says."""
    return _ACK.pack(METHOD, channel, 13, BASIC, REJECT, tag, requeue, END)


def acks(channel: int, tags: Sequence[int], outstanding: Sequence[int]) -> bytes:
    """Frames that settle ``tags``, ascending: the run that begins the ascending ``outstanding`` ones in one frame."""
    run = 0
    for tag, oldest in zip(tags, outstanding, strict=False):
        if tag != oldest:
            break
        run += 1
    parts = [ack(channel, tags[run - 1], run > 1)] if run else []
    parts += [ack(channel, tag, False) for tag in tags[run:]]
    return b"".join(parts)


def read_whole(data: bytes, at: int, most: int) -> tuple[bytes, bytes, bytes, int] | None:
    """A delivery whose frames all stand at ``at``: the method's payload, the properties, the body, where they end.

    None for anything else, to be read frame by frame: one that is broken, that is not all there, that has more than
    ``most`` bytes, or whose body comes in several frames or in none.
    """
    began = at
    try:
        _, channel, length = HEAD.unpack_from(data, at)
        start, at = at + 7, at + 7 + length
        method = data[start:at]
        kind, same, length, _, _, size = _CONTENT.unpack_from(data, at + 1)
        if data[at] != END or kind != HEADER or same != channel:
            return None
        start, at = at + 20, at + 8 + length
        head = data[start:at]
        if data[at] != END or HEAD.unpack_from(data, at + 1) != (BODY, channel, size):
            return None
        start, at = at + 8, at + 8 + size
        if data[at] != END or at - began > most:
            return None
        return method, head, data[start:at], at + 1
    except (struct.error, IndexError):
        return None


def read_deliver(payload: bytes) -> tuple[str, int, bool, str, str]:
    """Consumer tag, delivery tag, redelivered, exchange, routing key of a Basic.Deliver."""
    at = 5 + payload[4]
    consumer = payload[5:at].decode()
    tag, redelivered = _DELIVER.unpack_from(payload, at)
    at += 9
    end = at + 1 + payload[at]
    exchange = payload[at + 1 : end].decode("utf-8", "replace")
    key = payload[end + 1 : end + 1 + payload[end]].decode("utf-8", "replace")
    return consumer, tag, bool(redelivered), exchange, key


def read_confirm(payload: bytes) -> tuple[int, bool]:
    """Delivery tag and ``multiple`` of a Basic.Ack or Basic.Nack."""
    return int.from_bytes(payload[4:12]), bool(payload[12] & 1)


def read_return(payload: bytes) -> tuple[int, str, str, str]:
    """Code, text, exchange, routing key of a Basic.Return."""
    code = int.from_bytes(payload[4:6])
    texts = []
    at = 6
    for _ in range(3):
        end = at + 1 + payload[at]
        texts.append(payload[at + 1 : end].decode("utf-8", "replace"))
        at = end
    return code, texts[0], texts[1], texts[2]
