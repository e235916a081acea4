"""Deliveries as bytes, however the network cuts them up."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.errors import StoreUnreachable
from umbel.stores.amqp import frames
from umbel.stores.amqp.address import addresses
from umbel.stores.amqp.channel import Arrival, Channel
from umbel.stores.amqp.connection import Connection

NUMBER = 3
PIECE = 200
"""Bytes that the connections of these tests take in one frame."""

_short = st.text("abc-é", max_size=12)
_messages = st.lists(
    st.tuples(st.integers(1, 2**63), st.booleans(), _short, _short, st.binary(max_size=60), st.binary(max_size=450)),
    min_size=1,
    max_size=6,
)


def word(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data


def delivery(tag: int, again: bool, exchange: str, key: str, head: bytes, body: bytes) -> bytes:
    """As a server sends it."""
    method = frames.DELIVER_START + word("me") + tag.to_bytes(8) + bytes((again,)) + word(exchange) + word(key)
    start = frames.HEAD.pack(frames.METHOD, NUMBER, len(method)) + method + b"\xce"
    return start + b"".join(frames.content(NUMBER, head, body, PIECE))


async def heard(chunks: list[bytes]) -> tuple[list[Arrival], StoreUnreachable | None]:
    """What a consumer gets of these bytes, and how the connection ended."""
    connection, arrived = Connection(addresses("amqp://")[0]), list[Arrival]()
    connection.piece = PIECE
    channel = connection._channels[NUMBER] = Channel(connection, NUMBER)
    channel._sinks["me"] = arrived.extend
    for chunk in chunks:
        connection.data_received(chunk)
    if not connection.lost.done():
        return arrived, None
    lost = connection.lost.result()
    assert isinstance(lost, StoreUnreachable)
    return arrived, lost


@given(_messages, st.lists(st.integers(0, 4000), max_size=8))
def test_what_comes_in_pieces_is_what_comes_at_once(
    messages: list[tuple[int, bool, str, str, bytes, bytes]], cuts: list[int]
) -> None:
    data = b"".join(delivery(*message) for message in messages)
    at = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in itertools.pairwise(at)]
    wanted = [
        Arrival(tag, again, exchange, key, head, body, "me") for tag, again, exchange, key, head, body in messages
    ]
    for chunks in (pieces, [data], [data[n : n + 1] for n in range(len(data))]):
        assert asyncio.run(heard(chunks)) == (wanted, None)


@given(_messages, st.integers(0), st.integers(0, 255))
def test_a_byte_that_is_wrong_ends_the_connection_or_does_not_however_it_comes(
    messages: list[tuple[int, bool, str, str, bytes, bytes]], place: int, byte: int
) -> None:
    data = bytearray(b"".join(delivery(*message) for message in messages))
    data[place % len(data)] = byte
    at_once = asyncio.run(heard([bytes(data)]))
    singly = asyncio.run(heard([bytes((each,)) for each in data]))
    assert (at_once[1] is None) == (singly[1] is None)


@pytest.mark.parametrize("body", [b"", b"x" * PIECE, b"x" * (PIECE + 1)])
def test_a_body_of_no_frame_and_of_several_is_read_frame_by_frame(body: bytes) -> None:
    data = delivery(7, False, "", "q", b"\0\0", body)
    whole = frames.read_whole(data, 0, PIECE)
    assert whole is None
    assert asyncio.run(heard([data]))[0] == [Arrival(7, False, "", "q", b"\0\0", body, "me")]


def test_a_delivery_that_is_all_there_is_read_in_one_go() -> None:
    data = delivery(7, True, "x", "q", b"\0\0", b"body")
    whole = frames.read_whole(b"before" + data + b"behind", 6, PIECE)
    assert whole is not None
    method, head, body, end = whole
    assert (head, body, end) == (b"\0\0", b"body", 6 + len(data))
    assert frames.read_deliver(method) == ("me", 7, True, "x", "q")
