"""Tests of the frames between a node and a runner."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.model import ACK, Delivery, Envelope, Route, SealedRecord, State, dead
from umbel.worker import frames
from umbel.worker.settler import Report

DELIVERY = Delivery(Envelope("plain", "id-1", b"{}", b"\x00\xff"), "mail", object(), True, 4)


@given(st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=300)), max_size=20), st.integers(1, 50))
def test_frames_survive_any_cutting(sent: list[tuple[str, bytes]], step: int) -> None:
    stream = b"".join(frames.pack(kind, payload) for kind, payload in sent)
    reader = frames.FrameReader()
    got = [frame for at in range(0, len(stream), step) for frame in reader.feed(stream[at : at + step])]
    assert got == sent


def test_a_delivery_crosses_without_its_receipt() -> None:
    (frame,) = frames.FrameReader().feed(frames.pack("run", [(1, frames.flat_delivery(DELIVERY))]))
    ((number, flat),) = frame[1]
    assert number == 1
    assert frames.whole_delivery(flat) == DELIVERY._replace(receipt=None)


def test_a_report_crosses_whole() -> None:
    record = SealedRecord("id-1", State.SUCCESS, b"8", 12.5, 1)
    follow_ups = [(Route("q", 3), DELIVERY.envelope)]
    for report in (Report(3, ACK, record, 0.5, follow_ups, joined=("g",)), Report(4, dead("why"))):
        ((_, flat),) = frames.FrameReader().feed(frames.pack("done", frames.flat_report(report)))
        assert frames.whole_report(flat) == report._replace(follow_ups=list(report.follow_ups))


def test_only_plain_values_cross() -> None:
    with pytest.raises(ValueError, match="unmarshallable"):
        frames.pack("run", object())
