"""Exceptions as they are stored: nothing that one does can stop it, and nothing stored can do harm."""

from __future__ import annotations

import json
import os
import sys
from types import ModuleType
from typing import Any, NoReturn

import pytest

from umbel import errors
from umbel.errors import SecurityError
from umbel.serial import write_json
from umbel.wire.exceptions import from_wire, to_wire
from umbel.wire.names import EXCEPTION_MODULES


class TwoArguments(Exception):
    def __init__(self, first: Any, second: Any) -> None:
        super().__init__(first)
        self.second = second


class Hostile(Exception):
    @property
    def args(self) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("no args")

    def __repr__(self) -> NoReturn:
        raise SystemExit

    __str__ = __repr__


class Unspeakable:
    def __repr__(self) -> NoReturn:
        raise SystemExit


class Outer:
    class Inner(Exception):
        pass


def test_an_exception_is_its_class_its_arguments_and_its_module() -> None:
    assert to_wire(ValueError("a", 1)) == {"exc_type": "ValueError", "exc_message": ["a", 1], "exc_module": "builtins"}
    assert to_wire(Outer.Inner())["exc_type"] == "Outer.Inner"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), OSError(2, "gone", "file")])
def test_every_exception_can_be_stored(error: BaseException) -> None:
    read = from_wire(json.loads(write_json(to_wire(error))))
    assert type(read) is type(error)
    assert read.args == error.args


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
def test_arguments_that_cannot_be_written_are_shown(serializer: str) -> None:
    wire = to_wire(ValueError({1}, Unspeakable(), "é", 10**5000, [{2}]), serializer)
    assert wire["exc_message"] == [
        "{1}",
        "<Unspeakable without a repr: SystemExit>",
        "é",
        "<int without a repr: ValueError>",
        "[{2}]",
    ]


def test_an_exception_that_resists_is_stored_all_the_same() -> None:
    assert to_wire(Hostile("x", 1))["exc_message"] == ["x", 1]
    odd = type("Odd", (Exception,), {"__module__": 5, "args": "none"})
    assert to_wire(odd("y")) == {"exc_type": "Odd", "exc_message": ["y"], "exc_module": None}


@pytest.mark.parametrize("name", sorted(EXCEPTION_MODULES))
def test_errors_of_umbel_that_celery_knows_have_its_names_on_the_wire(name: str) -> None:
    kind = getattr(errors, name)
    wire = to_wire(kind("text"))
    assert (wire["exc_type"], wire["exc_module"]) == (name, EXCEPTION_MODULES[name])
    assert type(from_wire(wire)) is kind


def test_other_errors_of_umbel_keep_their_own() -> None:
    wire = to_wire(errors.StoreFull("full"))
    assert wire["exc_module"] == "umbel.errors"
    assert type(from_wire(wire)) is errors.StoreFull


def test_a_subclass_of_an_error_of_umbel_is_the_users_own() -> None:
    class Reject(errors.Reject):
        pass

    assert to_wire(Reject("x"))["exc_module"] == __name__


def test_what_the_arguments_do_not_fit_becomes_a_plain_exception_with_the_text() -> None:
    read = from_wire(to_wire(TwoArguments("one", "two")))
    assert type(read) is Exception
    assert str(read) == "TwoArguments('one')"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("no.such.module", "Lost"),
        ("builtins", "NoSuchError"),
        (None, "Lost"),
        (__name__, "somewhere.<locals>.Lost"),
        (5, "Lost"),
    ],
)
def test_a_class_that_is_not_found_has_a_stand_in_of_its_name(module: Any, name: str) -> None:
    read = from_wire({"exc_type": name, "exc_message": ["why"], "exc_module": module})
    assert isinstance(read, Exception)
    assert type(read).__name__ == name.rpartition(".")[2]
    assert read.args == ("why",)


@pytest.mark.parametrize("name", ["\0", "\ud800", ""])
def test_a_name_that_no_class_can_have_does_no_harm(name: str) -> None:
    read = from_wire({"exc_type": name, "exc_message": ["why"], "exc_module": "m"})
    assert read.args == ("why",)


def test_a_module_that_is_not_imported_is_not_imported() -> None:
    assert "this" not in sys.modules
    from_wire({"exc_type": "s", "exc_message": [], "exc_module": "this"})
    assert "this" not in sys.modules


@pytest.mark.parametrize(("module", "name"), [("os", "system"), ("builtins", "object"), ("builtins", "eval")])
def test_what_is_no_exception_class_is_refused_and_not_called(module: str, name: str) -> None:
    assert hasattr(os, "system")
    read = from_wire({"exc_type": name, "exc_message": ["false"], "exc_module": module})
    assert type(read) is SecurityError
    assert str(read) == f"the stored exception names {module}.{name}, which is no exception class"


def test_looking_a_class_up_runs_no_code_of_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = ModuleType("lazy")
    lazy.__getattr__ = lambda name: pytest.fail(f"asked for {name}")  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "lazy", lazy)
    assert type(from_wire({"exc_type": "Later", "exc_message": [], "exc_module": "lazy"})).__name__ == "Later"


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ("boom", "boom"),
        ({"no": "type"}, "{'no': 'type'}"),
        ({"exc_type": 5}, "{'exc_type': 5}"),
        ([1], "[1]"),
        ({"exc_type": "ValueError", "exc_module": "builtins", "exc_message": "old"}, "old"),
        ({"exc_type": "ValueError", "exc_module": "builtins"}, ""),
        ({"exc_type": "ValueError", "exc_module": "builtins", "exc_message": {"a": 1}}, "{'a': 1}"),
    ],
)
def test_records_of_other_shapes_are_read(stored: Any, text: str) -> None:
    assert str(from_wire(stored)) == text


def test_an_exception_that_was_stored_as_such_stays_itself() -> None:
    error = ValueError("pickled")
    assert from_wire(error) is error


def test_a_constructor_that_returns_something_else_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = type("Odd", (Exception,), {"__new__": lambda kind, *args: 5, "__module__": __name__})
    monkeypatch.setitem(globals(), "Odd", odd)
    read = from_wire({"exc_type": "Odd", "exc_message": ["x"], "exc_module": __name__})
    assert (type(read), str(read)) == (Exception, "Odd('x')")
