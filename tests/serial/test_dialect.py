"""JSON as it travels: typed values, what cannot be written, and what is refused when read."""

from __future__ import annotations

import enum
import json
import sys
from collections import namedtuple
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.errors import DecodeError, EncodeError, WireError
from umbel.serial import dumps, read_json, write_json
from umbel.serial.dialect import MAX_DEPTH


class Opaque:
    """A class that JSON does not know."""

    def __repr__(self) -> str:
        return "Opaque()"


class Told:
    def __init__(self, says: Any) -> None:
        self.says = says

    def __repr__(self) -> str:
        return f"Told({self.says!r})"

    def __json__(self) -> Any:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.fixture
def high_recursion_limit() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    yield
    sys.setrecursionlimit(before)


Pair = namedtuple("Pair", "x y")


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, 2.5, "a", None, True, {"b": ()}], '[1, 2.5, "a", null, true, {"b": []}]'),
        ("é\u2028\ud800", '"\\u00e9\\u2028\\ud800"'),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        ({1: 3, None: 2, 1.5: 4}, '{"1": 3, "null": 2, "1.5": 4}'),
        (Pair(1, 2), "[1, 2]"),
        ({Colour.RED: Colour.RED}, '{"red": "red"}'),
        (datetime(2026, 1, 2, 3, 4, 5), '{"__type__": "datetime", "__value__": "2026-01-02T03:04:05"}'),  # noqa: DTZ001
        (
            datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
            '{"__type__": "datetime", "__value__": "2026-01-02T03:04:05.000006+00:00"}',
        ),
        (date(2026, 1, 2), '{"__type__": "date", "__value__": "2026-01-02"}'),
        (time(1, 2, tzinfo=UTC), '{"__type__": "time", "__value__": "01:02:00+00:00"}'),
        (Decimal("1.50"), '{"__type__": "decimal", "__value__": "1.50"}'),
        (UUID(int=5), '{"__type__": "uuid", "__value__": {"hex": "00000000000000000000000000000005"}}'),
        (b"abc", '{"__type__": "bytes", "__value__": "abc"}'),
        (b"\xff\x00", '{"__type__": "base64", "__value__": "/wA="}'),
        (Told({"a": Told(b"x")}), '{"a": {"__type__": "bytes", "__value__": "x"}}'),
    ],
    ids=repr,
)
def test_json_is_written_in_the_dialect_of_the_wire(value: Any, text: str) -> None:
    assert write_json(value) == text
    assert dumps(value, "json") == ("application/json", "utf-8", text.encode())


def test_a_lazily_translated_string_is_written_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    class Promise:
        def __str__(self) -> str:
            return "bonjour"

    functional = ModuleType("django.utils.functional")
    functional.Promise = Promise  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "django.utils.functional", functional)
    assert write_json([Promise()]) == '["bonjour"]'


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (Opaque(), "args"),
        ([1, {"x": Opaque()}], "args[1]['x']"),
        (({"a": [0, (Opaque(),)]},), "args[0]['a'][1][0]"),
        ([{1, 2}], "args[0]"),
        ([timedelta(1)], "args[0]"),
    ],
    ids=str,
)
def test_what_json_cannot_write_is_named_with_its_place_and_type(value: Any, place: str) -> None:
    with pytest.raises(EncodeError) as caught:
        write_json(value, "args")
    text = str(caught.value)
    assert text.startswith(f"{place}: cannot write <class '")
    assert "as json; convert it first, or give its class a __json__ method" in text


def test_a_key_that_json_cannot_write_is_told_with_the_reason() -> None:
    with pytest.raises(EncodeError, match=r"value\['a'\]: cannot write <class 'dict'> as json \(TypeError: keys must"):
        write_json({"a": {(1, 2): 3}})


def test_an_error_in_a_values_own_method_is_told() -> None:
    with pytest.raises(EncodeError, match=r"value\[0\]: .*__json__ method raised KeyError: 'gone'"):
        write_json([Told(KeyError("gone"))])


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(EncodeError, match="nested too deeply for json, or contains itself"):
        write_json(loop)


@pytest.mark.usefixtures("high_recursion_limit")
def test_a_value_that_contains_itself_is_refused_under_a_high_recursion_limit() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = [loop]
    with pytest.raises(EncodeError, match="Circular reference"):
        write_json(loop)
    assert write_json([b"x"]) == '[{"__type__": "bytes", "__value__": "x"}]'


def test_a_number_of_too_many_digits_is_refused() -> None:
    with pytest.raises(EncodeError, match=r"value\['n'\]: cannot write <class 'int'> as json"):
        write_json({"n": 10**5000})


def test_the_search_for_the_culprit_ends() -> None:
    value: Any = Opaque()
    for _ in range(200):
        value = [value]
    with pytest.raises(EncodeError, match=r"value(\[0\]){50}: cannot write <class 'list'>"):
        write_json(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (' \t\n{"a": 1} \r\n', {"a": 1}),
        ("[NaN]", None),
        ('{"__type__": "datetime", "__value__": "2026-01-02T00:00:00Z"}', datetime(2026, 1, 2, tzinfo=UTC)),
        ('{"__value__": "2026-01-02T10:00:00", "__type__": "date"}', date(2026, 1, 2)),
        ('{"__type__": "uuid", "__value__": {"hex": "00000000000000000000000000000005"}}', UUID(int=5)),
        (
            '{"__type__": "uuid", "__value__": {"hex": "00000000000000000000000000000005", "version": 4}}',
            UUID("00000000-0000-4000-8000-000000000005"),
        ),
        ('{"__type__": "bytes", "__value__": "é"}', "é".encode()),
        ('{"\\u005f_type__": "decimal", "__value__": "1.5"}', Decimal("1.5")),
        ('{"__type__": "no such", "__value__": 1, "more": 2}', {"__type__": "no such", "__value__": 1, "more": 2}),
        ('{"__type__": "no such"}', {"__type__": "no such"}),
    ],
)
def test_json_is_read_with_its_typed_values(text: str, value: Any) -> None:
    read = read_json(text, "body")
    assert read == value or value is None
    assert type(read) is type(value) or value is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "nonsense",
        "[1,",
        "[1] 2",
        '"\ud800',
        "\ufeff[]",
        '{"__type__": "no such", "__value__": 1}',
        '{"__type__": null, "__value__": 1}',
        '{"__type__": ["x"], "__value__": 1}',
        '{"__type__": "datetime", "__value__": "x"}',
        '{"__type__": "datetime", "__value__": 5}',
        '{"__type__": "decimal", "__value__": "x"}',
        '{"__type__": "uuid", "__value__": "x"}',
        '{"__type__": "uuid", "__value__": {"hex": 5}}',
        '{"__type__": "uuid", "__value__": {}}',
        '{"__type__": "base64", "__value__": "a"}',
        "1" * 5000,
    ],
)
def test_what_is_not_such_json_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match=r"^body: cannot be read as JSON"):
        read_json(text, "body")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(DecodeError, match="head: is nested too deeply"):
        read_json("[" * 100_000 + "]" * 100_000, "head")


@pytest.mark.usefixtures("high_recursion_limit")
def test_deep_nesting_is_refused_under_a_high_recursion_limit() -> None:
    with pytest.raises(DecodeError, match="nested too deeply"):
        read_json('{"a":[' * MAX_DEPTH, "body")
    flat = ["[" * 10, '\\"', {"a": []}] * MAX_DEPTH
    assert read_json(json.dumps(flat), "body") == flat


zones = st.sampled_from([None, UTC, timezone(timedelta(hours=5, minutes=30))])
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=zones)
    | st.dates()
    | st.times()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(values)
def test_any_json_value_and_typed_value_comes_back_as_it_was(value: Any) -> None:
    assert read_json(write_json(value), "value") == value


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["datetime", "uuid", "bytes", "base64"]),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.sampled_from(["__type__", "__value__", "hex"]), inner)
        | st.fixed_dictionaries({"__type__": inner, "__value__": inner})
    ),
    max_leaves=15,
)


@given(any_json)
def test_any_json_gives_a_value_or_an_error_of_the_wire(value: Any) -> None:
    try:
        read_json(json.dumps(value), "body")
    except WireError:
        return
