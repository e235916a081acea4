"""Records as bytes: what is kept, in which serializer, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.errors import ContentDisallowed, DecodeError, EncodeError, UnknownOption, WireError
from umbel.model import Record, SealedRecord, State
from umbel.serial import accepted
from umbel.wire.results import seal, unseal

EVERYTHING = accepted(["json", "msgpack", "yaml", "pickle"])
FULL = Record(
    id="the id",
    state="SUCCESS",
    value={"a": [1, "é"]},
    children=[[["child", None], None]],
    date_done=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    group_id="group",
    parent_id="parent",
    name="tasks.add",
    args=[1],
    kwargs={"b": 2},
    worker="w@host",
    retries=3,
    queue="q",
    life=2,
)


def sealed(payload: bytes | dict[str, Any]) -> SealedRecord:
    return SealedRecord("x", "", payload if isinstance(payload, bytes) else json.dumps(payload).encode())


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml", "pickle"])
def test_a_record_comes_back_whole_in_every_serializer(serializer: str) -> None:
    assert unseal(seal(FULL, serializer=serializer), EVERYTHING) == FULL


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml", "pickle"])
def test_an_exception_comes_back_in_every_serializer(serializer: str) -> None:
    failed = Record(id="x", state="FAILURE", value=ValueError("a", {1}), traceback="Traceback")
    value = unseal(seal(failed, serializer=serializer), EVERYTHING).value
    assert type(value) is ValueError
    assert value.args in (("a", {1}), ("a", "{1}"))


def test_what_a_store_must_know_stands_beside_the_bytes() -> None:
    made = seal(FULL, expires=12.5)
    assert (made.id, made.state, made.expires, made.life) == ("the id", "SUCCESS", 12.5, 2)
    assert made.final


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
def test_what_is_not_asked_for_is_not_kept(serializer: str) -> None:
    short = unseal(seal(FULL, serializer=serializer, extended=False), EVERYTHING)
    assert (short.value, short.group_id, short.parent_id) == (FULL.value, "group", "parent")
    assert (short.name, short.args, short.kwargs, short.worker, short.retries, short.queue) == (None,) * 6


def test_a_short_record_has_the_keys_of_the_wire_in_their_order() -> None:
    text = seal(Record(id="x", state="SUCCESS", value=1), extended=False).payload.decode()
    assert list(json.loads(text)) == ["status", "result", "traceback", "children", "date_done", "task_id"]


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml", "pickle"])
def test_a_result_that_cannot_be_written_is_an_error_that_says_where(serializer: str) -> None:
    with pytest.raises(EncodeError, match=r"^result\['x'\]\[1\]: cannot write <class '(object|function)'>"):
        seal(Record(id="x", state="SUCCESS", value={"x": [0, (lambda: 0)]}), serializer=serializer)


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml"])
def test_arguments_that_cannot_be_written_are_kept_as_text(serializer: str) -> None:
    odd = Record(id="x", state="SUCCESS", value=1, args=[1j], kwargs={"a": 2j})
    read = unseal(seal(odd, serializer=serializer), EVERYTHING)
    assert (read.value, read.args, read.kwargs) == (1, "[1j]", "{'a': 2j}")


def test_an_unknown_serializer_is_refused() -> None:
    with pytest.raises(UnknownOption, match="did you mean 'json'"):
        seal(FULL, serializer="jsn")


def test_a_record_in_a_type_that_is_not_accepted_is_not_looked_at() -> None:
    for serializer in ("msgpack", "yaml", "pickle"):
        with pytest.raises(ContentDisallowed):
            unseal(seal(FULL, serializer=serializer))


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b"nonsense", "content type 'application/x-yaml'"),
        (b"", "content type 'application/x-yaml'"),
        (b"{", "body"),
        ({}, "status"),
        ({"status": 5}, "status"),
        ({"status": "SUCCESS", "traceback": 5}, "traceback"),
        ({"status": "SUCCESS", "children": 5}, "children"),
        ({"status": "SUCCESS", "date_done": 5}, "date_done"),
        ({"status": "SUCCESS", "date_done": "soon"}, "date_done"),
        ({"status": "SUCCESS", "retries": "x"}, "retries"),
        ({"status": "SUCCESS", "queue": []}, "queue"),
    ],
)
def test_what_is_no_record_is_refused_with_the_field(payload: bytes | dict[str, Any], field: str) -> None:
    with pytest.raises(WireError, match=f"^{field}"):
        unseal(sealed(payload))


def test_a_record_that_is_no_table_is_refused() -> None:
    with pytest.raises(DecodeError, match="record: is 'nonsense' and must be a table"):
        unseal(sealed(b"nonsense"), EVERYTHING)


def test_the_least_that_celery_ever_wrote_is_a_record() -> None:
    least = {"status": "SUCCESS", "result": 3, "traceback": None, "children": None}
    assert unseal(sealed(least)) == Record(id="x", state="SUCCESS", value=3, children=[])


def test_a_date_without_an_offset_is_in_utc() -> None:
    read = unseal(sealed({"status": "SUCCESS", "date_done": "2026-01-02T03:04:05.000006"}))
    assert read.date_done == datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def test_a_retry_without_an_exception_has_no_value() -> None:
    assert unseal(sealed({"status": "RETRY", "result": None})).value is None


@given(st.binary())
def test_any_bytes_give_a_record_or_an_error_of_the_wire(payload: bytes) -> None:
    try:
        unseal(sealed(payload), accepted(["json", "msgpack", "yaml"]))
    except WireError:
        return


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries(
        {"status": st.sampled_from(["SUCCESS", "FAILURE", "RETRY"])},
        optional={
            "result": any_json
            | st.fixed_dictionaries(
                {},
                optional={
                    "exc_type": any_json | st.sampled_from(["system", "ValueError", "a.b"]),
                    "exc_module": any_json | st.sampled_from(["os", "builtins"]),
                    "exc_message": any_json,
                },
            ),
            "children": any_json,
            "date_done": any_json,
            "name": any_json,
        },
    )
)
def test_any_table_gives_a_record_or_an_error_of_the_wire(meta: dict[str, Any]) -> None:
    try:
        read = unseal(sealed(meta))
    except WireError:
        return
    if read.state != "SUCCESS" and read.value is not None:
        assert isinstance(read.value, BaseException)


@pytest.mark.parametrize(("key", "why"), [("\udcff", "half of a surrogate pair"), ("a\0", "a NUL character")])
def test_an_id_or_a_state_that_no_store_can_keep_is_refused(key: str, why: str) -> None:
    with pytest.raises(EncodeError, match=f"task_id: .* {why}"):
        seal(Record(id=key, state=State.SUCCESS))
    with pytest.raises(EncodeError, match=f"state: .* {why}"):
        seal(Record(id="i", state=key))
    assert seal(Record(id="größe", state="HALB")).id == "größe"
