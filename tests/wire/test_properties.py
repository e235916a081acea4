"""Whatever arrives, only a message or an error of the wire comes out; whatever is sent comes back."""

from __future__ import annotations

import json
from datetime import UTC, timedelta, timezone
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from umbel.errors import WireError
from umbel.model import NO_LINKS, Envelope, Links, Message
from umbel.serial import accepted, write_json
from umbel.wire.names import FOREIGN_HEADERS, HEADERS, RESERVED_HEADERS
from umbel.wire.task_v2 import decode, encode, peek

EVERYTHING = accepted(["json", "msgpack", "yaml"])

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
content_types = st.sampled_from(sorted(EVERYTHING | {"application/data", "text/plain", "application/x-own"}))
any_headers = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys((*HEADERS, "compression"), any_json)
    | {"task": any_json | st.just("t"), "id": any_json | st.just("i")}
    | {"compression": any_json | st.sampled_from(["gzip", "bzip2", "lzma", "brotli", "zstd"])}
    | {"eta": any_json | st.from_regex(r"\A[0-9:TZ.+-]{4,20}\Z")}
    | dict.fromkeys(("umbel_life", "umbel_resent", "umbel_unknown_since", "umbel_sealed", "umbel_signature"), any_json),
)


def attempt(envelope: Envelope) -> Message | None:
    task, id = peek(envelope)
    try:
        message = decode(envelope, accept=EVERYTHING, max_size=100_000)
    except WireError:
        return None
    assert isinstance(message.task, str)
    assert message.id == id or task is None
    return message


@given(st.binary(), st.binary())
def test_any_bytes(head: bytes, body: bytes) -> None:
    attempt(Envelope("plain", "x", head, body))


@given(any_json, st.binary())
def test_any_head(head: Any, body: bytes) -> None:
    attempt(Envelope("plain", "x", json.dumps(head).encode(), body))


@settings(max_examples=500)
@given(any_headers, any_json, st.binary() | any_json.map(lambda value: write_json(value).encode()), content_types)
def test_any_headers_properties_and_body(headers: Any, properties: Any, body: bytes, content_type: str) -> None:
    head = {"headers": headers, "properties": properties, "content-type": content_type}
    attempt(Envelope("plain", "x", json.dumps(head).encode(), body))


@settings(max_examples=300)
@given(any_headers, any_json, any_json, any_json)
def test_any_headers_with_any_triple(headers: Any, args: Any, kwargs: Any, embed: Any) -> None:
    headers = {"task": "t", "id": "i", **headers, "compression": None}
    head = {"headers": headers, "properties": {}, "content-type": "application/json"}
    message = attempt(Envelope("plain", "x", json.dumps(head).encode(), json.dumps([args, kwargs, embed]).encode()))
    if message is not None:
        assert attempt(encode(message, "plain")) is not None


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
ids = st.none() | names
signatures = st.lists(st.dictionaries(st.text(), any_json, max_size=3), max_size=2) | st.none()
zones = st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))])
times = st.none() | st.datetimes(timezones=zones).map(lambda time: time.replace(fold=0))
limits = st.none() | st.integers(0, 10**9) | st.floats(0, 1e9)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
free_names = st.text().filter(
    lambda name: name not in RESERVED_HEADERS | FOREIGN_HEADERS and not name.startswith("umbel_")
)
marks = st.fixed_dictionaries(
    {},
    optional={
        "umbel_life": st.integers(0, 10**6),
        "umbel_starts": st.integers(0, 10**6),
        "umbel_resent": st.booleans(),
        "umbel_unknown_since": st.integers(0, 10**10) | st.floats(0, 1e10),
        "umbel_of_a_newer_version": json_values,
    },
)
messages = st.builds(
    Message,
    task=names,
    id=names,
    args=st.lists(json_values, max_size=4),
    kwargs=st.dictionaries(st.text(), json_values, max_size=4),
    root_id=names,
    parent_id=ids,
    group=ids,
    group_index=st.none() | st.integers(0, 10**6),
    retries=st.integers(0, 1000),
    eta=times,
    expires=times,
    time_limit=limits,
    soft_time_limit=limits,
    shadow=ids,
    ignore_result=st.booleans(),
    priority=st.integers(0, 9),
    reply_to=names | st.just(""),
    origin=ids,
    argsrepr=st.text(),
    kwargsrepr=st.text(),
    replaced_task_nesting=st.integers(0, 9),
    stamped_headers=st.none() | st.lists(st.text(), max_size=3),
    stamps=st.dictionaries(st.text(), json_values, max_size=3),
    headers=st.none() | st.dictionaries(free_names, json_values, min_size=1, max_size=3),
    marks=marks,
    serializer=st.sampled_from(["json", "json", "pickle"]),
    compression=st.sampled_from([None, None, "gzip", "zstd"]),
    links=st.just(NO_LINKS)
    | st.builds(Links, callbacks=signatures, errbacks=signatures, chain=signatures, chord=st.none()),
)


@settings(max_examples=300)
@given(messages)
def test_any_message_comes_back_as_it_was(message: Message) -> None:
    # NaN, which is not equal to itself, compares as text.
    back = decode(encode(message, "plain"), accept=EVERYTHING | accepted(["pickle"]))
    assert repr(back) == repr(message)
