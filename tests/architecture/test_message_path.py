"""Counts what one message passes on its way out and on its way in."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import umbel
from umbel.app import Umbel
from umbel.task import Task
from umbel.worker.alone import Alone
from umbel.worker.plan import plan_for

OUT = (8, 30)
"""Files and functions of umbel that a call may enter until the broker has it."""

IN = (14, 45)
"""Files and functions that a delivery may enter from the broker's hands to its settlement."""

PACKAGE = str(Path(umbel.__file__).parent)


class Trail:
    """Which code of umbel is entered, by any thread that ``threading.setprofile`` reached, while it is on."""

    def __init__(self) -> None:
        self.on = False
        self.entered: set[tuple[str, str]] = set()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if self.on and event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
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
    task = declare(app)
    done = threading.Semaphore(0)
    app.task(name="path.last")(done.release)
    worker, thread = start(app)
    try:
        for _ in range(3):
            task.delay()
        app.send_task("path.last")
        assert done.acquire(timeout=30)
        sent = app.broker.publish_now  # type: ignore[attr-defined]
        envelope = prepared(app)
        trail.on = True
        sent([envelope])
        app.send_task("path.last")
        assert done.acquire(timeout=30)
    finally:
        trail.on = False
        worker.stop()
        thread.join()
    files, functions = trail.counts()
    assert "worker/journey.py" in {file for file, _ in trail.entered}
    assert files <= IN[0], trail.told()
    assert functions <= IN[1], trail.told()


def prepared(app: Umbel) -> Any:
    from umbel.call import NO_OPTIONS
    from umbel.wire import task_v2

    route, message = app.publisher.prepare("path.nothing", (), {}, NO_OPTIONS)
    return route, task_v2.encode(message, "plain")
