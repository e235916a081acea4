"""A worker and its clients on stores that fail call after call: nothing is lost, everything has one end."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults import injecting
from tests.faults.alone import Worker
from tests.faults.checker import Diary, Ledger, dead_ids
from tests.faults.injecting import COMES_BACK, PAUSE, RATE, SENT_APART, SENT_LOOSE, TASKS
from tests.faults.mill import open_mill
from tests.faults.scenarios import Enter
from umbel.app import Umbel
from umbel.testing.faulty import Faults, inject

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))]


class Layout(NamedTuple):
    """Where messages and records are; ``may_repeat`` are the kinds of which an attempt may be sent twice."""

    broker: str
    backend: str
    may_repeat: Collection[str]


LAYOUTS = {
    "memory": Layout("memory://{name}", "memory://{name}", SENT_LOOSE),
    "sqlite": Layout("sqlite:///{folder}/umbel.db", "sqlite:///{folder}/umbel.db", SENT_LOOSE),
    "two": Layout("memory://{name}", "sqlite:///{folder}/results.db", SENT_APART),
}

MakeApp = Callable[[str], Umbel]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def make_app(folder: Path) -> MakeApp:
    """Makes apps that all use the same stores."""
    name = uuid.uuid4().hex

    def make(layout: str) -> Umbel:
        chosen = LAYOUTS[layout]
        broker = chosen.broker.format(name=name, folder=folder)
        backend = chosen.backend.format(name=name, folder=folder)
        app = Umbel("mill", broker=broker, backend=backend, set_as_current=False)
        return open_mill(app, folder / "diary")

    return make


def scenario(layout: str, name: str, make_app: MakeApp, folder: Path) -> Ledger:
    watcher = make_app(layout)
    return Ledger(name, watcher, Diary(folder / "diary"), lambda: dead_ids(watcher))


def left_over(app: Umbel) -> int:
    """Messages of the default queue that nobody has done."""
    return int(app.broker.keeper.size(app.conf.task_default_queue))  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_promise_holds_while_calls_fail_on_both_sides(
    layout: str, seed: int, make_app: MakeApp, folder: Path, enter: Enter
) -> None:
    ledger = scenario(layout, f"{layout}, seed {seed}", make_app, folder)
    may_repeat = LAYOUTS[layout].may_repeat
    injecting.fail_on_both_sides(seed, ledger, partial(make_app, layout), may_repeat, enter, left_over)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_a_fault_everything_is_run_exactly_once(
    layout: str, make_app: MakeApp, folder: Path, enter: Enter
) -> None:
    ledger = scenario(layout, f"{layout}, no faults", make_app, folder)
    client, server = make_app(layout), make_app(layout)
    with Worker(server):
        ledger.send_mixed(client, 1, TASKS)
        ledger.send_batch(client, "plain", 50)
        ledger.wait()
    enter(ledger.account())
    assert not ledger.refused
    ledger.check()
    assert left_over(ledger.watcher) == 0


@pytest.mark.parametrize("layout", ["memory", "sqlite"])
def test_what_is_sent_while_nothing_works_is_refused_and_what_was_there_is_done_afterwards(
    layout: str, make_app: MakeApp, folder: Path, enter: Enter
) -> None:
    ledger = scenario(layout, f"{layout}, an outage", make_app, folder)
    outage = Faults(1, 1.0, ("before",))
    client, server = make_app(layout), make_app(layout)
    inject(server, outage)
    ledger.send_mixed(client, 2, 50)
    with Worker(server):
        ledger.send_mixed(server, 3, 50)
        assert len(ledger.refused) == 50
        outage.stop()
        ledger.wait()
    enter(ledger.account(sum(outage.struck.values())))
    assert len(ledger.accepted) == 50
    ledger.check()
    assert not any(task_id in ledger.refused for task_id, _ in ledger.diary.runs)


@pytest.mark.parametrize("layout", ["memory", "sqlite"])
def test_a_worker_that_ends_while_calls_fail_leaves_the_rest_to_the_next(
    layout: str, make_app: MakeApp, folder: Path, enter: Enter
) -> None:
    ledger = scenario(layout, f"{layout}, restarts", make_app, folder)
    client = make_app(layout)
    ledger.send_mixed(client, 4, 200)
    struck = 0
    for round_ in range(6):
        server = make_app(layout)
        faults = Faults(round_, RATE, pause=PAUSE)
        inject(server, faults)
        goal = ledger.diary.read() + 20
        with Worker(server):
            while ledger.diary.read() < goal and ledger.open():
                ledger.look()
        struck += sum(faults.struck.values())
    with Worker(make_app(layout)):
        ledger.wait()
    enter(ledger.account(struck))
    ledger.check(may_repeat=(*SENT_LOOSE, *COMES_BACK))
    assert left_over(ledger.watcher) == 0
