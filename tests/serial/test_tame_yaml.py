"""YAML of unknown senders: plain values, aliases as far as they go, and nothing that grows beyond its text."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from umbel.errors import DecodeError
from umbel.serial import accepted, dumps, loads
from umbel.serial.tame_yaml import MAX_DIGITS, MAX_EXPANDED, MAX_HEIGHT, MAX_YAML, read_yaml

YAML = accepted(["yaml"])


def laughs(levels: int, each: int) -> str:
    """A text of ``levels`` lists, each of ``each`` aliases of the one before."""
    lines = ["a0: &a0 [ha]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * each)}]")
    return "\n".join(lines)


def test_a_value_that_stands_in_several_places_is_read_from_its_aliases() -> None:
    shared = {"street": "Main", "tags": ["a", "b"]}
    content_type, encoding, data = dumps([shared, {"again": shared}], "yaml")
    assert b"&id001" in data
    assert loads(data, content_type, encoding, YAML) == [shared, {"again": shared}]


def test_aliases_that_stand_for_far_more_than_their_text_are_refused() -> None:
    assert len(laughs(10, 10)) < 1000
    with pytest.raises(DecodeError, match="body: stands, by its aliases, for more than is read as YAML"):
        read_yaml(laughs(10, 10))
    assert read_yaml(laughs(3, 3))["a2"] == [[["ha"]] * 3] * 3


def test_a_long_text_that_is_repeated_counts_with_its_length() -> None:
    text = "x" * 100_000
    times = MAX_EXPANDED // len(text) + 1
    with pytest.raises(DecodeError, match="stands, by its aliases, for more"):
        read_yaml(f"- &a {text}\n- [{', '.join(['*a'] * times)}]")


@pytest.mark.parametrize("text", ["&a [*a]", "&a {x: [1, *a]}", "- &a {x: &b [*a]}\n- *b"])
def test_what_contains_itself_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="body: contains itself, by an alias"):
        read_yaml(text)


def test_nesting_that_aliases_pile_up_is_refused() -> None:
    chain = ["- &a0 [x]", *(f"- &a{n} [*a{n - 1}]" for n in range(1, MAX_HEIGHT + 2))]
    with pytest.raises(DecodeError, match="stands, by its aliases, for more"):
        read_yaml("\n".join(chain))


def test_merge_keys_which_multiply_are_refused_and_nothing_is_multiplied() -> None:
    lines = ["a0: &a0 {x: 1, y: 2}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)]
    with pytest.raises(DecodeError, match=r"body: uses a merge key \(<<\) of YAML"):
        read_yaml("\n".join(lines))


@pytest.mark.parametrize("number", ["1" + ":1" * 20_000, "1" * (MAX_DIGITS + 1), "0x" + "f" * MAX_DIGITS])
def test_numbers_without_end_are_refused(number: str) -> None:
    with pytest.raises(DecodeError, match=f"body: has a number of .* characters, at most {MAX_DIGITS}"):
        read_yaml(f"- {number}")


@pytest.mark.parametrize(("text", "value"), [("0x1F", 31), ("1:30", 90), ("-12", -12), ("1_000", 1000), ("0b11", 3)])
def test_other_numbers_are_read_in_every_notation(text: str, value: int) -> None:
    assert read_yaml(text) == value


def test_a_text_that_would_take_minutes_to_read_is_refused() -> None:
    with pytest.raises(DecodeError, match=f"body: has {MAX_YAML + 1} characters, at most {MAX_YAML} are read as YAML"):
        read_yaml("#" * (MAX_YAML + 1))


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system [id]", "!!python/name:os.system", "!own 1"])
def test_tags_that_name_anything_but_plain_values_are_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor"):
        read_yaml(text)
    with pytest.raises(DecodeError, match="body: is not yaml: ConstructorError"):
        loads(text.encode(), "application/x-yaml", "utf-8", YAML)


@pytest.mark.parametrize("opening", ["[", "{", "- ", "? ", "{a: ["])
def test_deep_nesting_is_refused(opening: str) -> None:
    with pytest.raises(DecodeError, match="body: is not yaml: RecursionError"):
        loads((opening * 20_000).encode(), "application/x-yaml", "utf-8", YAML)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=10,
)


@given(values)
def test_any_value_is_read_as_the_package_reads_it(value: Any) -> None:
    text = yaml.safe_dump([value, value])
    assert read_yaml(text) == yaml.safe_load(text)
