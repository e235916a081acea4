"""Whatever a message holds, decoding it is bounded in time and memory, and raises nothing but errors of the wire."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from umbel.errors import ContentDisallowed, DecodeError, EncodeError, WireError
from umbel.model import Envelope, Message
from umbel.serial import accepted
from umbel.serial.dialect import MAX_CONTAINERS, MAX_DIGITS
from umbel.wire.bounds import MAX_HEAD, MAX_NAME
from umbel.wire.envelope import pack, unpack
from umbel.wire.task_v2 import decode, encode

JSON = accepted(["json"])
MSGPACK = accepted(["msgpack"])
SNAN = {"__type__": "decimal", "__value__": "sNaN"}


def made(
    headers: Mapping[str, Any] | None = None,
    body: bytes = b"[[], {}, null]",
    properties: Mapping[str, Any] | None = None,
    content_type: str = "application/json",
) -> Envelope:
    head = {"headers": {"task": "t", "id": "i", **(headers or {})}, "properties": properties or {}}
    return Envelope("plain", "i", json.dumps(head | {"content-type": content_type}).encode(), body)


@pytest.fixture
def unlimited_digits() -> Iterator[None]:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    yield
    sys.set_int_max_str_digits(before)


# -- names and the head ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["task", "id", "root_id", "parent_id", "group", "shadow"])
@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("x" * (MAX_NAME + 1), f"has {MAX_NAME + 1} characters, at most {MAX_NAME}"),
        ("\ud800", "half of a surrogate pair"),
        ("\udfffx", "half of a surrogate pair"),
        ("a\0b", "must not contain a NUL"),
    ],
    ids=["long", "first half", "second half", "NUL"],
)
def test_a_name_that_a_store_could_not_keep_is_refused_when_read_and_when_sent(name: str, value: str, why: str) -> None:
    with pytest.raises(DecodeError, match=f"^{name}: .*{why}"):
        decode(made({name: value}), accept=JSON)
    fields: dict[str, Any] = {"task": "t", "id": "i", name: value}
    with pytest.raises(EncodeError, match=f"^{name}: .*{why}"):
        encode(Message(**fields), "plain")


def test_a_reply_queue_is_such_a_name_too() -> None:
    with pytest.raises(DecodeError, match=r"^reply_to: .*half of a surrogate pair"):
        decode(made(properties={"reply_to": "\ud800"}), accept=JSON)
    with pytest.raises(EncodeError, match=r"^reply_to: .*half of a surrogate pair"):
        encode(Message(task="t", id="i", reply_to="\ud800"), "plain")


def test_names_in_the_body_of_an_old_message_are_looked_at_too() -> None:
    body = json.dumps({"task": "t", "id": "\ud800", "args": [], "kwargs": {}}).encode()
    head = json.dumps({"headers": {}, "properties": {}, "content-type": "application/json"}).encode()
    with pytest.raises(DecodeError, match=r"^id: .*half of a surrogate pair"):
        decode(Envelope("plain", "i", head, body), accept=JSON)


def test_names_in_any_script_and_of_the_greatest_length_are_read() -> None:
    for name in ("x" * MAX_NAME, "größe.計算.🎈"):
        message = Message(task=name, id=name, root_id=name, group=name, shadow=name)
        back = decode(encode(message, "plain"), accept=JSON)
        assert (back.task, back.id, back.root_id, back.group, back.shadow) == (name,) * 5


def test_a_head_beyond_its_limit_is_neither_sent_nor_read() -> None:
    long = Message(task="t", id="i", headers={"trace": "x" * MAX_HEAD})
    with pytest.raises(EncodeError, match=f"headers: with the properties they have .* bytes, at most {MAX_HEAD}"):
        encode(long, "plain")
    with pytest.raises(EncodeError, match="headers: with the properties"):
        pack("plain", "i", {"trace": "x" * MAX_HEAD}, {}, b"", "application/json", "utf-8")
    with pytest.raises(DecodeError, match=f"head: has .* bytes, at most {MAX_HEAD} are read"):
        unpack(Envelope("plain", "i", b" " * (MAX_HEAD + 1), b""))


def test_long_foreign_texts_do_not_stand_whole_in_an_error() -> None:
    long = "x" * 100_000
    for envelope in (
        made(content_type=long),
        made({"compression": long}),
        made({"eta": long}),
        made({"umbel_life": long}),
        made(body=json.dumps([long, {}, None]).encode()),
    ):
        with pytest.raises(WireError) as caught:
            decode(envelope, accept=JSON)
        assert len(str(caught.value)) < 400


def test_an_error_does_not_tell_what_the_arguments_were() -> None:
    bodies: list[Any] = [
        ["sesame", {}, None],
        [[], ["sesame"], None],
        [[], {}, "sesame"],
        [[], {}, {"callbacks": "sesame"}],
        [[], {}, {"chord": ["sesame"]}],
        ["sesame"],
        "sesame",
    ]
    for body in bodies:
        with pytest.raises(DecodeError) as caught:
            decode(made(body=json.dumps(body).encode()), accept=JSON)
        assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "envelope",
    [
        *[made({name: SNAN}) for name in ("eta", "retries", "timelimit", "stamps", "mine", "umbel_life", "priority")],
        *[made(properties={name: SNAN}) for name in ("delivery_mode", "priority", "reply_to", "mine", "expiration")],
        made(body=json.dumps([[SNAN], {"x": SNAN}, {"callbacks": SNAN}]).encode()),
    ],
)
def test_a_value_that_cannot_be_compared_is_no_way_out(envelope: Envelope) -> None:
    try:
        decode(envelope, accept=JSON)
    except WireError:
        return


@pytest.mark.parametrize("where", ["headers", "properties"])
def test_deep_nesting_in_the_head_is_refused(where: str) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    head = f'{{"headers": {{}}, "{where}": {{"x": {deep}}}, "content-type": "application/json"}}'
    with pytest.raises(DecodeError, match="head: is nested too deeply"):
        decode(Envelope("plain", "i", head.encode(), b""), accept=JSON)


def test_of_a_name_that_stands_twice_the_last_counts() -> None:
    head = b'{"headers": {"task": "t", "id": "1", "id": "2"}, "content-type": "x", "content-type": "application/json"}'
    assert decode(Envelope("plain", "i", head, b"[[], {}, null]"), accept=JSON).id == "2"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_arguments_and_nothing_else(number: str) -> None:
    assert decode(made(body=f"[[{number}], {{}}, null]".encode()), accept=JSON).args
    for name in ("retries", "group_index", "umbel_life", "umbel_unknown_since", "timelimit"):
        value = f"[{number}, null]" if name == "timelimit" else number
        head = f'{{"headers": {{"task": "t", "id": "i", "{name}": {value}}}, "content-type": "application/json"}}'
        with pytest.raises(DecodeError, match=f"^{name}: "):
            decode(Envelope("plain", "i", head.encode(), b"[[], {}, null]"), accept=JSON)


# -- the body -------------------------------------------------------------------------------------------------------


def test_a_number_without_end_is_refused() -> None:
    for digits in (5000, 3_000_000):
        with pytest.raises(DecodeError, match="body: cannot be read as JSON"):
            decode(made(body=b"[[" + b"1" * digits + b"], {}, null]"), accept=JSON)


@pytest.mark.usefixtures("unlimited_digits")
def test_a_number_without_end_is_refused_where_the_interpreter_would_read_it() -> None:
    most = b"[[" + b"1" * MAX_DIGITS + b', "' + b"2" * 10 + b'"], {}, null]'
    assert decode(made(body=most), accept=JSON).args[0] > 10**1000
    with pytest.raises(DecodeError, match=f"a number of more than {MAX_DIGITS} digits"):
        decode(made(body=b"[[" + b"1" * 10_000_000 + b"], {}, null]"), accept=JSON)


def msgpack_array(size: int) -> bytes:
    return b"\xdd" + struct.pack(">I", size)


MANY = MAX_CONTAINERS + 1
MASSES: dict[str, Callable[[], Envelope]] = {
    "lists in JSON": lambda: made(body=b"[[" + b"[]," * MANY + b"0], {}, null]"),
    "tables in JSON": lambda: made(body=b"[[" + b"{}," * MANY + b"0], {}, null]"),
    "lists in msgpack": lambda: made(
        body=b"\x93" + msgpack_array(MANY) + b"\x90" * MANY + b"\x80\xc0", content_type="application/x-msgpack"
    ),
    "tables in msgpack": lambda: made(
        body=b"\x93" + msgpack_array(MANY) + b"\x80" * MANY + b"\x80\xc0", content_type="application/x-msgpack"
    ),
}


@pytest.mark.parametrize("mass", MASSES)
def test_a_mass_of_empty_containers_is_refused(mass: str) -> None:
    with pytest.raises(DecodeError, match=f"more than {MAX_CONTAINERS} lists and tables"):
        decode(MASSES[mass](), accept=JSON | MSGPACK)


def test_brackets_in_texts_are_no_containers() -> None:
    text = '[{\\"' * MANY
    assert decode(made(body=f'[["{text}"], {{}}, null]'.encode()), accept=JSON).args == ['[{"' * MANY]
    data = b"\x93\x91\xc6" + struct.pack(">I", 2 * MANY) + b"\x90" * (2 * MANY) + b"\x80\xc0"
    message = decode(made(body=data, content_type="application/x-msgpack"), accept=MSGPACK)
    assert message.args == [b"\x90" * (2 * MANY)]


@pytest.mark.parametrize(
    "body",
    [
        b"\x93" + b"".join(msgpack_array(2**20 - 9) for _ in range(1000)) + b"\0" * 2**20,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\xdb\xff\xff\xff\xffx",
        b"\xc7\x0c\xff" + b"\xff" * 12,
        b"\xd7\xff" + b"\xff" * 8,
        b"\x93\x90\x81\x90\x01\xc0",
        b"\x91" * 100_000,
        b"\xc1",
    ],
    ids=["nested claims", "array", "map", "ext", "str", "time", "time 64", "key", "depth", "never used"],
)
def test_msgpack_that_claims_more_than_it_has_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(made(body=body, content_type="application/x-msgpack"), accept=MSGPACK)


def test_msgpack_extensions_are_values_of_no_consequence() -> None:
    body = b"\x93\x92\xd4\x05\x01\xd6\xff\0\0\0\x01\x80\xc0"
    extension, time = decode(made(body=body, content_type="application/x-msgpack"), accept=MSGPACK).args
    assert (extension.code, extension.data, time.seconds) == (5, b"\x01", 1)


def test_pickle_is_not_looked_at_unless_accepted_and_its_errors_stay_inside() -> None:
    leaving = b"csys\nexit\n(tR."
    envelope = made(body=leaving, content_type="application/x-python-serialize")
    with pytest.raises(ContentDisallowed):
        decode(envelope, accept=JSON)
    with pytest.raises(DecodeError, match="body: is not pickle: SystemExit"):
        decode(envelope, accept=accepted(["pickle"]))


# -- memory, in a process of its own --------------------------------------------------------------------------------


def test_no_bomb_takes_much_memory(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.wire.bombs"], cwd=root, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) > 12
    for outcome in outcomes:
        assert outcome["error"] is not None, outcome
        assert "MemoryError" not in outcome["error"], outcome
        assert outcome["grown"] < 100, outcome
