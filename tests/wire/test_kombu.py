"""Tests of messages as they travel over stores of plain values, Celery's own among them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.golden_files import FOLDER, VERSIONS
from tests.wire.test_golden_messages import EVERYTHING, comparable, frozen, sent
from tests.wire.test_golden_messages import EXPECTED as PLAIN
from umbel.errors import EncodeError, WireError
from umbel.model import Envelope, Links, Message
from umbel.wire import task_v2
from umbel.wire.envelope import unpack
from umbel.wire.kombu import Told, addressed, has_eta, pack, redelivered, same, told_by
from umbel.wire.marking import marked, resent
from umbel.wire.protection import Protection
from umbel.wire.signing import Signing

JSON = frozenset({"application/json"})

CAPTURED: dict[str, dict[str, list[bytes]]] = {
    version: {
        name: [json.dumps(message).encode() for message in made]
        for name, made in json.loads((FOLDER / f"celery-{version}.json").read_text())["messages"].items()
    }
    for version in VERSIONS
}
NAMES = sorted({(version, name) for version in VERSIONS for name in CAPTURED[version]})


def message(**fields: Any) -> Message:
    return Message(task="shop.add", id="01a2", args=[1, 2], kwargs={"x": None}, **fields)


def entry_of(**fields: Any) -> bytes:
    made = message(**fields)
    return addressed(task_v2.encode(made, "kombu").head, "", "mail", made.priority)


def envelope(entry: bytes) -> Envelope:
    return Envelope("kombu", told_by(entry).id, entry, b"")


def expected(name: str, made: list[bytes]) -> list[Message]:
    """As on other brokers, but that 0 is the most urgent priority, and the one of a call without any."""
    if name == "chord":
        group = json.loads(made[0])["headers"]["group"]
        chord = Links(chord=frozen(3, group_id=group))
        messages = [sent(n, group=group, group_index=n - 1, links=chord) for n in (1, 2)]
    else:
        messages = PLAIN[name]
    return [replace(each, priority=2 if each.priority == 7 else None) for each in messages]


@pytest.mark.parametrize(("version", "name"), NAMES)
def test_a_message_of_celery_is_read(version: str, name: str) -> None:
    made = CAPTURED[version][name]
    read = [task_v2.decode(envelope(entry), accept=EVERYTHING) for entry in made]
    assert list(map(comparable, read)) == list(map(comparable, expected(name, made)))


@pytest.mark.parametrize(("version", "name"), NAMES)
def test_a_node_knows_of_it_what_it_must_know(version: str, name: str) -> None:
    for entry, read in zip(CAPTURED[version][name], expected(name, CAPTURED[version][name]), strict=True):
        due = None if read.eta is None or name == "protocol 1" else read.eta.timestamp()  # its body tells
        assert told_by(entry) == Told(read.id, 9 if read.priority is None else read.priority, False, due)
        assert told_by(redelivered(entry)) == told_by(entry)._replace(redelivered=True)


@pytest.mark.parametrize(("version", "name"), [each for each in NAMES if each[1] != "protocol 1"])
def test_what_was_read_is_written_with_the_same_parts(version: str, name: str) -> None:
    for entry in CAPTURED[version][name]:
        read = task_v2.decode(envelope(entry), accept=EVERYTHING)
        theirs = json.loads(entry)
        ours = json.loads(addressed(task_v2.encode(read, "kombu").head, "", "celery", read.priority))
        assert list(ours) == list(theirs)
        assert ours.pop("body") == theirs.pop("body")
        for parts in (ours, theirs):
            parts["headers"]["eta"] = parts["properties"]["delivery_tag"] = None
            parts["properties"].pop("expiration", None)
        assert ours == theirs


@pytest.mark.slow
@pytest.mark.parametrize("name", ["celery56", "celery57"])
def test_kombu_reads_what_umbel_writes(name: str, interpreter: Callable[[str], Path], root: Path) -> None:
    version = dict(zip(("celery56", "celery57"), VERSIONS, strict=True))[name]
    names = [each for each in CAPTURED[version] if each != "protocol 1"]
    pairs = []
    for each in names:
        theirs = CAPTURED[version][each][0]
        read = task_v2.decode(envelope(theirs), accept=EVERYTHING)
        pairs.append(
            [theirs.decode(), addressed(task_v2.encode(read, "kombu").head, "", "celery", read.priority).decode()]
        )
    done = subprocess.run(
        [interpreter(name), root / "tests" / "wire" / "kombu_end.py", "virtual"],
        input=json.dumps(pairs),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    for each, (theirs, ours) in zip(names, json.loads(done.stdout), strict=True):
        for seen in (theirs, ours):
            seen["headers"].pop("eta", None)
            seen["properties"].pop("delivery_tag")
            seen["properties"].pop("expiration", None)
        assert theirs == ours, each


@given(st.binary())
def test_any_entry_is_read_or_named(entry: bytes) -> None:
    told_by(entry)
    redelivered(entry)
    try:
        unpack(Envelope("kombu", "x", entry, b""))
    except WireError:
        return


@given(st.binary(max_size=60), st.integers(0, 700))
def test_an_entry_that_was_cut_or_changed_is_read_or_named(noise: bytes, at: int) -> None:
    entry = entry_of()
    for broken in (entry[:at], entry[:at] + noise, entry[:at] + noise + entry[at + len(noise) :]):
        told_by(broken)
        redelivered(broken)
        try:
            task_v2.decode(Envelope("kombu", "x", broken, b""), accept=JSON)
        except WireError:
            continue


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4)
)


@given(values, st.sampled_from(["headers", "properties", "body", "top"]))
def test_any_json_in_any_place_is_read_or_named(value: Any, place: str) -> None:
    fields = json.loads(entry_of())
    if place == "top":
        fields = value
    else:
        fields[place] = value
    entry = json.dumps(fields).encode()
    told_by(entry)
    redelivered(entry)
    try:
        task_v2.decode(Envelope("kombu", "x", entry, b""), accept=JSON)
    except WireError:
        return


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=50),
    st.none() | st.integers(0, 9),
    st.dictionaries(st.text(max_size=20).filter(lambda name: not name.startswith("umbel_")), values, max_size=4),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
)
def test_what_a_node_is_told_is_what_stands_there(
    id: str, priority: int | None, headers: dict[str, Any], name: str
) -> None:
    try:
        made = task_v2.encode(Message(task=name or "t", id=id, headers=headers, shadow=name), "kombu")
    except EncodeError:  # a name that is the message's own
        return
    entry = addressed(made.head, name, name, priority)
    assert told_by(entry) == Told(id, 9 if priority is None else priority, False, None)
    assert told_by(redelivered(entry)) == told_by(entry)._replace(redelivered=True)
    assert redelivered(redelivered(entry)) == redelivered(entry)
    assert task_v2.decode(envelope(redelivered(entry)), accept=JSON).id == id


def test_a_message_comes_back_as_it_was() -> None:
    sent = message(retries=2, time_limit=3.5, headers={"mine": {"deep": [1, "ż"]}}, priority=4, reply_to="there")
    got = task_v2.decode(envelope(addressed(task_v2.encode(sent, "kombu").head, "x", "y", 4)), accept=JSON)
    assert (got.task, got.id, got.args, got.kwargs) == ("shop.add", "01a2", [1, 2], {"x": None})
    assert (got.retries, got.time_limit, got.headers, got.priority) == (2, 3.5, {"mine": {"deep": [1, "ż"]}}, 4)
    assert got.reply_to == "there"


def test_the_address_and_the_priority_are_those_of_the_route() -> None:
    entry = addressed(task_v2.encode(message(priority=3), "kombu").head, "exchange", 'a "key"', 3)
    properties = json.loads(entry)["properties"]
    assert properties["delivery_info"] == {"exchange": "exchange", "routing_key": 'a "key"'}
    assert properties["priority"] == 6
    assert addressed(entry, "", "elsewhere", 9) == entry


def test_each_message_has_a_tag_of_its_own() -> None:
    tags = {json.loads(entry_of())["properties"]["delivery_tag"] for _ in range(10)}
    assert len(tags) == 10


def test_a_message_is_known_again_though_somebody_has_written_it_anew() -> None:
    entry, another = entry_of(), entry_of()
    fields = json.loads(entry)
    fields["headers"]["redelivered"] = True
    assert same(entry, redelivered(entry))
    assert same(entry, json.dumps(fields).encode())
    assert not same(entry, another)
    assert same(b"no JSON", b"no JSON")
    assert not same(b"no JSON", entry)


def test_an_eta_is_seen_where_it_stands() -> None:
    from datetime import UTC, datetime

    assert has_eta(entry_of(eta=datetime(2100, 1, 1, tzinfo=UTC)))
    assert not has_eta(entry_of(headers={"mine": '"eta":"2100"'}, argsrepr='"eta":"2100"'))
    odd = entry_of().replace(b'"eta":null', b'"eta":"some day"')
    assert told_by(odd).due is None


def test_what_has_no_tasks_id_is_known_by_what_it_has() -> None:
    fields = json.loads(entry_of())
    del fields["properties"]["correlation_id"]
    assert told_by(json.dumps(fields).encode()).id == "01a2"
    assert told_by(b"no JSON at all") == Told("", 9, False, None)
    assert redelivered(b"no JSON at all") == b"no JSON at all"


def test_a_body_may_be_text() -> None:
    fields = json.loads(entry_of())
    del fields["properties"]["body_encoding"]
    fields["body"] = '[[3], {}, {"chord": null}]'
    assert task_v2.decode(envelope(json.dumps(fields).encode()), accept=JSON).args == [3]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"body": 3}, "body: not text but int"),
        ({"body": "no base64!"}, "body: not base64"),
        ({"headers": None}, "headers: missing"),
        ({"properties": [1]}, "properties: not a table"),
        ({"content-type": 7}, "content-type: not text"),
        ({"properties": {"body_encoding": "rot13"}}, "body_encoding: is 'rot13'"),
        ({"headers": {"task": "t", "id": "x", "long": "x" * 2**20}}, "head: has 1"),
    ],
)
def test_a_part_that_is_wrong_is_named(changes: dict[str, Any], named: str) -> None:
    entry = json.dumps({**json.loads(entry_of()), **changes}).encode()
    with pytest.raises(WireError, match=named):
        unpack(Envelope("kombu", "x", entry, b""))


def test_headers_that_are_too_long_are_not_sent() -> None:
    with pytest.raises(EncodeError, match="at most 1048576"):
        pack("x", {"long": "x" * 2**20}, {}, b"", "application/json", "utf-8")


def test_a_message_that_is_marked_keeps_its_place_to_be_named() -> None:
    protection = Protection(Signing((b"0" * 32,), 60.0), None, time.time)
    made = task_v2.encode(message(), "kombu", protection=protection)
    again = resent(made._replace(head=addressed(made.head, "", "mail", None)))
    assert task_v2.decode(again, accept=JSON, protection=protection).id == "01a2"
    assert b'"delivery_info"' not in again.head
    assert unpack(marked(task_v2.encode(message(), "kombu"), {"umbel_life": 2})).headers["umbel_life"] == 2
