"""How the ends of a chord's parts are written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from umbel.errors import ContentDisallowed, DecodeError, EncodeError
from umbel.model import Envelope, Links, Message
from umbel.serial import accepted
from umbel.wire import task_v2
from umbel.wire.chords import (
    Member,
    membership,
    seal_link,
    seal_member,
    unseal_link,
    unseal_member,
    values_of,
)

SERIALIZERS = ["json", "msgpack", "yaml", "pickle"]
ALL = accepted(SERIALIZERS)


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_an_end_is_read_as_it_was_written_and_tells_whose_it_is(serializer: str) -> None:
    value = {"id-1": [1, "a", None]}
    payload, (first, last) = seal_member("id-1", "SUCCESS", value, serializer)
    assert unseal_member(payload, ALL) == Member("id-1", "SUCCESS", value)
    again, same = seal_member("id-1", "FAILURE", ValueError("x" * 300_000), serializer)
    assert (same, again[first:last]) == ((first, last), payload[first:last])
    for id in ("id-10", "id-", "other"):
        assert seal_member(id, "SUCCESS", "id-1", serializer)[0][first:last] != payload[first:last]


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_a_failure_is_read_as_the_exception(serializer: str) -> None:
    member = unseal_member(seal_member("a", "FAILURE", KeyError("a", 1), serializer)[0], ALL)
    assert (member.failed, repr(member.value)) == (True, "KeyError('a', 1)")


def test_it_looks_as_celerys() -> None:
    payload, _ = seal_member("a", "FAILURE", KeyError("k"))
    error = {"exc_type": "KeyError", "exc_message": ["k"], "exc_module": "builtins"}
    assert payload.decode() == json.dumps([1, "a", "FAILURE", error])


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(EncodeError):
        seal_member("a", "SUCCESS", {1, 2})


def test_what_is_not_accepted_is_not_looked_at() -> None:
    with pytest.raises(ContentDisallowed):
        unseal_member(seal_member("a", "SUCCESS", 1, "pickle")[0], accepted(["json"]))


@pytest.mark.parametrize("payload", [b"[1, 2]", b'[1, 2, "SUCCESS", 3]', b"{}", b"[", b'[1, "a", null, 3]'])
def test_what_is_no_end_is_refused(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        unseal_member(payload, ALL)


MEMBERS = [Member("a", "SUCCESS", 1), Member("b", "SUCCESS", 2), Member("c", "SUCCESS", 3)]


def task(id: str) -> Any:
    return [[id, None], None]


def nested(*tree: Any) -> bytes:
    return json.dumps({"result": [["g", None], list(tree)]}).encode()


@pytest.mark.parametrize(
    ("record", "values"),
    [
        (None, [1, 2, 3]),
        (nested(task("c"), task("b"), task("a")), [3, 2, 1]),
        (nested(task("c"), [["h", task("x")], [task("a"), task("b")]]), [3, [1, 2]]),
        (nested(task("c"), [["h", None], []], task("a"), task("b")), [3, [], 1, 2]),
        (nested(task("a"), task("b")), [1, 2, 3]),
        (nested(task("a"), task("b"), task("c"), task("d")), [1, 2, 3]),
        (b"{", [1, 2, 3]),
        (b'{"other": 1}', [1, 2, 3]),
        (b'{"result": [1, 2]}', [1, 2, 3]),
    ],
)
def test_the_body_gets_values_as_they_were_nested(record: bytes | None, values: list[Any]) -> None:
    assert values_of(MEMBERS, record, ALL) == values


def part_in(form: str, **fields: Any) -> Envelope:
    links = Links(chord={"task": "body"})
    return task_v2.encode(Message(task="t", id="part", links=links, **{"group": "g", "group_index": 3, **fields}), form)


@pytest.mark.parametrize("form", ["plain", "kombu", "amqp"])
def test_a_link_is_read_as_it_was_written(form: str) -> None:
    envelope = part_in(form)
    assert unseal_link(seal_link(envelope)) == envelope


@pytest.mark.parametrize("link", [b"", b"2 plain 4 {}", b"1 plain x {}", b"1 plain 2 {}", b"1 nothing 2 {}"])
def test_a_link_that_is_none_is_an_error(link: bytes) -> None:
    with pytest.raises(DecodeError):
        unseal_link(link)


@pytest.mark.parametrize("form", ["plain", "kombu", "amqp"])
def test_the_head_of_a_message_tells_of_which_group_it_is(form: str) -> None:
    assert membership(part_in(form)) == ("part", "g", 3)
    assert membership(part_in(form, group_index=None)) == ("part", "g", None)
    assert membership(part_in(form, group=None)) is None
    assert membership(part_in(form)._replace(head=b"?")) is None


@pytest.mark.parametrize("group", ["", 7, "g" * 100_000, "\ud800"])
def test_a_group_that_can_be_none_is_none(group: Any) -> None:
    envelope = part_in("plain")
    head = json.loads(envelope.head)
    head["headers"]["group"] = group
    assert membership(envelope._replace(head=json.dumps(head).encode())) is None
