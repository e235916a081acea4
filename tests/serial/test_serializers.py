"""Every serializer: what it writes and reads, what it refuses, and what it says then."""

from __future__ import annotations

import pickle
import sys
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.errors import ContentDisallowed, DecodeError, EncodeError, MissingExtra, UnknownOption, WireError
from umbel.serial import accepted, content_type_of, dumps, loads, serializer_of

EVERYTHING = accepted(["json", "msgpack", "yaml", "pickle", "raw", "text"])
JSON = accepted(["json"])


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml", "pickle"])
def test_what_was_written_is_read_back(serializer: str) -> None:
    value = {"list": [1, -2.5, None, True, "é"], "bytes": b"\xff", "empty": {}}
    content_type, encoding, data = dumps(value, serializer)
    assert loads(data, content_type, encoding, EVERYTHING) == value


@pytest.mark.parametrize(
    ("value", "serializer", "written"),
    [
        ("str", "raw", ("application/data", "utf-8", b"str")),
        (b"\xff", "raw", ("application/data", "binary", b"\xff")),
        ("é", "text", ("text/plain", "utf-8", "é".encode())),
        ([1, "a"], "msgpack", ("application/x-msgpack", "binary", b"\x92\x01\xa1a")),
        ([1, "a"], "yaml", ("application/x-yaml", "utf-8", b"- 1\n- a\n")),
        ([1], "pickle", ("application/x-python-serialize", "binary", pickle.dumps([1], protocol=4))),
    ],
)
def test_other_serializers_write_what_kombu_writes(
    value: Any, serializer: str, written: tuple[str, str, bytes]
) -> None:
    assert dumps(value, serializer) == written
    assert loads(written[2], written[0], written[1], EVERYTHING) == value


@pytest.mark.parametrize("serializer", ["msgpack", "yaml", "pickle", "raw", "text"])
def test_what_a_serializer_cannot_write_is_named(serializer: str) -> None:
    part = [lambda: None] if serializer == "pickle" else [timedelta(1)]
    place = "kwargs" if serializer in ("raw", "text") else "kwargs['when'][0]"
    with pytest.raises(EncodeError) as caught:
        dumps({"when": part}, serializer, "kwargs")
    assert str(caught.value).startswith(f"{place}: cannot write <class '")
    assert f"as {serializer} (" in str(caught.value)
    assert str(caught.value).endswith("; convert it first")


@pytest.mark.parametrize("serializer", ["msgpack", "yaml", "pickle"])
def test_bytes_of_another_kind_are_refused(serializer: str) -> None:
    data = b"[{: " if serializer == "yaml" else b"\xc1"
    with pytest.raises(DecodeError, match=f"^body: is not {serializer}: "):
        loads(data, content_type_of(serializer), "binary", EVERYTHING)


def test_deep_msgpack_and_yaml_are_refused() -> None:
    for content_type, data in (("application/x-msgpack", b"\x91" * 100_000), ("application/x-yaml", b"[" * 5000)):
        with pytest.raises(DecodeError):
            loads(data, content_type, "binary", EVERYTHING)


def test_yaml_makes_no_objects() -> None:
    with pytest.raises(DecodeError, match="could not determine a constructor"):
        loads(b"!!python/object/apply:os.getpid []", "application/x-yaml", "utf-8", EVERYTHING)


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("it was unpickled",))


@pytest.mark.parametrize("content_type", ["application/x-python-serialize", "application/x-yaml", "text/plain", "no"])
def test_a_content_type_that_is_not_accepted_is_not_looked_at(content_type: str) -> None:
    with pytest.raises(ContentDisallowed, match=r"not accepted here \(accepted: application/json\); name it in accept"):
        loads(pickle.dumps(Trap()), content_type, "binary", JSON)


def test_raw_data_is_read_whatever_is_accepted() -> None:
    assert loads(b"[1]", "application/data", "utf-8", frozenset()) == "[1]"
    assert loads(b"[1]", "application/data", "binary", frozenset()) == b"[1]"
    assert loads(b"[1]", "application/text", "utf-8", frozenset()) == "[1]"


def test_an_accepted_type_that_nothing_reads_is_an_error_that_says_so() -> None:
    with pytest.raises(DecodeError, match="content-type: nothing here reads 'application/x-own'"):
        loads(b"", "application/x-own", "utf-8", frozenset({"application/x-own"}))


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("utf-8", b'"\xc3\xa9"'),
        ("UTF-8", b'"\xc3\xa9"'),
        ("binary", b'"\xc3\xa9"'),
        ("", b'"\xc3\xa9"'),
        ("us-ascii", b'"\\u00e9"'),
        ("iso-8859-1", b'"\xe9"'),
        ("utf-16", '"é"'.encode("utf-16")),
    ],
)
def test_content_encodings_in_use_are_read(encoding: str, data: bytes) -> None:
    assert loads(data, "application/json", encoding, JSON) == "é"


def test_other_content_encodings_are_refused() -> None:
    with pytest.raises(DecodeError, match="content-encoding: unknown encoding 'idna'"):
        loads(b"[]", "application/json", "idna", JSON)
    with pytest.raises(DecodeError, match="body: is not utf-8 text: invalid start byte at byte 1"):
        loads(b'"\xff"', "application/json", "utf-8", JSON)


def test_serializers_and_content_types_name_each_other() -> None:
    assert accepted(["json", "application/x-yaml"]) == {"application/json", "application/x-yaml"}
    assert content_type_of("pickle") == "application/x-python-serialize"
    assert serializer_of("application/x-msgpack") == "msgpack"


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    for use in (content_type_of, lambda name: accepted([name]), lambda name: dumps(1, name)):
        with pytest.raises(UnknownOption, match="serializer: unknown name 'jsn'; did you mean 'json'"):
            use("jsn")
    with pytest.raises(UnknownOption, match="content type: unknown name 'application/jsn'; did you mean"):
        serializer_of("application/jsn")


@pytest.mark.parametrize("package", ["msgpack", "yaml"])
def test_a_missing_package_is_named_with_the_line_that_installs_it(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for use in (
        lambda: accepted([package]),
        lambda: dumps([1], package),
        lambda: loads(b"\x90", content_type_of(package), "utf-8", EVERYTHING),
    ):
        with pytest.raises(MissingExtra, match=rf"pip install 'umbel\[{package}\]'"):
            use()


@given(st.binary(), st.sampled_from(sorted(EVERYTHING - {"application/x-python-serialize"})), st.text())
def test_any_bytes_give_a_value_or_an_error_of_the_wire(data: bytes, content_type: str, encoding: str) -> None:
    for name in ("utf-8", "binary", encoding):
        try:
            loads(data, content_type, name, EVERYTHING)
        except WireError:
            continue
