"""Signatures: what they cover, what is refused and why, and that nothing slips through."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from umbel.errors import DecodeError, SignatureError, WireError
from umbel.model import Envelope, Links, Message
from umbel.serial import accepted
from umbel.wire.envelope import FORMS, Form, Letter, pack, unpack
from umbel.wire.protection import Protection
from umbel.wire.signing import FUTURE, Signing, fingerprint
from umbel.wire.task_v2 import decode, encode, encode_many

JSON = accepted(["json"])
KEY, OTHER = b"the first key of all", b"another one of those"
NOW = 1_800_000_000.0
DAY = 86400.0
RICH = Message(
    task="shop.mail",
    id="0191d7a4-8f0a",
    args=[1, "two", None],
    kwargs={"to": "somebody"},
    root_id="root",
    parent_id="parent",
    group="group",
    group_index=3,
    retries=2,
    eta=datetime.fromtimestamp(NOW, UTC) + timedelta(hours=1),
    time_limit=60,
    soft_time_limit=30.5,
    shadow="shown",
    priority=4,
    reply_to="here",
    origin="gen1@host",
    argsrepr="(1, 'two', None)",
    kwargsrepr="{'to': 'somebody'}",
    stamped_headers=["red"],
    stamps={"red": ["x"]},
    headers={"trace": {"b": [1, 2.5], "a": "é", "9": 1}, "when": date(2026, 1, 2)},
    marks={"umbel_life": 2, "umbel_resent": True},
    links=Links(callbacks=[{"task": "shop.next", "args": []}]),
)


class Clock:
    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def protection(*keys: bytes, at: float = NOW, max_age: float = DAY) -> Protection:
    return Protection(Signing(keys or (KEY,), max_age), None, Clock(at))


def read(envelope: Envelope, check: Protection | None = None, **options: Any) -> Message:
    return decode(envelope, accept=JSON, protection=check or protection(), **options)


def with_headers(envelope: Envelope, **changes: Any) -> Envelope:
    letter = unpack(envelope)
    headers = {name: value for name, value in {**letter.headers, **changes}.items() if value is not ...}
    return pack("plain", envelope.id, headers, *letter[1:])


def signature(envelope: Envelope) -> str:
    text = unpack(envelope).headers["umbel_signature"]
    assert isinstance(text, str)
    return text


def test_a_signed_message_comes_back_as_it_was_and_its_signature_is_no_part_of_it() -> None:
    back = read(encode(RICH, "plain", protection=protection()))
    assert back == RICH
    assert "umbel_signature" not in (back.headers or {})
    assert back.marks == RICH.marks


def test_the_signature_names_version_key_and_time() -> None:
    version, key, when, mac = signature(encode(RICH, "plain", protection=protection())).split(":")
    assert (version, key, when, len(mac)) == ("v1", fingerprint(KEY), str(int(NOW)), 64)
    assert list(unpack(encode(RICH, "plain", protection=protection())).headers)[-1] == "umbel_signature"


def test_anybody_can_make_a_signature_from_its_description() -> None:
    envelope = encode(RICH, "plain", protection=protection())
    raw = json.loads(envelope.head)
    left_out = ("umbel_signature", "umbel_resent", "umbel_starts")
    headers = {name: value for name, value in raw["headers"].items() if name not in left_out}
    text = json.dumps(
        [str(int(NOW)), "application/json", "utf-8", RICH.id, "here", headers], sort_keys=True, separators=(",", ":")
    ).encode()
    mac = hmac.new(KEY, str(len(text)).encode() + b":" + text + envelope.body, "sha256").hexdigest()
    assert signature(envelope) == f"v1:{fingerprint(KEY)}:{int(NOW)}:{mac}"


def test_what_an_adapter_says_of_the_way_is_not_signed() -> None:
    envelope = encode(RICH, "plain", protection=protection())
    raw = json.loads(envelope.head)
    raw["headers"] |= {"umbel_resent": False, "umbel_starts": 2}
    read(envelope._replace(head=json.dumps(raw).encode()))


def test_a_signature_is_the_same_in_every_version() -> None:
    message = Message(task="t", id="i", args=[1], headers={"mine": "é"}, origin="o")
    assert signature(encode(message, "plain", protection=protection())) == (
        "v1:ff6da590:1800000000:6395ec9ed34e05922d0b4a0b0f9e3ea5addde0a2e48159f97707b5e1b189184f"
    )


def test_a_fingerprint_tells_keys_apart_and_is_not_made_of_them() -> None:
    assert fingerprint(KEY) != fingerprint(OTHER)
    assert fingerprint(KEY) not in KEY.hex()


def test_many_messages_are_signed_each() -> None:
    envelopes = encode_many([RICH, replace(RICH, id="other")], "plain", protection=protection())
    assert [read(envelope).id for envelope in envelopes] == [RICH.id, "other"]


def test_where_no_keys_are_a_signature_is_a_header_like_another() -> None:
    assert decode(encode(RICH, "plain", protection=protection()), accept=JSON) == RICH


def test_what_is_not_signed_is_refused() -> None:
    for envelope in (encode(RICH, "plain"), with_headers(encode(RICH, "plain"), umbel_signature=None)):
        with pytest.raises(SignatureError, match="the message is not signed, and only signed ones are taken"):
            read(envelope)
    body = b'{"task": "t", "id": "i", "args": [], "kwargs": {}}'
    with pytest.raises(SignatureError, match="the message is not signed"):
        read(pack("plain", "i", {}, {}, body, "application/json", "utf-8"))


@pytest.mark.parametrize(
    "text",
    ["", "v1", 5, [], {}, True, "v2:{key}:1:{mac}", "v1:{key}:-1:{mac}", "v1:{key}:1:{mac}\n", "v1:{key}:١:{mac}"],
)
def test_what_is_no_signature_is_refused(text: Any) -> None:
    if isinstance(text, str):
        text = text.format(key=fingerprint(KEY), mac="0" * 64)
    with pytest.raises(SignatureError, match="umbel_signature is no signature that this version knows"):
        read(with_headers(encode(RICH, "plain"), umbel_signature=text))


def test_an_unknown_key_is_refused_and_both_are_named_by_their_fingerprints() -> None:
    with pytest.raises(SignatureError) as caught:
        read(encode(RICH, "plain", protection=protection(OTHER)))
    assert f"signed with the key {fingerprint(OTHER)}, which is not among those here ({fingerprint(KEY)})" in str(
        caught.value
    )
    assert KEY.decode() not in str(caught.value)


def test_keys_are_changed_without_losing_a_message() -> None:
    old, both, new = protection(KEY), protection(OTHER, KEY), protection(OTHER)
    before, during = encode(RICH, "plain", protection=old), encode(RICH, "plain", protection=both)
    assert read(before, both) == read(during, both) == read(during, new) == RICH
    with pytest.raises(SignatureError, match="not among those here"):
        read(before, new)


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "shop.refund"},
        {"id": "other"},
        {"retries": 0},
        {"eta": None},
        {"timelimit": [None, None]},
        {"timelimit": [60.0, 30.5]},
        {"group": None},
        {"trace": {"a": "é", "b": [1, 2], "9": 1}},
        {"umbel_life": 3},
        {"one_more": 1},
        {"compression": None},
        {"shadow": ...},
        {"umbel_sealed": "v1:00000000:000000000000000000000000"},
    ],
    ids=repr,
)
def test_a_changed_header_is_refused(changes: Mapping[str, Any]) -> None:
    with pytest.raises(SignatureError, match="the signature does not fit: the message was altered"):
        read(with_headers(encode(RICH, "plain", protection=protection()), **changes))


def altered(envelope: Envelope, **changes: Any) -> Envelope:
    return pack("plain", envelope.id, *unpack(envelope)._replace(**changes))


def test_a_changed_body_content_type_encoding_or_reply_queue_is_refused() -> None:
    envelope = encode(RICH, "plain", protection=protection())
    properties = unpack(envelope).properties
    for changed in (
        envelope._replace(body=envelope.body.replace(b"two", b"six")),
        envelope._replace(body=envelope.body + b" "),
        altered(envelope, content_type="application/data"),
        altered(envelope, content_encoding="latin-1"),
        altered(envelope, properties={**properties, "reply_to": "there"}),
        altered(envelope, properties={**properties, "correlation_id": "other"}),
    ):
        with pytest.raises(SignatureError, match="the signature does not fit"):
            read(changed)


def test_a_part_cannot_be_moved_from_one_place_to_the_next() -> None:
    envelope = encode(RICH, "plain", protection=protection())
    text = signature(envelope)
    for moved in (text.replace(":1800000000:", ":180000000:"), text.replace(":1800000000:", ":01800000000:")):
        with pytest.raises(SignatureError, match="the signature does not fit"):
            read(with_headers(envelope, umbel_signature=moved))


def test_what_belongs_to_the_delivery_may_change_on_the_way() -> None:
    envelope = encode(RICH, "plain", protection=protection())
    properties = {**unpack(envelope).properties, "priority": 9, "expiration": "5", "delivery_mode": 1, "own": 1}
    changed = with_headers(altered(envelope, properties=properties), **{"x-death": [{"count": 1}], "meth": None})
    assert replace(read(changed), priority=RICH.priority, properties={}) == RICH


def test_the_order_of_headers_and_the_spaces_between_do_not_matter() -> None:
    envelope = encode(RICH, "plain", protection=protection())
    head = json.loads(envelope.head)
    head["headers"] = dict(sorted(head["headers"].items(), reverse=True))
    assert read(envelope._replace(head=json.dumps(head, indent=2).encode())) == RICH


def test_the_body_is_not_looked_at_before_the_signature() -> None:
    envelope = encode(replace(RICH, compression="gzip"), "plain", protection=protection())
    for body in (b"", b"\xff" * 100, b"[" * 100_000):
        with pytest.raises(SignatureError):
            read(envelope._replace(body=body))
    disallowed = pack("plain", "i", {"task": "t", "id": "i"}, {}, b"cposix\n_exit\n(tR.", "application/x-own", "binary")
    with pytest.raises(SignatureError):
        read(disallowed)


# -- age ------------------------------------------------------------------------------------------------------------


def test_a_message_is_taken_until_it_is_too_old() -> None:
    envelope = encode(replace(RICH, eta=None), "plain", protection=protection())
    assert read(envelope, protection(at=NOW + DAY)).id == RICH.id
    with pytest.raises(SignatureError, match=r"the message is 86401 s old, and those older than 86400 s are not taken"):
        read(envelope, protection(at=NOW + DAY + 1))
    assert read(envelope, protection(at=NOW + DAY + 1), fresh=False).id == RICH.id
    assert read(envelope, protection(at=NOW + DAY + 1, max_age=2 * DAY)).id == RICH.id


def test_age_counts_from_the_eta() -> None:
    late = replace(RICH, eta=datetime.fromtimestamp(NOW + 30 * DAY, UTC))
    envelope = encode(late, "plain", protection=protection())
    assert read(envelope, protection(at=NOW + 31 * DAY)).id == RICH.id
    with pytest.raises(SignatureError, match="s old"):
        read(envelope, protection(at=NOW + 31 * DAY + 1))
    past = replace(RICH, eta=datetime.fromtimestamp(NOW - 30 * DAY, UTC))
    assert read(encode(past, "plain", protection=protection()), protection(at=NOW + DAY)).id == RICH.id


def test_a_signature_from_the_future_is_refused_beyond_what_clocks_differ() -> None:
    envelope = encode(RICH, "plain", protection=protection())
    assert read(envelope, protection(at=NOW - FUTURE)).id == RICH.id
    with pytest.raises(SignatureError, match=r"signed 301 s in the future: compare the clocks"):
        read(envelope, protection(at=NOW - FUTURE - 1))


def test_an_age_is_told_only_of_what_was_really_signed() -> None:
    envelope = encode(RICH, "plain", protection=protection())
    with pytest.raises(SignatureError, match="does not fit"):
        read(with_headers(envelope, retries=9), protection(at=NOW + 100 * DAY))


# -- layouts and odd values -----------------------------------------------------------------------------------------


def test_a_layout_with_tables_of_its_own_is_signed_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[bytes, Letter] = {}

    def keep(id: str, *parts: Any) -> Envelope:
        letter = Letter(*parts)
        # As a table of AMQP has them: lists for tuples, and no order that could be relied on.
        headers = dict(sorted({**letter.headers, "stamped_headers": list(letter.headers["stamped_headers"])}.items()))
        kept[id.encode()] = letter._replace(headers=headers)
        return Envelope("table", id, id.encode(), letter.body)

    monkeypatch.setitem(FORMS, "table", Form(keep, lambda envelope: kept[envelope.head]))
    message = replace(RICH, stamped_headers=("red",))
    table = encode(message, "table", protection=protection())
    assert read(table) == RICH
    assert kept[table.head].headers["umbel_signature"] == signature(encode(message, "plain", protection=protection()))
    kept[table.head].headers["retries"] = 9
    with pytest.raises(SignatureError, match="does not fit"):
        read(table)


def test_headers_of_every_kind_of_value_can_be_signed() -> None:
    values = {
        "numbers": [1, 1.0, -0.0, 1e300, 10**30, float("inf"), Decimal("1.50")],
        "text": "\ud800 é \0",
        "keys": {10: 1, 9: 2, None: 3, "a": UUID(int=5)},
        "bytes": [b"abc", b"\xff"],
        "times": [datetime(2026, 1, 2, tzinfo=UTC), date(2026, 1, 2)],
        "tuple": (1, (2,)),
    }
    envelope = encode(Message(task="t", id="i", headers=values), "plain", protection=protection())
    assert read(envelope).headers == decode(envelope, accept=JSON).headers


@pytest.mark.parametrize("depth", [*range(900, 1000, 3), 5000])
def test_deep_nesting_in_a_signed_head_is_no_way_out(depth: int) -> None:
    text = f'{{"task": "t", "id": "i", "umbel_signature": "v1:{fingerprint(KEY)}:1800000000:{"0" * 64}", "x": '
    head = f'{{"headers": {text}{"[" * depth}{"]" * depth}}}, "content-type": "application/json"}}'
    with pytest.raises(WireError):
        read(Envelope("plain", "i", head.encode(), b"[[], {}, null]"))


def test_an_eta_that_is_none_is_refused_though_it_was_signed() -> None:
    letter = unpack(encode(RICH, "plain"))
    headers: dict[str, Any] = {**letter.headers, "eta": "soon"}
    headers["umbel_signature"] = Signing([KEY], DAY).sign(letter._replace(headers=headers), NOW)
    with pytest.raises(DecodeError, match=r"^eta: "):
        read(pack("plain", "i", headers, *letter[1:]))


# -- any change at all ----------------------------------------------------------------------------------------------

SIGNED = encode(RICH, "plain", protection=protection())
COMPRESSED = encode(replace(RICH, compression="gzip"), "plain", protection=protection())


def edited(data: bytes, place: int, new: bytes, drop: int) -> bytes:
    place %= len(data) + 1
    return data[:place] + new + data[place + drop :]


def refused_or_equal(envelope: Envelope, message: Message) -> None:
    try:
        back = read(envelope)
    except WireError:
        return
    # Priority and the broker's properties belong to the delivery.
    assert replace(back, priority=message.priority, properties={}) == message


edits = st.tuples(st.integers(0, 10**6), st.binary(max_size=2), st.integers(0, 2))


@settings(max_examples=1500)
@given(st.sampled_from([True, False]), st.booleans(), edits)
def test_any_edit_of_head_or_body_is_refused_or_changes_nothing(
    compressed: bool, in_head: bool, edit: tuple[int, bytes, int]
) -> None:
    envelope = COMPRESSED if compressed else SIGNED
    message = replace(RICH, compression="gzip") if compressed else RICH
    data = edited(envelope.head if in_head else envelope.body, *edit)
    refused_or_equal(envelope._replace(head=data) if in_head else envelope._replace(body=data), message)


def test_every_single_bit_of_head_and_body_is_refused_or_changes_nothing() -> None:
    for flipped in flips(SIGNED.head):
        refused_or_equal(SIGNED._replace(head=flipped), RICH)
    for flipped in flips(SIGNED.body):
        refused_or_equal(SIGNED._replace(body=flipped), RICH)


def flips(data: bytes) -> Iterator[bytes]:
    """``data`` with each of its bits turned round, one at a time."""
    for place, byte in enumerate(data):
        for bit in range(8):
            yield data[:place] + bytes([byte ^ 1 << bit]) + data[place + 1 :]


@given(st.binary(), st.binary())
def test_no_bytes_that_nobody_signed_are_taken(head: bytes, body: bytes) -> None:
    with pytest.raises(WireError):
        read(Envelope("plain", "i", head, body))
