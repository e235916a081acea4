"""Marks of a message that is bytes already: changed without its body, and signed anew by who may."""

from __future__ import annotations

import pytest

from umbel.errors import DecodeError, EncodeError, SignatureError
from umbel.model import Envelope, Message
from umbel.serial import accepted
from umbel.wire.envelope import pack
from umbel.wire.marking import marked, resent
from umbel.wire.protection import Protection, protection_with
from umbel.wire.task_v2 import decode, encode

JSON = accepted(["json"])
KEY = b"the first key of all"
MESSAGE = Message(task="t", id="i", args=[1], headers={"mine": [1]}, marks={"umbel_life": 1, "umbel_starts": 2})


def keys_at(now: float, *keys: bytes) -> Protection:
    return protection_with(keys or (KEY,), 60.0, (), lambda: now)


def test_marks_are_set_and_taken_away_and_all_else_stays() -> None:
    changed = marked(encode(MESSAGE, "plain"), {"umbel_life": 2, "umbel_starts": None, "umbel_resent": True})
    message = decode(changed, accept=JSON)
    assert message.marks == {"umbel_life": 2, "umbel_resent": True}
    assert (message.task, message.args, message.headers) == ("t", [1], {"mine": [1]})


def test_the_body_may_be_one_that_nobody_can_read() -> None:
    envelope = pack("plain", "i", {"task": "t", "id": "i"}, {"own": 1}, b"\xff", "application/x-own", "binary")
    changed = marked(envelope, {"umbel_life": 1})
    assert changed == pack(
        "plain", "i", {"task": "t", "id": "i", "umbel_life": 1}, {"own": 1}, b"\xff", "application/x-own", "binary"
    )


def test_a_signed_message_is_signed_anew_whatever_its_age() -> None:
    old = encode(MESSAGE, "plain", protection=keys_at(0))
    now = 1e9
    with pytest.raises(SignatureError, match="s old"):
        decode(old, accept=JSON, protection=keys_at(now))
    assert (
        decode(marked(old, {"umbel_life": 2}, protection=keys_at(now)), accept=JSON, protection=keys_at(now)).marks[
            "umbel_life"
        ]
        == 2
    )


def test_a_sealed_message_stays_sealed() -> None:
    protection = protection_with([KEY], 60.0, [KEY], lambda: 0.0)
    changed = marked(encode(MESSAGE, "plain", protection=protection), {"umbel_life": 2}, protection=protection)
    assert decode(changed, accept=JSON, protection=protection).args == [1]


def test_what_nobody_here_has_signed_is_not_signed_now() -> None:
    signed = encode(MESSAGE, "plain", protection=keys_at(0))
    for envelope in (encode(MESSAGE, "plain"), signed._replace(body=b"[[2], {}, null]")):
        with pytest.raises(SignatureError):
            marked(envelope, {"umbel_life": 2}, protection=keys_at(0))
    with pytest.raises(SignatureError, match="no key is here to sign it anew"):
        marked(signed, {"umbel_life": 2})


def test_a_mark_that_does_not_exist_or_holds_the_wrong_value_is_refused() -> None:
    for changes in ({"life": 1}, {"umbel_life": -1}, {"umbel_signature": "x"}):
        with pytest.raises(EncodeError):
            marked(encode(MESSAGE, "plain"), changes)


def test_a_head_that_cannot_be_read_cannot_be_marked() -> None:
    with pytest.raises(DecodeError):
        marked(Envelope("plain", "i", b"\xff", b""), {"umbel_life": 1})


@pytest.mark.parametrize("form", ["plain", "amqp"])
def test_one_that_may_have_been_sent_is_marked_and_its_signature_stays_good(form: str) -> None:
    again = resent(encode(MESSAGE, form, protection=keys_at(0)))
    message = decode(again, accept=JSON, protection=keys_at(0))
    assert message.marks == {"umbel_life": 1, "umbel_starts": 2, "umbel_resent": True}
    with pytest.raises(DecodeError):
        resent(Envelope(form, "i", b"nonsense", b""))
