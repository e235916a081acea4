"""Messages that real Celery made are read, and the same messages are made byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from tests.wire.golden_files import GOLDEN, VERSIONS, envelope
from umbel.model import Envelope, Links, Message
from umbel.serial import accepted
from umbel.wire.envelope import FORMS, Form, Letter, unpack
from umbel.wire.fields import moment
from umbel.wire.task_v2 import decode, encode, encode_many

EVERYTHING = accepted(["json", "msgpack", "yaml", "pickle"])
NAMES = sorted({(version, name) for version in VERSIONS for name in GOLDEN[version].messages})


def number(n: int) -> str:
    return str(UUID(int=n))


def sent(n: int = 1, **fields: Any) -> Message:
    """The message of the call numbered ``n``, as the script makes it."""
    plain: dict[str, Any] = {
        "task": "tasks.add",
        "id": number(n),
        "args": (n, 2),
        "root_id": number(n),
        "priority": 0,
        "reply_to": number(999),
        "origin": "gen1@client",
    }
    return Message(**{**plain, **fields})


def signature(*args: Any, options: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    plain = {"task": "tasks.add", "args": list(args), "kwargs": {}, "options": options or {}, "subtask_type": None}
    return {**plain, "immutable": False, **fields}


def frozen(n: int, **more: Any) -> dict[str, Any]:
    return signature(n, 2, options={"task_id": number(n), "reply_to": number(999), **more})


TYPED = [
    datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    datetime(2100, 1, 2, 3, 4, 5),  # noqa: DTZ001 - sent as an argument, not as a time to run at
    date(2026, 1, 2),
    time(3, 4, 5),
    Decimal("1.50"),
    UUID(int=5),
    b"abc",
    b"\xff\x00",
]
EXPECTED: dict[str, list[Message]] = {
    "plain": [sent()],
    "kwargs": [sent(args=(), kwargs={"x": 1, "y": {"deep": [1, 2.5, None, True]}, "z": "Grüße \u2028 \x07"})],
    "typed": [sent(args=(TYPED,))],
    "times": [
        sent(
            eta=datetime(2100, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
            expires=datetime(2100, 1, 3, tzinfo=UTC),
        )
    ],
    "naive eta": [sent(eta=datetime(2100, 1, 2, 3, 4, 5, tzinfo=UTC))],
    "options": [
        sent(
            priority=7,
            shadow="shown",
            time_limit=10,
            soft_time_limit=5.5,
            ignore_result=True,
            headers={"user": {"deep": [1, None]}, "when": date(2026, 1, 2)},
            root_id=number(2),
            parent_id=number(3),
            group=number(4),
            group_index=5,
            retries=2,
            argsrepr="(hidden)",
            kwargsrepr="{hidden}",
            # Celery sends these a second time, among the properties.
            properties={"argsrepr": "(hidden)", "kwargsrepr": "{hidden}"},
        )
    ],
    "properties": [sent(properties={"MessageGroupId": "group", "app_id": "app", "delivery_mode": 1})],
    "long": [sent(args=("x" * 3000, list(range(500))))],
    "links": [
        sent(
            links=Links(
                callbacks=[signature(5), signature(1, 2, immutable=True)],
                errbacks=[signature(kwargs={"z": 1}, options={"queue": "errors"})],
            )
        )
    ],
    **{
        name: [sent(args=([1, 2.5, "é", b"\xff"],), kwargs={"z": None}, serializer=name)]
        for name in ("msgpack", "yaml", "pickle")
    },
    **{name: [sent(args=("x" * 200,), compression=name)] for name in ("gzip", "bzip2", "lzma", "brotli", "zstd")},
    "stamped": [sent(stamped_headers=["colour"], stamps={"colour": ["red", "blue"]})],
    "chain": [sent(links=Links(chain=[frozen(3), frozen(2)]))],
    "group": [sent(n, group=number(7), group_index=n - 1) for n in (1, 2)],
    "protocol 1": [
        sent(
            root_id=None,
            origin=None,
            eta=datetime(2100, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
            expires=datetime(2100, 1, 3, tzinfo=UTC),
            time_limit=10,
            soft_time_limit=5,
            links=Links(callbacks=[signature(3)]),
        )
    ],
}


def expected(name: str, letters: list[Letter]) -> list[Message]:
    if name != "chord":
        return EXPECTED[name]
    group = letters[0].headers["group"]
    return [sent(n, group=group, group_index=n - 1, links=Links(chord=frozen(3, group_id=group))) for n in (1, 2)]


def comparable(message: Message) -> dict[str, Any]:
    """The fields, without the difference between lists and tuples and without what is shown to people."""
    fields = {name: getattr(message, name) for name in Message.__slots__}
    del fields["argsrepr"], fields["kwargsrepr"]
    return {**fields, "args": list(message.args)}


def sent_at(letter: Letter) -> float | None:
    """When the message was made, as its milliseconds to its expiry tell."""
    if "expiration" not in letter.properties:
        return None
    return moment("expires", letter.headers["expires"]).timestamp() - int(letter.properties["expiration"]) / 1000


def assert_same(made: Letter, theirs: Letter) -> None:
    ours = dict(made.headers)
    if ours["eta"] != theirs.headers["eta"]:
        assert moment("eta", ours["eta"]) == moment("eta", theirs.headers["eta"])
        ours["eta"] = theirs.headers["eta"]
    assert list(ours.items()) == list(theirs.headers.items())
    assert list(made.properties.items()) == list(theirs.properties.items())
    assert (made.content_type, made.content_encoding) == (theirs.content_type, theirs.content_encoding)
    assert made.body == theirs.body


@pytest.mark.parametrize(("version", "name"), NAMES)
def test_a_message_of_celery_is_read(version: str, name: str) -> None:
    letters = GOLDEN[version].messages[name]
    read = [decode(envelope(letter), accept=EVERYTHING) for letter in letters]
    assert list(map(comparable, read)) == list(map(comparable, expected(name, letters)))


@pytest.mark.parametrize(("version", "name"), [each for each in NAMES if each[1] != "protocol 1"])
def test_a_message_that_was_read_is_written_as_celery_wrote_it(version: str, name: str) -> None:
    for letter in GOLDEN[version].messages[name]:
        message = decode(envelope(letter), accept=EVERYTHING)
        assert_same(unpack(encode(message, "plain", now=sent_at(letter))), letter)


@pytest.mark.parametrize(("version", "name"), [each for each in NAMES if each[1] != "protocol 1"])
def test_the_same_call_makes_the_same_message(version: str, name: str) -> None:
    letters = GOLDEN[version].messages[name]
    for letter, message in zip(letters, expected(name, letters), strict=True):
        made = unpack(encode(message, "plain", now=sent_at(letter)))
        if name in ("typed", "kwargs", "long", "msgpack", "yaml", "pickle"):
            # Celery shows some bytes and control characters in its own way, and cuts long arguments elsewhere.
            made.headers["argsrepr"] = letter.headers["argsrepr"]
            made.headers["kwargsrepr"] = letter.headers["kwargsrepr"]
        assert_same(made, letter)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_two_ways_to_make_a_head_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layout that has types of its own gets tables, one that is JSON inside gets text."""
    parts: list[tuple[Any, ...]] = []

    def pack(*given: Any) -> Envelope:
        parts.append(given)
        return Envelope("tables", given[0], b"", given[3])

    monkeypatch.setitem(FORMS, "tables", Form(pack, unpack))
    now = 4_000_000_000.0
    plain = [unpack(made) for made in encode_many(EXPECTED[name], "plain", now=now)]
    encode_many(EXPECTED[name], "tables", now=now)
    assert [Letter(*given[1:]) for given in parts] == plain
    assert [list(given[1]) for given in parts] == [list(letter.headers) for letter in plain]
    assert [list(given[2]) for given in parts] == [list(letter.properties) for letter in plain]
