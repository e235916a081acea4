"""Tests how values are read from a command line and shown on it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from umbel.cli.values import lenient, shown


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4),
        ("-4.5", -4.5),
        ("true", True),
        ("null", None),
        ('{"a": [1]}', {"a": [1]}),
        ('"4"', "4"),
        ("four", "four"),
        ("[1,", "[1,"),
        ("Infinity", "Infinity"),
        ("", ""),
    ],
)
def test_a_text_that_is_json_is_its_value_and_any_other_is_itself(text: str, value: object) -> None:
    assert lenient(text) == value
    assert type(lenient(text)) is type(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (8, "8"),
        (None, "null"),
        ({"käse": [True]}, '{"käse": [true]}'),
        (datetime(2030, 1, 2, tzinfo=UTC), '"2030-01-02 00:00:00+00:00"'),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (ValueError("no luck"), "ValueError: no luck"),
        (ValueError(), "ValueError"),
    ],
)
def test_a_value_is_shown_so_that_people_and_programs_can_read_it(value: Any, text: str) -> None:
    assert shown(value) == text


def test_a_value_that_contains_itself_is_shown_by_its_repr() -> None:
    ring: list[Any] = []
    ring.append(ring)

    assert shown(ring) == "[[...]]"
