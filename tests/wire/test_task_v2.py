"""Task messages: what is tolerated, what is refused and how it is named, and that nothing else comes out."""

from __future__ import annotations

import json
import sys
import tracemalloc
import zlib
from collections import UserDict, deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from umbel.errors import ContentDisallowed, DecodeError, EncodeError, MissingExtra, UnknownOption
from umbel.model import NO_LINKS, Envelope, Links, Message
from umbel.serial import accepted
from umbel.wire.envelope import pack, unpack
from umbel.wire.fields import MAX_HEADERS
from umbel.wire.names import HEADERS
from umbel.wire.task_v2 import MAX_SIZE, decode, encode, encode_many, peek

JSON = accepted(["json"])
LEAST: dict[str, Any] = {"task": "tasks.add", "id": "the id"}
TRIPLE = b'[[1, 2], {"z": 3}, null]'


def made(
    headers: Mapping[str, Any] | None = None,
    body: bytes = TRIPLE,
    properties: Mapping[str, Any] | None = None,
    content_type: str = "application/json",
    content_encoding: str = "utf-8",
) -> Envelope:
    """An envelope of a sender that we know nothing of."""
    return pack(
        "plain", "the id", LEAST if headers is None else headers, properties or {}, body, content_type, content_encoding
    )


def read(envelope: Envelope, **options: Any) -> Message:
    return decode(envelope, **{"accept": JSON, **options})


def test_the_least_that_a_foreign_sender_must_say_is_task_and_id() -> None:
    assert read(made()) == Message(task="tasks.add", id="the id", args=[1, 2], kwargs={"z": 3})


def test_every_header_may_be_null_but_task_and_id() -> None:
    assert read(made({**dict.fromkeys(HEADERS), **LEAST, "compression": None})) == read(made())


def test_headers_of_old_senders_and_of_the_broker_are_not_the_users() -> None:
    foreign: dict[str, Any] = {"meth": None, "utc": True, "groups": [], "x-death": [{}], "x-first-death-queue": "q"}
    assert read(made({**LEAST, **foreign})).headers is None
    assert read(made({**LEAST, **foreign, "mine": 1})).headers == {"mine": 1}


def test_a_whole_message_with_a_header_of_the_user() -> None:
    sent = Message(task="t", id="i", args=[], headers={"trace": {"a": [1]}})
    assert read(encode(sent, "plain")).headers == {"trace": {"a": [1]}}


def test_properties_that_are_the_messages_own_are_told_from_the_users() -> None:
    properties = {
        "correlation_id": "the id",
        "reply_to": "here",
        "priority": 4,
        "delivery_mode": 2,
        "expiration": "0",
        "delivery_tag": "x",
        "MessageGroupId": "g",
    }
    message = read(made(properties=properties))
    assert (message.reply_to, message.priority, message.properties) == ("here", 4, {"MessageGroupId": "g"})
    assert read(made(properties={"delivery_mode": 1})).properties == {"delivery_mode": 1}


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-22T06:17:54.942702+00:00", datetime(2026, 11, 22, 6, 17, 54, 942702, UTC)),
        ("2026-11-22T06:17:54", datetime(2026, 11, 22, 6, 17, 54, tzinfo=UTC)),
        ("2026-11-22T06:17:54Z", datetime(2026, 11, 22, 6, 17, 54, tzinfo=UTC)),
        ("2026-11-22 06:17:54,5+05:30", datetime(2026, 11, 22, 0, 47, 54, 500000, UTC)),
        ("20261122T061754-0300", datetime(2026, 11, 22, 9, 17, 54, tzinfo=UTC)),
        ("2026-11-22T06", datetime(2026, 11, 22, 6, tzinfo=UTC)),
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-W47-7", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-326T01:00Z", datetime(2026, 11, 22, 1, tzinfo=UTC)),
        ("2026326", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-11-22T24:00:00+01:00", datetime(2026, 11, 22, 23, tzinfo=UTC)),
        ("9999-12-31T23:59:59-12:00", datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-12)))),
        (
            {"__type__": "datetime", "__value__": "2026-11-22T00:00:00"},
            datetime(2026, 11, 22, tzinfo=UTC),
        ),
    ],
)
def test_a_time_is_read_in_any_shape_and_is_in_utc_without_an_offset(text: Any, time: datetime) -> None:
    message = read(made({**LEAST, "eta": text, "expires": text}))
    assert message.eta == message.expires == time


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("task", [None, 5, "", ["tasks.add"]]),
        ("id", [None, 5, "", {}]),
        ("eta", [5, True, "", "soon", "2026-13-01", "2026-367", "9999-12-31T24:00", "2026-02-30T24:00", []]),
        ("expires", [1.5, "later", "0000", {}]),
        ("retries", ["1", 1.0, True, -1, 10**12, []]),
        (
            "timelimit",
            [5, "10", [1], [1, 2, 3], ["1", None], [True, None], [float("nan"), 1], [1, -1], [10**400, 1], {}],
        ),
        ("group", [5, []]),
        ("group_index", ["0", 1.5, False, 10**12]),
        ("root_id", [5]),
        ("parent_id", [["x"]]),
        ("shadow", [5]),
        ("ignore_result", ["yes", 1, 0]),
        ("replaced_task_nesting", ["1", -1, 1.0]),
        ("stamped_headers", ["red", [5], {}]),
        ("stamps", [[], "red"]),
        ("compression", [5, "rar", "application/x-rar", []]),
    ],
)
def test_a_header_of_the_wrong_type_is_refused_by_name(field: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(DecodeError, match=f"^{field}: ") as caught:
            read(made({**LEAST, field: value}))
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "value"), [("priority", "5"), ("priority", 1.5), ("priority", True), ("reply_to", 5), ("reply_to", ["x"])]
)
def test_a_property_of_the_wrong_type_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(DecodeError, match=f"^{field}: "):
        read(made(properties={field: value}))


def test_what_only_people_read_is_read_in_any_type() -> None:
    message = read(made({**LEAST, "argsrepr": [1], "kwargsrepr": {}, "origin": 5, "lang": {}}))
    assert (message.argsrepr, message.kwargsrepr, message.origin) == ("[1]", "{}", "5")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"null", "body"),
        (b"5", "body"),
        (b'"text"', "body"),
        (b"{}", "body"),
        (b"[]", "body"),
        (b"[[], {}]", "body"),
        (b"[[], {}, null, null]", "body"),
        (b'["text", {}, null]', "args"),
        (b"[null, {}, null]", "args"),
        (b"[{}, {}, null]", "args"),
        (b"[[], [], null]", "kwargs"),
        (b"[[], null, null]", "kwargs"),
        (b"[[], {}, 5]", "embed"),
        (b"[[], {}, []]", "embed"),
        (b'[[], {}, {"callbacks": 5}]', "embed.callbacks"),
        (b'[[], {}, {"callbacks": {}}]', "embed.callbacks"),
        (b'[[], {}, {"errbacks": [5]}]', "embed.errbacks"),
        (b'[[], {}, {"chain": "text"}]', "embed.chain"),
        (b'[[], {}, {"chord": []}]', "embed.chord"),
        (b"\xff", "body"),
        (b"[" * 100_000, "body"),
        (b"[[" + b"1" * 5000 + b"], {}, null]", "body"),
    ],
)
def test_a_body_that_is_not_args_kwargs_and_links_is_refused_by_part(body: bytes, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read(made(body=body))
    assert caught.value.field == field


def test_keyword_names_that_are_not_text_are_refused() -> None:
    envelope = made(body=b"\x93\x90\x81\x01\x02\xc0", content_type="application/x-msgpack", content_encoding="binary")
    with pytest.raises(DecodeError, match=r"^kwargs: is 1 and must be a table whose names are text"):
        read(envelope, accept=accepted(["msgpack"]))


def test_links_may_be_missing_one_by_one() -> None:
    assert read(made(body=b"[[], {}, {}]")).links is NO_LINKS
    assert read(made(body=b'[[], {}, {"chain": [{"task": "t"}], "new": 1}]')).links == Links(chain=[{"task": "t"}])
    assert read(made(body=b'[[], {}, {"callbacks": []}]')).links == Links(callbacks=[])


@pytest.mark.parametrize(
    ("head", "field"),
    [
        (b"", "head"),
        (b"\xff", "head"),
        (b"[]", "head"),
        (b"{}", "headers"),
        (b'{"headers": []}', "headers"),
        (b'{"headers": {}}', "content-type"),
        (b'{"headers": {}, "content-type": 5}', "content-type"),
        (b'{"headers": {}, "content-type": "application/json", "content-encoding": 5}', "content-encoding"),
        (b'{"headers": {}, "content-type": "application/json", "properties": []}', "properties"),
        (b'{"headers": {}, "content-type": "application/json"}', "task"),
    ],
)
def test_a_head_that_is_not_one_is_refused_by_part(head: bytes, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read(Envelope("plain", "x", head, TRIPLE))
    assert caught.value.field == field


def test_properties_and_the_content_encoding_may_be_missing() -> None:
    head = json.dumps({"headers": LEAST, "content-type": "application/json"}).encode()
    assert read(Envelope("plain", "x", head, TRIPLE)) == read(made())


def test_a_layout_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DecodeError, match="form: nothing here reads the layout 'papyrus'"):
        read(Envelope("papyrus", "x", b"", b""))
    with pytest.raises(UnknownOption, match="envelope layout: unknown name 'plane'; did you mean 'plain'"):
        encode(Message(task="t", id="i"), "plane")
    with pytest.raises(UnknownOption):
        pack("plane", "i", {}, {}, b"", "", "")
    with pytest.raises(UnknownOption):
        encode_many([], "plane")


def test_too_many_headers_are_refused() -> None:
    many = {f"h{n}": n for n in range(MAX_HEADERS)}
    with pytest.raises(DecodeError, match=f"headers: {MAX_HEADERS + 2} of them, at most {MAX_HEADERS} are read"):
        read(made({**LEAST, **many}))


def test_a_body_that_is_not_accepted_is_not_looked_at() -> None:
    with pytest.raises(ContentDisallowed, match="application/x-python-serialize"):
        read(made(body=b"cos\nsystem\n(S'false'\ntR.", content_type="application/x-python-serialize"))


def test_a_message_is_refused_by_its_size_before_it_is_read() -> None:
    assert MAX_SIZE == 64 * 2**20
    envelope = made(body=b"x" * 1000)
    with pytest.raises(DecodeError, match=r"body: the message has \d+ bytes, at most 1000 are read"):
        read(envelope, max_size=1000)


def test_a_bomb_is_refused_before_it_expands() -> None:
    press = zlib.compressobj(9)
    bomb = b"".join(press.compress(b" " * 2**20) for _ in range(300)) + press.flush()
    assert len(bomb) < 310_000
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match="body: has more than 1000000 bytes when expanded"):
            read(made({**LEAST, "compression": "application/x-gzip"}, bomb), max_size=1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["gzip", "zlib", "application/x-gzip"])
def test_a_compression_is_read_by_any_of_its_names(name: str) -> None:
    message = read(made({**LEAST, "compression": name}, zlib.compress(TRIPLE)))
    assert (message.args, message.compression) == ([1, 2], "gzip")


def test_a_package_that_is_missing_makes_the_message_undecodable_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brotli", None)
    monkeypatch.setitem(sys.modules, "msgpack", None)
    with pytest.raises(DecodeError, match=r"compression: .*pip install 'umbel\[compression\]'"):
        read(made({**LEAST, "compression": "application/x-brotli"}))
    with pytest.raises(DecodeError, match=r"content-type: .*pip install 'umbel\[msgpack\]'"):
        read(made(content_type="application/x-msgpack"), accept=frozenset({"application/x-msgpack"}))
    with pytest.raises(MissingExtra):
        encode(Message(task="t", id="i", serializer="msgpack"), "plain")


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml", "pickle"])
def test_arguments_that_cannot_be_written_are_named(serializer: str) -> None:
    odd: Any = (lambda: 0) if serializer == "pickle" else 1j
    for fields, place in (
        ({"args": (1, {"x": odd})}, r"args\[1\]\['x'\]"),
        ({"kwargs": {"k": [odd]}}, r"kwargs\['k'\]\[0\]"),
        ({"links": Links(callbacks=[{"args": [odd]}])}, r"links\['callbacks'\]\[0\]\['args'\]\[0\]"),
    ):
        with pytest.raises(EncodeError, match=f"^{place}: cannot write <class '"):
            encode(Message(task="t", id="i", serializer=serializer, **fields), "plain")


def test_headers_properties_and_stamps_that_cannot_be_written_are_named() -> None:
    for fields, place in (
        ({"headers": {"h": {1}}}, r"headers\['h'\]"),
        ({"properties": {"p": {1}}}, r"properties\['p'\]"),
        ({"stamps": {"s": {1}}}, r"stamps\['s'\]"),
    ):
        with pytest.raises(EncodeError, match=f"^{place}: cannot write <class 'set'>"):
            encode(Message(task="t", id="i", **fields), "plain")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields", [{"headers": {"retries": 5}}, {"headers": {"compression": "x"}}, {"properties": {"priority": 5}}]
)
def test_a_name_that_is_the_messages_own_cannot_be_used(fields: dict[str, Any]) -> None:
    with pytest.raises(EncodeError, match=r"\['\w+'\]: this name is the message's own; choose another"):
        encode(Message(task="t", id="i", **fields), "plain")


@pytest.mark.parametrize("args", ["text", b"bytes"])
def test_text_is_no_list_of_arguments(args: Any) -> None:
    with pytest.raises(EncodeError, match="args: must be a list or tuple, not"):
        encode(Message(task="t", id="i", args=args), "plain")


def test_other_sequences_and_mappings_of_arguments_are_written() -> None:
    message = Message(task="t", id="i", args=deque([1]), kwargs=UserDict(a=2))
    assert read(encode(message, "plain")).args == [1]
    assert read(encode(message, "plain")).kwargs == {"a": 2}


def test_an_unknown_serializer_or_compression_is_refused() -> None:
    with pytest.raises(UnknownOption, match="serializer: unknown name 'jsn'"):
        encode(Message(task="t", id="i", serializer="jsn"), "plain")
    with pytest.raises(UnknownOption, match="compression: unknown name 'gzap'; did you mean 'gzip'"):
        encode(Message(task="t", id="i", compression="gzap"), "plain")


def test_many_messages_are_written_or_none() -> None:
    good = Message(task="t", id="i")
    assert encode_many([good, good], "plain") == [encode(good, "plain")] * 2
    with pytest.raises(EncodeError):
        encode_many([good, Message(task="t", id="i", args=[1j])], "plain")


def test_a_broker_is_told_when_a_message_expires_if_the_time_is_told() -> None:
    message = Message(task="t", id="i", expires=datetime(2026, 1, 1, tzinfo=UTC))
    moment = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert "expiration" not in unpack(encode(message, "plain")).properties
    assert unpack(encode(message, "plain", now=moment - 60)).properties["expiration"] == "60000"
    assert unpack(encode(message, "plain", now=moment + 60)).properties["expiration"] == "0"
    naive = Message(task="t", id="i", expires=datetime(2026, 1, 1))  # noqa: DTZ001 - read as UTC
    assert unpack(encode(naive, "plain", now=moment - 60)).properties["expiration"] == "60000"


@pytest.mark.parametrize(
    ("envelope", "seen"),
    [
        (made(), ("tasks.add", "the id")),
        (made(body=b"\xff", content_type="no"), ("tasks.add", "the id")),
        (made({"task": "t", "id": "other"}), ("t", "other")),
        (made({"task": 5, "id": ""}), (None, "the id")),
        (made({}), (None, "the id")),
        (Envelope("plain", "known", b"\xff", b""), (None, "known")),
        (Envelope("plain", "", b"[" * 100_000, b""), (None, None)),
        (Envelope("papyrus", "known", b"", b""), (None, "known")),
    ],
)
def test_what_can_be_told_of_a_message_is_told_without_reading_its_body(
    envelope: Envelope, seen: tuple[str | None, str | None]
) -> None:
    assert peek(envelope) == seen
