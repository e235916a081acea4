"""What crosses the socket between a node and a runner: frames of a kind and a payload."""

from __future__ import annotations

import marshal
import struct
from collections.abc import Iterator
from typing import Any

from umbel.model import Delivery, Envelope, Route, SealedRecord, Verdict
from umbel.tracking import Note
from umbel.worker.settler import Report

_LENGTH = struct.Struct("<Q")

Frame = tuple[str, Any]


def pack(kind: str, payload: Any = None) -> bytes:
    """A frame as bytes.

    ``payload`` holds exact built-in types only: both ends are the same interpreter, so ``marshal``, the fastest
    writer there is, does for them, and it takes no subclasses.
    """
    data = marshal.dumps((kind, payload))
    return _LENGTH.pack(len(data)) + data


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add ``data``; give every frame that is complete."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, at)
            end = at + _LENGTH.size + length
            if end > len(buffer):
                break
            with memoryview(buffer) as view:
                frame: Frame = marshal.loads(view[at + _LENGTH.size : end])
            yield frame
            at = end
        del buffer[:at]


def flat_delivery(delivery: Delivery) -> tuple[Any, ...]:
    """A delivery without what only its consumer understands."""
    return tuple(delivery.envelope), delivery.queue, delivery.redelivered, delivery.priority


def whole_delivery(flat: tuple[Any, ...]) -> Delivery:
    """The other way round; ``receipt`` is None, for a runner never settles."""
    envelope, queue, redelivered, priority = flat
    return Delivery(Envelope(*envelope), queue, None, redelivered, priority)


def flat_record(record: SealedRecord | None) -> tuple[Any, ...] | None:
    """A record as a plain tuple."""
    return None if record is None else (record.id, str(record.state), *record[2:])


def flat_report(report: Report) -> tuple[Any, ...]:
    """A report as plain tuples."""
    follow_ups = [(tuple(route), tuple(envelope)) for route, envelope in report.follow_ups]
    note = None if report.note is None else tuple(report.note)
    return (
        report.number,
        tuple(report.verdict),
        flat_record(report.record),
        report.runtime,
        follow_ups,
        note,
        tuple(report.joined),
    )


def whole_report(flat: tuple[Any, ...]) -> Report:
    """The other way round."""
    number, verdict, record, runtime, follow_ups, note, joined = flat
    pairs = [(Route(*route), Envelope(*envelope)) for route, envelope in follow_ups]
    told = None if note is None else Note(*note)
    sealed = None if record is None else SealedRecord(*record)
    return Report(number, Verdict(*verdict), sealed, runtime, pairs, told, joined)
