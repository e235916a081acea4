"""umbel's own headers: they travel with a message, nobody else writes them, and each holds what it must."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from umbel.errors import DecodeError, EncodeError
from umbel.model import Envelope, Message
from umbel.serial import accepted
from umbel.wire.envelope import pack, unpack
from umbel.wire.names import HEADERS
from umbel.wire.task_v2 import MAX_USERS_HEADERS, decode, encode, headers_of

JSON = accepted(["json"])
MARKS: dict[str, Any] = {
    "umbel_life": 2,
    "umbel_starts": 0,
    "umbel_resent": True,
    "umbel_unknown_since": 1793000000.5,
    "umbel_of_a_newer_version": {"a": [1]},
}


def made(headers: Mapping[str, Any], body: bytes = b"[[], {}, null]") -> Envelope:
    return pack("plain", "i", {"task": "t", "id": "i", **headers}, {}, body, "application/json", "utf-8")


def test_marks_travel_after_the_headers_that_everybody_knows() -> None:
    sent = Message(task="t", id="i", args=[], headers={"mine": 1}, marks=MARKS)
    envelope = encode(sent, "plain")
    assert list(unpack(envelope).headers) == [*HEADERS, "mine", *MARKS]
    assert unpack(envelope).headers == headers_of(sent)
    back = decode(envelope, accept=JSON)
    assert (back.headers, back.marks) == ({"mine": 1}, MARKS)


def test_marks_stay_when_a_message_is_sent_on() -> None:
    first = decode(encode(Message(task="t", id="i", marks={"umbel_life": 2}), "plain"), accept=JSON)
    again = decode(encode(replace(first, retries=1), "plain"), accept=JSON)
    assert again.marks == {"umbel_life": 2}


def test_a_message_without_marks_has_an_empty_table_of_them() -> None:
    assert decode(encode(Message(task="t", id="i"), "plain"), accept=JSON).marks == {}
    assert decode(made({}), accept=JSON).marks == {}
    assert decode(made({"umbel_life": 1}), accept=JSON).marks == {"umbel_life": 1}


def test_marks_of_protocol_1_are_read_too() -> None:
    body = b'{"task": "t", "id": "i", "args": [], "kwargs": {}}'
    envelope = pack("plain", "i", {"umbel_life": 1}, {}, body, "application/json", "utf-8")
    assert decode(envelope, accept=JSON).marks == {"umbel_life": 1}


@pytest.mark.parametrize("name", ["umbel_signature", "umbel_sealed"])
def test_what_is_true_of_the_bytes_alone_is_no_mark_of_the_message(name: str) -> None:
    with pytest.raises(EncodeError, match=f"marks\\['{name}'\\]: this is no mark that a message carries"):
        encode(Message(task="t", id="i", marks={name: "x"}), "plain")


WRONG: dict[str, list[Any]] = {
    "umbel_life": [-1, 1.0, True, "1", None, 2**31, []],
    "umbel_starts": [-1, 0.5, False, None],
    "umbel_resent": [0, 1, "true", None],
    "umbel_unknown_since": [-1, True, "0", None, 1e300, float("nan"), float("inf")],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_mark_of_the_wrong_type_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(DecodeError, match=f"^{name}: is .* and must be ") as caught:
        decode(made({name: value}), accept=JSON)
    assert caught.value.field == name
    with pytest.raises(EncodeError, match=f"marks\\['{name}'\\]: is .* and must be "):
        encode(Message(task="t", id="i", marks={name: value}), "plain")


def test_a_mark_that_is_not_called_one_is_refused() -> None:
    with pytest.raises(EncodeError, match=r"marks\['life'\]: this is no mark"):
        encode(Message(task="t", id="i", marks={"life": 1}), "plain")


@pytest.mark.parametrize("name", ["umbel_life", "umbel_signature", "umbel_", "umbel_anything"])
def test_a_users_header_cannot_be_called_like_one_of_umbels(name: str) -> None:
    message = Message(task="t", id="i", headers={name: 1})
    for write in (lambda: encode(message, "plain"), lambda: headers_of(message)):
        with pytest.raises(EncodeError, match=f"headers\\['{name}'\\]: names that begin with umbel_ are umbel's own"):
            write()


def test_a_call_with_more_headers_than_are_read_is_refused() -> None:
    most = {f"h{n}": n for n in range(MAX_USERS_HEADERS)}
    message = Message(task="t", id="i", headers=most, marks=MARKS, compression="gzip")
    assert decode(encode(message, "plain"), accept=JSON).headers == most
    with pytest.raises(EncodeError, match=f"headers: {MAX_USERS_HEADERS + 1} of them, at most {MAX_USERS_HEADERS}"):
        encode(replace(message, headers={**most, "one": 1}), "plain")
