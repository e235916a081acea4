"""Tests of the solo runner when its node is gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from umbel.app import Umbel
from umbel.attempt import drive
from umbel.errors import UmbelError
from umbel.model import Delivery, Envelope
from umbel.worker.runners import Runner
from umbel.worker.solo import Solo


class Fleet:
    """Keeps the runner."""

    runner: Runner

    def add(self, runner: Runner) -> None:
        self.runner = runner

    def receive(self, runner: Runner, kind: str, payload: Any) -> None: ...


def abandoned() -> tuple[Solo, Runner]:
    """A solo runner whose node has ended, and its loop with it."""
    solo, fleet = Solo(Umbel("t", broker="memory://", set_as_current=False), "here"), Fleet()

    async def node() -> None:
        solo.attach(fleet)  # type: ignore[arg-type]
        await solo.start()

    asyncio.run(node())
    return solo, fleet.runner


def test_what_it_hands_over_after_the_end_of_its_node_is_nobodys() -> None:
    solo, runner = abandoned()
    runner.board.void(1)
    solo.run([(1, Delivery(Envelope("plain", "a", b"", b""), "queue", "receipt"))])
    solo.stop()
    solo.serve(lambda: None)


def test_nothing_waits_for_an_answer_of_a_node_that_has_ended() -> None:
    solo, _ = abandoned()
    solo.stop()
    with pytest.raises(UmbelError, match="ended before the task was started"):
        drive(solo.acknowledge(1))
