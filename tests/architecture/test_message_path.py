"""Counts what one message passes on its way out and on its way in."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import umbel
from umbel.app import Umbel
from umbel.call import NO_OPTIONS
from umbel.model import Envelope, Route
from umbel.stores.memory import MemoryStore
from umbel.task import Task
from umbel.wire import task_v2
from umbel.worker.alone import Alone
from umbel.worker.plan import plan_for

OUT = (8, 30)
"""Files and functions of umbel that a call may enter until the broker has it."""

IN = (22, 62)
"""Files and functions that a delivery may enter from the broker's hands to its settlement: node, runner, broker."""

BESIDE = "umbel-outbox"
"""The thread that looks now and then whether a report waits too long: no delivery passes it."""

PACKAGE = str(Path(umbel.__file__).parent)


class Trail:
    """Which code of umbel is entered, by any thread that ``threading.setprofile`` reached, while it is on."""

    def __init__(self) -> None:
        self.on = False
        self.entered: set[tuple[str, str]] = set()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if not self.on or event != "call" or threading.current_thread().name == BESIDE:
            return
        if frame.f_code.co_filename.startswith(PACKAGE):
            self.entered.add((frame.f_code.co_filename[len(PACKAGE) + 1 :], frame.f_code.co_qualname))

    def counts(self) -> tuple[int, int]:
        """(files, functions)."""
        return len({file for file, _ in self.entered}), len(self.entered)

    def told(self) -> str:
        """The trail as lines, for a failure's message."""
        return "\n".join(f"{file}: {function}" for file, function in sorted(self.entered))


@pytest.fixture
def trail() -> Iterator[Trail]:
    """A trail that every thread started in the test leaves."""
    trail = Trail()
    threading.setprofile(trail)
    yield trail
    threading.setprofile(None)


def start(app: Umbel) -> tuple[Alone, threading.Thread]:
    ready = threading.Event()
    worker = Alone(app, plan_for(app, pool="solo"), ready.set)
    thread = threading.Thread(target=worker.serve)
    thread.start()
    assert ready.wait(30)
    return worker, thread


def declare(app: Umbel) -> Task[..., None]:
    @app.task(name="path.nothing", ignore_result=True)
    def nothing() -> None: ...

    return nothing


def test_a_call_passes_few_files_on_its_way_out(trail: Trail) -> None:
    task = declare(Umbel("path", broker="memory://path-out", set_as_current=False))
    task.delay()
    sys.setprofile(trail)
    trail.on = True
    task.delay()
    trail.on = False
    sys.setprofile(None)
    files, functions = trail.counts()
    assert "task.py" in {file for file, _ in trail.entered}
    assert files <= OUT[0], trail.told()
    assert functions <= OUT[1], trail.told()


def test_a_delivery_passes_few_files_on_its_way_in(trail: Trail) -> None:
    app = Umbel("path", broker="memory://path-in", set_as_current=False)
    app.conf.worker_prefetch_multiplier = 4  # so that the window is not widened meanwhile
    task = declare(app)
    store = MemoryStore.named("path-in")
    worker, thread = start(app)
    try:
        for _ in range(3):
            task.delay()
        quiet(worker, 3)
        (pair,) = prepared(app)
        trail.on = True
        store.publish([pair])
        quiet(worker, 4)
    finally:
        trail.on = False
        worker.stop()
        thread.join()
    files, functions = trail.counts()
    assert "worker/journey.py" in {file for file, _ in trail.entered}
    assert files <= IN[0], trail.told()
    assert functions <= IN[1], trail.told()


def quiet(worker: Alone, done: int) -> None:
    """Return when so many tasks are done and settled; this thread leaves no trail."""
    node = worker._node
    assert node is not None
    deadline = time.monotonic() + 30
    while node._fleet.done < done or node._fleet.unsettled or not node._settling.idle:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def prepared(app: Umbel) -> list[tuple[Route, Envelope]]:
    options = NO_OPTIONS.with_(ignore_result=True)
    route, message = app.publisher.prepare("path.nothing", (), {}, options)
    return [(route, task_v2.encode(message, "plain"))]
