"""Text that shows values: as ``repr`` has it while it is short, bounded when it is not, and always there."""

from __future__ import annotations

import tracemalloc
from collections import OrderedDict, namedtuple
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.wire.reprs import BUDGET, safe_repr


class Silent:
    def __repr__(self) -> NoReturn:
        raise RuntimeError("no")


class Leaving:
    def __repr__(self) -> NoReturn:
        raise SystemExit


class Number:
    def __repr__(self) -> str:
        return 5  # type: ignore[return-value]


class Sly(str):
    __slots__ = ()

    def __getitem__(self, key: Any) -> NoReturn:
        raise RuntimeError("no")


class Shown:
    def __repr__(self) -> str:
        return Sly("shown")


class Broken(dict[str, int]):
    def items(self) -> NoReturn:
        raise RuntimeError("no")


class Endless(list[int]):
    def __iter__(self) -> Iterator[int]:
        while True:
            yield 7


@pytest.mark.parametrize(
    "value",
    [
        (),
        {},
        [],
        (1,),
        (1, "it's", 2.5, None, True),
        {"a": 1, "b": "é"},
        [[1, {2}], (3,), {"k": [frozenset({4}), frozenset(), set()]}, b"x", bytearray(b"y")],
        "text",
        5,
        None,
        ("\n\x07",),
        {"a" * 300: 1},
        ("a" * 300,),
        tuple(range(20)),
        {n: n for n in range(20)},
    ],
    ids=repr,
)
def test_what_is_short_is_shown_as_it_is(value: Any) -> None:
    assert safe_repr(value) == repr(value)


Pair = namedtuple("Pair", "x y")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Pair(1, 2), "(1, 2)"),
        (OrderedDict(a=1), "{'a': 1}"),
        ((Silent(),), "(<Silent without a repr: RuntimeError>,)"),
        ((Leaving(),), "(<Leaving without a repr: SystemExit>,)"),
        ((Number(),), "(<Number without a repr: TypeError>,)"),
        ((10**5000,), "(<int without a repr: ValueError>,)"),
        ([Broken(a=1)], "[{<Broken without a repr: RuntimeError>}]"),
        ([Shown()], "[shown]"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_resists_is_shown_too(value: Any, text: str) -> None:
    assert safe_repr(value) == text


def test_what_contains_itself_is_shown_once() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert safe_repr(loop) == "[1, [...]]"
    twice = [0]
    assert safe_repr([twice, twice]) == "[[0], [0]]"


def test_what_never_ends_is_cut() -> None:
    assert safe_repr(Endless(), 12) == "[7, 7, 7, 7,...]"


def test_deep_nesting_is_cut() -> None:
    deep: Any = 1
    for _ in range(10_000):
        deep = (deep,)
    assert safe_repr(deep) == "(" * 13 + "..." + ")" + ",)" * 12


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x" * 50, "'xxxxxxxxx..."),
        (("x" * 50,), "('xxxxxxxx...)"),
        ([1] * 50, "[1, 1, 1, ...]"),
        ({"a": {"b": "c" * 50}}, "{'a': {'b'...}}"),
        (b"x" * 50, "b'xxxxxxxx..."),
    ],
)
def test_what_is_long_is_cut_and_its_brackets_closed(value: Any, text: str) -> None:
    assert safe_repr(value, 10) == text


def test_what_is_huge_is_not_represented_to_be_cut() -> None:
    huge = ["x" * 10_000_000] * 1000
    tracemalloc.start()
    try:
        assert len(safe_repr(huge)) < BUDGET + 10
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


values = st.recursive(
    st.none() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@given(values, st.integers(0, 200))
def test_no_text_is_much_longer_than_its_budget(value: Any, budget: int) -> None:
    text = safe_repr(value, budget)
    assert text == repr(value) or len(text) <= budget + 40
