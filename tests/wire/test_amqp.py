"""Tests of messages as AMQP carries them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.errors import DecodeError, EncodeError, WireError
from umbel.model import Envelope, Message
from umbel.wire import task_v2
from umbel.wire.amqp import (
    id_and_priority,
    pack_properties,
    read_properties,
    resent,
    with_priority,
    without_deaths,
)
from umbel.wire.envelope import unpack
from umbel.wire.protection import Protection
from umbel.wire.signing import Signing

JSON = frozenset({"application/json"})

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.integers(0, 250_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4)
)
headers = st.dictionaries(st.text(max_size=20), values, max_size=6)


def message(**fields: Any) -> Message:
    return Message(task="shop.add", id="01a2", args=[1, 2], kwargs={"x": None}, **fields)


@given(headers)
def test_what_is_written_is_read_again(table: dict[str, Any]) -> None:
    head = pack_properties({"headers": table, "content_type": "a/b", "priority": 3, "correlation_id": "x"})
    assert read_properties(head) == {"headers": table, "content_type": "a/b", "priority": 3, "correlation_id": "x"}
    assert id_and_priority(head) == ("x", 3)


@given(st.binary())
def test_any_head_is_read_or_named(head: bytes) -> None:
    id_and_priority(head)
    try:
        unpack(Envelope("amqp", "x", head, b""))
    except WireError:
        return


@given(st.binary(max_size=60), st.integers(0, 200))
def test_a_head_that_was_cut_or_changed_is_read_or_named(noise: bytes, at: int) -> None:
    head = task_v2.encode(message(), "amqp").head
    for broken in (head[:at], head[:at] + noise, head[:at] + noise + head[at + len(noise) :]):
        id_and_priority(broken)
        try:
            task_v2.decode(Envelope("amqp", "x", broken, b"[[], {}, {}]"), accept=JSON)
        except WireError:
            continue


def test_a_message_comes_back_as_it_was() -> None:
    sent = message(retries=2, time_limit=3.5, headers={"mine": {"deep": [1, "ż"]}}, priority=4, reply_to="there")
    envelope = task_v2.encode(sent, "amqp")
    got = task_v2.decode(envelope, accept=JSON)
    assert (got.task, got.id, got.args, got.kwargs) == ("shop.add", "01a2", [1, 2], {"x": None})
    assert (got.retries, got.time_limit, got.headers, got.priority) == (2, 3.5, {"mine": {"deep": [1, "ż"]}}, 4)
    assert got.reply_to == "there"


def test_a_decimal_has_a_type_of_its_own() -> None:
    head = pack_properties({"headers": {"price": Decimal("12.50"), "debt": Decimal("-3E2")}})
    assert read_properties(head)["headers"] == {"price": Decimal("12.50"), "debt": Decimal(-300)}


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        ({"headers": {"far": 2**63}}, r"headers\.far"),
        ({"headers": {"odd": object()}}, r"headers\.odd"),
        ({"headers": {3: "x"}}, "key 3"),
        ({"headers": {"x" * 256: 1}}, "255"),
        ({"headers": {"d": Decimal("1e-9") + 10**12}}, r"headers\.d"),
        ({"correlation_id": "x" * 256}, "255"),
        ({"priority": 300}, r"properties\.priority"),
        ({"timestamp": "now"}, r"properties\.timestamp"),
        ({"colour": "red"}, "no property called colour"),
    ],
)
def test_what_amqp_cannot_hold_is_refused_by_name(properties: dict[str, Any], named: str) -> None:
    with pytest.raises(EncodeError, match=named):
        pack_properties(properties)


def test_tables_may_not_be_nested_without_end() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    with pytest.raises(EncodeError, match="32 tables"):
        pack_properties({"headers": {"deep": deep}})
    inside = b"I\0\0\0\1"
    for _ in range(40):
        inside = b"A" + len(inside).to_bytes(4) + inside
    table = b"\x04deep" + inside
    with pytest.raises(DecodeError, match="32 tables"):
        read_properties(b"\x20\x00" + len(table).to_bytes(4) + table)


def test_a_head_can_be_marked_and_keeps_the_rest() -> None:
    head = task_v2.encode(message(), "amqp").head
    again = read_properties(resent(head))
    assert again["headers"].pop("umbel_resent") is True
    assert again == read_properties(head)
    assert id_and_priority(with_priority(head, 9)) == ("01a2", 9)
    assert with_priority(head, 0) is head


def test_what_a_server_adds_on_the_way_is_taken_off() -> None:
    plain = pack_properties({"content_type": "a/b", "headers": {"mine": 1}})
    deaths = {"x-death": [{"count": 1, "queue": "q"}], "x-first-death-queue": "q", "x-last-death-reason": "expired"}
    assert without_deaths(pack_properties({"content_type": "a/b", "headers": {"mine": 1, **deaths}})) == plain
    assert without_deaths(plain) is plain


def test_a_signature_holds_though_the_message_was_marked_on_its_way() -> None:
    protection = Protection(Signing((b"0" * 32,), 60.0), None, time.time)
    envelope = task_v2.encode(message(), "amqp", protection=protection)
    marked = envelope._replace(head=resent(envelope.head))
    assert task_v2.decode(marked, accept=JSON, protection=protection).id == "01a2"
