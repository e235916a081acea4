"""Messages that no client of good will makes, each with what its dead letter or its failure has to name."""

from __future__ import annotations

import gzip
import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from umbel.errors import EncodeError
from umbel.model import Envelope, Message
from umbel.wire import task_v2
from umbel.wire.amqp import pack_properties
from umbel.wire.envelope import Letter, pack, unpack

DEEP = "[" * 100_000 + "]" * 100_000
HUGE = "9" * 100_000
BOMB = gzip.compress(bytes(300_000_000), 6)


class Broken(NamedTuple):
    """``named`` must occur in the reason."""

    what: str
    envelope: Envelope
    named: str


def letter(task_id: str, form: str) -> Letter:
    """The parts of a message that is as it should be."""
    return unpack(task_v2.encode(Message(task="poison.answer", id=task_id, kwargs={"x": 1}), form))


HEADERS: dict[str, tuple[Any, ...]] = {
    "id": (None, 7, "", ["x"], {"x": 1}),
    "task": (7, "", ["x"]),
    "eta": (5, "yesterday", [], {}, True, "2026-13-45T99:99:99"),
    "expires": (5.5, "soon", [], {}),
    "retries": ("x", -1, 1.5, 2**80, [], True),
    "timelimit": (5, "x", [1], [1, 2, 3], ["a", "b"], [-1, None], [1e300, None], {}),
    "group": (5, []),
    "group_index": ("x", 2**80, []),
    "root_id": (5, [], {}),
    "parent_id": (5, []),
    "shadow": (5, []),
    "ignore_result": ("yes", 5, []),
    "replaced_task_nesting": ("x", -1, 2**80),
    "stamped_headers": (5, [1, 2], "x"),
    "stamps": (5, [], "x"),
}

BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "body"),
    "bytes that are no text": (b"\xff\xfe\x00\x80garbage", "body"),
    "text that is no JSON": (b"hello", "body"),
    "null": (b"null", "body"),
    "a number": (b"17", "body"),
    "a text": (b'"text"', "body"),
    "an empty table": (b"{}", ""),
    "an empty list": (b"[]", "body"),
    "two parts": (b"[[], {}]", "body"),
    "four parts": (b"[[], {}, {}, {}]", "body"),
    "args that are a table": (b"[{}, {}, {}]", "args"),
    "args that are null": (b"[null, {}, {}]", "args"),
    "args that are a text": (b'["abc", {}, {}]', "args"),
    "kwargs that are a list": (b"[[], [], {}]", "kwargs"),
    "kwargs that are null": (b"[[], null, {}]", "kwargs"),
    "links that are a list": (b"[[], {}, [1]]", "embed"),
    "callbacks that are a number": (b'[[], {}, {"callbacks": 5}]', "embed.callbacks"),
    "callbacks of numbers": (b'[[], {}, {"callbacks": [5]}]', "embed.callbacks"),
    "errbacks that are a table": (b'[[], {}, {"errbacks": {}}]', "embed.errbacks"),
    "a chain that is a text": (b'[[], {}, {"chain": "x"}]', "embed.chain"),
    "a chord that is a list": (b'[[], {}, {"chord": []}]', "embed.chord"),
    "deep JSON": (DEEP.encode(), "body"),
    "deep arguments": (f"[[{DEEP}], {{}}, {{}}]".encode(), "body"),
    "a huge number": (f"[[{HUGE}], {{}}, {{}}]".encode(), "body"),
    "too many arguments": (b"[[1, 2, 3], {}, {}]", "TypeError"),
    "an unknown argument": (b'[[], {"nope": 1}, {}]', "TypeError"),
}

HEADS: dict[str, tuple[bytes, str]] = {
    "an empty head": (b"", "head"),
    "a head of garbage": (b"\xff\x00\x80", "head"),
    "a head that is null": (b"null", "head"),
    "a head that is a list": (b"[1, 2]", "head"),
    "a head that is an empty table": (b"{}", "headers"),
    "deep JSON in the head": (DEEP.encode(), "head"),
    "a huge number in the head": (f'{{"headers": {{"retries": {HUGE}}}}}'.encode(), "head"),
    "headers that are a list": (b'{"headers": [], "properties": {}, "content-type": "application/json"}', "headers"),
    "properties that are a number": (
        b'{"headers": {}, "properties": 5, "content-type": "application/json"}',
        "properties",
    ),
    "no content type": (b'{"headers": {}, "properties": {}}', "content-type"),
    "a content type that is a number": (b'{"headers": {}, "properties": {}, "content-type": 5}', "content-type"),
}


STRANGE: dict[str, tuple[bytes, bytes]] = {
    "nothing at all": (b"\x00\x00", b""),
    "a text without a word about it": (b"\x00\x00", b"hello"),
    "JSON of another program": (pack_properties({"content_type": "application/json"}), b'{"event": "paid"}'),
    "headers of another program": (
        pack_properties({"content_type": "application/json", "headers": {"event": "paid", "deep": {"er": [{}]}}}),
        b"{}",
    ),
}
"""Head and body of messages that RabbitMQ takes from any program."""


def messages(form: str = "plain") -> Iterator[Broken]:
    """All of them that this layout can hold; the ids of their envelopes differ, here and elsewhere."""
    brand = uuid.uuid4().hex[:8]
    number = 0

    def made(what: str, named: str, **changed: Any) -> Iterator[Broken]:
        nonlocal number
        number += 1
        task_id = f"broken-{brand}-{number}"
        parts = letter(task_id, form)._replace(**{k: v for k, v in changed.items() if k != "headers"})
        headers = {**parts.headers, **changed.get("headers", {})}
        with suppress(EncodeError):
            envelope = pack(
                form, task_id, headers, parts.properties, parts.body, parts.content_type, parts.content_encoding
            )
            yield Broken(what, envelope, named)

    for field, values in HEADERS.items():
        for value in values:
            yield from made(f"{field} = {value!r:.40}", field, headers={field: value})
    yield from made("2,000 headers", "headers", headers={f"x{n}": n for n in range(2000)})
    for what, (body, named) in BODIES.items():
        yield from made(f"body: {what}", named, body=body)
    for kind in ("application/x-python-serialize", "application/x-yaml", "application/unheard-of", ""):
        yield from made(f"content type {kind!r}", "", content_type=kind)
    yield from made("an unknown encoding", "", content_encoding="klingon")
    yield from made("an unknown compression", "compression", headers={"compression": "application/x-unheard-of"})
    yield from made("a compression that is a number", "compression", headers={"compression": 5})
    yield from made("gzip that is none", "", headers={"compression": "application/x-gzip"}, body=b"garbage")
    yield from made("a bomb", "", headers={"compression": "application/x-gzip"}, body=BOMB)
    if form == "plain":
        for what, (head, named) in HEADS.items():
            number += 1
            yield Broken(what, Envelope(form, f"broken-{brand}-{number}", head, b"[[], {}, {}]"), named)


ROWS: dict[str, tuple[Any, Any, Any, Any]] = {
    "a head that is text": (0, "row-1", json.dumps({"headers": {}}), b"[]"),
    "a body that is text": (0, "row-3", b"{}", "null"),
    "an id that is bytes": (0, b"\xff\x00row-4", b"{}", b""),
    "an empty id": (0, "", b"{}", b""),
    "a priority that is text": ("high", "row-6", b"{}", b""),
    "a priority beyond all": (2**62, "row-7", b"{}", b""),
}
"""Rows that a foreign hand has written: priority, id, head, body."""


def write_rows(connection: sqlite3.Connection, queue: str) -> None:
    """Put the rows into the queue, past umbel."""
    connection.executemany(
        "INSERT INTO messages (queue, priority, claim, due, id, head, body) VALUES (?, ?, 1073741824, NULL, ?, ?, ?)",
        [(queue, *row) for row in ROWS.values()],
    )
    connection.commit()
