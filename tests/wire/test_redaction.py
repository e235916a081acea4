"""Named arguments are hidden wherever they stand in a call, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from umbel.model import Message
from umbel.wire.redaction import UNKNOWN, Parameters, Redaction, parameters_of


def login(user: str, password: str, *codes: int, again: bool = False, **further: Any) -> None: ...


def only(user: str, password: str, /, *, code: int) -> None: ...


class Callables:
    def method(self, password: str) -> None: ...


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (
            login,
            Parameters(("user", "password"), "codes", "further", frozenset({"user", "password", "again"})),
        ),
        (only, Parameters(("user", "password"), None, None, frozenset({"code"}))),
        (Callables().method, Parameters(("password",), None, None, frozenset({"password"}))),
        (lambda: None, Parameters()),
        (max, UNKNOWN),
    ],
)
def test_a_function_tells_what_it_calls_its_arguments(function: Callable[..., Any], parameters: Parameters) -> None:
    assert parameters_of(function) == parameters


@pytest.mark.parametrize(
    ("names", "args", "kwargs", "shown"),
    [
        ("password", ("ann", "sesame"), {}, (("ann", "***"), {})),
        ("password", ["ann", "sesame", 1], {}, (["ann", "***", 1], {})),
        ("password", ("ann",), {"password": "sesame"}, (("ann",), {"password": "***"})),
        ("password", (), {}, ((), {})),
        ("codes", ("ann", "x", 1, 2), {}, (("ann", "x", "***", "***"), {})),
        ("further", ("ann",), {"pin": 5, "again": True}, (("ann",), {"pin": "***", "again": True})),
        ("pin", ("ann",), {"pin": 5, "again": True}, (("ann",), {"pin": "***", "again": True})),
        ("user password", ("ann", "sesame"), {}, (("***", "***"), {})),
        ("other", ("ann", "sesame"), {"pin": 5}, (("ann", "sesame"), {"pin": 5})),
        ("password", ({"password": "inside"}, "sesame"), {}, (({"password": "inside"}, "***"), {})),
    ],
)
def test_an_argument_is_hidden_by_its_name_wherever_it_stands(names: str, args: Any, kwargs: Any, shown: Any) -> None:
    redaction, parameters = Redaction(names.split()), parameters_of(login)
    assert (redaction.args(args, parameters), redaction.kwargs(kwargs, parameters)) == shown


def test_a_function_that_is_not_here_is_known_by_its_keywords_alone() -> None:
    redaction = Redaction(["password"])
    assert redaction.args(("ann", "sesame"), UNKNOWN) == ("ann", "sesame")
    assert redaction.kwargs({"password": "sesame", "user": "ann"}, UNKNOWN) == {"password": "***", "user": "ann"}


def test_a_message_gets_representations_and_keeps_those_that_it_has() -> None:
    message = Message(task="t", id="i", args=["ann", "sesame"], kwargs={"pin": "5"})
    shown = Redaction(["password", "pin"]).of(message, parameters_of(login))
    assert (shown.argsrepr, shown.kwargsrepr) == ("['ann', '***']", "{'pin': '***'}")
    assert (shown.args, shown.kwargs) == (message.args, message.kwargs)
    told = Message(task="t", id="i", args=["ann"], argsrepr="(a user)", kwargsrepr="")
    assert Redaction(["user"]).of(told, parameters_of(login)) == told


def test_arguments_of_any_kind_of_sequence_are_hidden() -> None:
    assert Redaction(["user"]).args(range(2), parameters_of(login)) == ("***", 1)
