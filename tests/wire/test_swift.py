"""Values of frozen classes made without their constructors are the same values."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from umbel.model import Message, Record
from umbel.wire import fields as wire_fields
from umbel.wire.swift import maker

NAMES = ("id", "state", *(field.name for field in fields(Record) if field.name not in ("id", "state")))


def test_a_value_is_equal_to_one_that_the_constructor_made() -> None:
    make = maker(Record, NAMES)
    plain = Record(id="x", state="SUCCESS")
    made = make(*(getattr(plain, name) for name in NAMES))
    assert made == plain
    assert type(made) is Record
    assert replace(made, state="FAILURE") == replace(plain, state="FAILURE")
    assert pickle.loads(pickle.dumps(made)) == plain
    with pytest.raises(FrozenInstanceError):
        made.id = "y"  # type: ignore[misc]


def test_a_field_that_does_not_exist_is_refused() -> None:
    with pytest.raises(AttributeError, match="colour"):
        maker(Record, ("id", "colour"))


@pytest.mark.parametrize("count", [1, 30])
def test_too_few_or_too_many_values_are_refused(count: int) -> None:
    with pytest.raises(TypeError, match="argument"):
        maker(Record, NAMES)(*range(count))


def test_every_field_of_a_message_is_set() -> None:
    read = wire_fields.message_from({"task": "t", "id": "i"}, {}, [], {}, None, "json", None)
    assert read == Message(task="t", id="i", args=[])
    assert all(hasattr(read, field.name) for field in fields(Message))
