"""Tests of runners that do not answer."""

import asyncio
import logging
import os
import signal

import pytest

from tests.worker.process import Shop
from umbel.app import Umbel
from umbel.worker.board import Board
from umbel.worker.hearing import Hearing
from umbel.worker.runners import Runner
from umbel.worker.solo import Solo


class Silent:
    """A link to a runner that never answers."""

    asked = 0

    def ask(self) -> None:
        self.asked += 1


def make_runner() -> Runner:
    runner = Runner(1, 4711, Silent(), Board.make(), "")  # type: ignore[arg-type]
    runner.ready = True
    return runner


async def test_a_silent_runner_is_named_once_and_heard_again(caplog: pytest.LogCaptureFixture) -> None:
    runner = make_runner()
    hearing = Hearing(None, lambda runner, why: None, every=0.0, deaf=0.0)
    with caplog.at_level(logging.WARNING, "umbel.worker"):
        for _ in range(3):
            hearing.tick([runner])
            await asyncio.sleep(0)
        hearing.heard(runner)
    assert [record.getMessage().split(" has ")[0] for record in caplog.records] == [
        "Runner 1 (pid 4711)",
        "Runner 1 (pid 4711) answers again",
    ]


async def test_a_runner_that_answers_is_never_deaf(caplog: pytest.LogCaptureFixture) -> None:
    runner = make_runner()
    hearing = Hearing(0.0, lambda runner, why: None, every=0.0, deaf=1e9)
    hearing.tick([runner])
    hearing.heard(runner)
    hearing.heard(runner)
    assert not caplog.records


def test_a_stopped_runner_is_killed_where_that_is_set_and_its_task_runs_again(shop: Shop) -> None:
    worker = shop.worker("-c", "1", "--set", "worker_deaf_timeout=1")
    result = shop.send("hold", "a")
    os.kill(shop.pid_of("a"), signal.SIGSTOP)
    shop.wait_for_note("start a", 2)
    shop.go()
    assert shop.get(result) == "a"
    assert "worker_deaf_timeout" in worker.text()


class Ears:
    """What a solo runner sees of its fleet."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def add(self, runner: Runner) -> None:
        return

    def receive(self, runner: Runner, kind: str, payload: object) -> None:
        self.heard.append(kind)


async def test_a_solo_runner_answers_as_long_as_its_process_lives() -> None:
    solo, ears = Solo(Umbel("tasks", set_as_current=False), "solo@here"), Ears()
    solo.attach(ears)  # type: ignore[arg-type]
    await solo.start()

    solo.ask()
    await asyncio.sleep(0)

    assert ears.heard == ["ready", "heard"]
