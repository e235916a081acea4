"""Tests of signals by themselves: who is called, with what, and who is not."""

from __future__ import annotations

import gc
import logging
import threading
from typing import Any

import pytest

from umbel import current, signals
from umbel.app import Umbel
from umbel.errors import ConfigurationError
from umbel.shared import shared_task
from umbel.signals import Signal


class Ear:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def __call__(self, **arguments: Any) -> str:
        self.heard.append(arguments)
        return "heard"

    def method(self, **arguments: Any) -> None:
        self.heard.append(arguments)


def test_a_receiver_gets_the_signal_the_sender_and_the_arguments_by_name() -> None:
    signal, ear = Signal("it"), Ear()
    assert signal.connect(ear) is ear
    assert signal.send(sender="me", value=3) == [(ear, "heard")]
    assert ear.heard == [{"signal": signal, "sender": "me", "value": 3}]
    assert signal.disconnect(ear)
    assert not signal.disconnect(ear)
    assert signal.send(sender="me") == []


def test_connecting_is_a_decorator_with_and_without_options() -> None:
    signal = Signal("it")

    @signal.connect
    def every(**arguments: Any) -> str:
        return "every"

    @signal.connect(sender="me")
    def mine(**arguments: Any) -> str:
        return "mine"

    assert [answer for _, answer in signal.send(sender="me")] == ["every", "mine"]
    assert [answer for _, answer in signal.send(sender="you")] == ["every"]
    assert signal.disconnect(mine, sender="me")
    assert not signal.disconnect(mine)


def test_a_sender_is_a_text_an_object_or_a_task_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current, "_shared", [])
    signal, ear, sender = Signal("it"), Ear(), object()
    signal.connect(ear, sender=sender)
    signal.send(sender=object())
    signal.send(sender=sender)
    assert len(ear.heard) == 1

    @shared_task(name="signals.shared")
    def shared() -> None: ...

    app = Umbel("s", broker="memory://signal-tests", set_as_current=False)
    monkeypatch.setattr(current, "_current", app)
    tasks = Ear()
    signal.connect(tasks, sender=shared)
    signal.send(sender=app.tasks["signals.shared"])
    signal.send(sender="signals.shared")
    signal.send(sender="signals.other")
    assert len(tasks.heard) == 2


def test_a_receiver_that_nothing_else_holds_is_forgotten_unless_it_is_held() -> None:
    listening: set[Signal] = set()
    signal, ear, heard = Signal("it", among=listening), Ear(), []
    signal.connect(Ear())
    signal.connect(ear.method)
    signal.connect(lambda **arguments: heard.append(arguments), weak=False)
    gc.collect()
    assert len(signal.receivers) == 2
    signal.send()
    assert (len(ear.heard), len(heard)) == (1, 1)
    del ear
    gc.collect()
    assert len(signal.receivers) == 1
    assert listening == {signal}


def test_a_receiver_is_called_once_however_often_it_is_connected() -> None:
    signal, one, other = Signal("it"), Ear(), Ear()
    for _ in range(2):
        signal.connect(one)
        signal.connect(one.method)
        signal.connect(one, dispatch_uid="it")
        signal.connect(other, dispatch_uid="it")
    signal.send()
    assert (len(one.heard), len(other.heard)) == (3, 0)
    assert signal.disconnect(dispatch_uid="it")
    assert signal.disconnect(one.method)
    assert signal.disconnect(one)
    assert signal.receivers == ()


@pytest.mark.parametrize("error", [ValueError("boo"), SystemExit(3)])
def test_a_receiver_that_raises_is_logged_and_the_others_are_called(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    signal, ear = Signal("it"), Ear()

    def broken(**arguments: Any) -> None:
        raise error

    signal.connect(broken)
    signal.connect(ear)
    with caplog.at_level(logging.ERROR):
        assert signal.send() == [(broken, error), (ear, "heard")]
    assert "it: the receiver <function" in caplog.text
    assert type(error).__name__ in caplog.text


async def waits(**arguments: Any) -> None: ...


@pytest.mark.parametrize(
    ("receiver", "complaint"),
    [(lambda sender: None, r"must take \*\*kwargs"), (waits, "is async"), (3, "takes a function, not 3")],
)
def test_what_cannot_be_a_receiver_is_refused_when_it_is_connected(receiver: Any, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=f"it.*{complaint}"):
        Signal("it").connect(receiver)


def test_receivers_may_come_and_go_while_others_are_called() -> None:
    signal, ears = Signal("it"), [Ear() for _ in range(50)]
    stop = threading.Event()

    def sends() -> None:
        while not stop.is_set():
            signal.send()

    sender = threading.Thread(target=sends)
    sender.start()
    for _ in range(20):
        for ear in ears:
            signal.connect(ear)
        for ear in ears:
            assert signal.disconnect(ear)
    stop.set()
    sender.join()
    assert signal.receivers == ()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("beat_init", "there is no scheduler yet"),
        ("task_sent", "use after_task_publish"),
        ("task_sucess", r"did you mean task_success\?"),
        ("zzz", "docs/signals.md"),
    ],
)
def test_a_signal_that_does_not_exist_says_why(name: str, why: str) -> None:
    with pytest.raises(AttributeError, match=f"umbel.signals has no {name}: .*{why}"):
        getattr(signals, name)
    assert not hasattr(signals, "__wrapped__")
