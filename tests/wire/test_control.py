"""Tests of commands and answers as they travel."""

from __future__ import annotations

import json
from typing import Any

import pytest

from umbel.errors import ContentDisallowed, DecodeError, SignatureError
from umbel.model import Envelope
from umbel.serial import accepted
from umbel.wire import control
from umbel.wire.control import Command, read_answer, read_command, write_answer, write_command
from umbel.wire.envelope import pack, unpack
from umbel.wire.protection import Protection, protection_with

JSON = accepted(["json"])
FORMS = pytest.mark.parametrize("form", ["plain", "amqp"])


def keyed(key: bytes = b"a secret of some length") -> Protection:
    return protection_with([key], 60.0, [], lambda: 1000.0)


def bare(body: Any, content_type: str = "application/json") -> Envelope:
    """A command as somebody else may write it."""
    return pack("amqp", "", {"clock": 1, "expires": 0}, {}, json.dumps(body).encode(), content_type, "utf-8")


@FORMS
def test_a_command_comes_as_it_went(form: str) -> None:
    command = Command("revoke", {"task_id": ["ż"], "terminate": True}, ("a@b",), "a*", "glob", "ticket", "address")
    assert read_command(write_command(command, form, expires=12.5), accept=JSON) == command
    assert read_command(write_command(Command("ping", {}), form), accept=JSON) == Command("ping", {})


def test_a_command_is_written_as_kombu_writes_it() -> None:
    letter = unpack(write_command(Command("ping", {}, ticket="t", reply_to="place"), "amqp", expires=12.5))
    assert letter.headers == {"clock": 0, "expires": 12.5}
    assert (letter.properties, letter.content_type) == ({"delivery_mode": 2, "priority": 0}, "application/json")
    assert json.loads(letter.body) == {
        "method": "ping",
        "arguments": {},
        "destination": None,
        "pattern": None,
        "matcher": None,
        "ticket": "t",
        "reply_to": {"exchange": "reply.celery.pidbox", "routing_key": "place"},
    }


@FORMS
def test_an_answer_comes_as_it_went(form: str) -> None:
    answer = write_answer("a@b", "ticket", {"ok": "pong"}, form)
    assert read_answer(answer, accept=JSON) == ("ticket", {"a@b": {"ok": "pong"}})
    assert unpack(answer).headers == {"ticket": "ticket", "clock": 0}


def test_who_is_meant() -> None:
    assert Command("ping", {}).is_for("a@b")
    assert Command("ping", {}, ("a@b", "c@d"), "x*", "glob").is_for("a@b")
    assert not Command("ping", {}, ("c@d",), "a*", "glob").is_for("a@b")
    assert Command("ping", {}, (), "a*", "glob").is_for("a@b")
    assert not Command("ping", {}, (), "A*", "glob").is_for("a@b")
    assert Command("ping", {}, (), "x*", None).is_for("a@b")
    with pytest.raises(DecodeError, match="use glob"):
        Command("ping", {}, (), "(a+)+", "pcre").is_for("a@b")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ([], "body: not a table but list"),
        ({}, "method: missing, or not text"),
        ({"method": 7}, "method: missing, or not text"),
        ({"method": "ping", "arguments": [1]}, "arguments: not a table but list"),
        ({"method": "ping", "destination": [1]}, "destination: not a list of names"),
        ({"method": "ping", "destination": {}}, "destination: not a list of names"),
        ({"method": "ping", "pattern": 1}, "pattern: not text but int"),
    ],
)
def test_what_is_no_command_is_refused(body: Any, told: str) -> None:
    with pytest.raises(DecodeError, match=told):
        read_command(bare(body), accept=JSON)


def test_what_is_missing_is_taken_as_nothing() -> None:
    assert read_command(bare({"method": "ping", "arguments": None}), accept=JSON) == Command("ping", {})
    assert read_command(bare({"method": "ping", "destination": "a@b"}), accept=JSON).destination == ("a@b",)


@pytest.mark.parametrize(
    "reply_to",
    [None, "place", {}, {"exchange": "", "routing_key": "celery"}, {"exchange": control.ANSWERS, "routing_key": 1}],
)
def test_an_answer_is_sent_to_nothing_but_an_inbox(reply_to: Any) -> None:
    command = read_command(bare({"method": "ping", "ticket": "t", "reply_to": reply_to}), accept=JSON)
    assert (command.ticket, command.reply_to) == ("", "")


def test_json_is_read_whatever_is_accepted_and_nothing_else_that_is_not() -> None:
    assert read_command(bare({"method": "ping"}), accept=frozenset()).method == "ping"
    with pytest.raises(ContentDisallowed):
        read_command(bare({"method": "ping"}, "application/x-python-serialize"), accept=JSON)


def test_a_command_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MAX_BODY", 10)
    with pytest.raises(DecodeError, match="at most 10 are read"):
        read_command(bare({"method": "ping"}), accept=JSON)


@FORMS
def test_where_keys_are_only_what_they_signed_is_read(form: str) -> None:
    command = Command("ping", {}, ticket="t", reply_to="place")
    signed = write_command(command, form, expires=1.5, protection=keyed())
    assert read_command(signed, accept=JSON, protection=keyed()) == command
    assert read_command(signed, accept=JSON) == command
    for other in (
        write_command(command, form),
        write_command(command, form, protection=keyed(b"another secret, also long")),
        signed._replace(body=signed.body.replace(b"ping", b"pong")),
    ):
        with pytest.raises(SignatureError):
            read_command(other, accept=JSON, protection=keyed())
    with pytest.raises(SignatureError):
        read_answer(write_answer("n", "t", 1, form), accept=JSON, protection=keyed())
