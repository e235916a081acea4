"""A real worker beside a test."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from umbel.app import Umbel
from umbel.errors import ConfigurationError, UmbelError
from umbel.testing import running, working
from umbel.testing.background import BackgroundWorker


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_worker_runs_what_is_sent_in_a_thread_of_its_own(app: Umbel, kind: str, tmp_path: Path, file: Path) -> None:
    @app.task(name="shop.thread", queue="depot")
    def thread() -> str:
        return threading.current_thread().name

    url = None if kind == "memory" else f"sqlite:///{tmp_path / 'test.db'}"
    with working(app, broker_url=url) as worker:
        assert worker.queues[1:] == ("depot",)
        assert thread.delay().get(timeout=30) == "umbel-testing"
        assert repr(worker) == f"<worker {worker.name} of <Umbel shop>>"
    assert not file.exists()
    assert "umbel-testing" not in {each.name for each in threading.enumerate()}


def test_time_limits_are_no_hindrance(app: Umbel) -> None:
    @app.task(name="shop.limited", time_limit=60)
    def limited() -> int:
        return 1

    with working(app) as worker:
        assert limited.delay().get(timeout=30) == 1
        worker.stop()
        worker.stop()


def test_it_serves_the_queues_that_calls_go_to(app: Umbel) -> None:
    @app.task(name="shop.routed")
    def routed() -> int:
        return 1

    with working(app, task_routes={"shop.*": "far"}) as worker:
        assert worker.queues[1:] == ("far",)
        assert routed.delay().get(timeout=30) == 1


def test_it_serves_the_queues_that_it_is_given(app: Umbel) -> None:
    with working(app, queues=["one", "two"]) as worker:
        assert worker.queues == ("one", "two")


def test_an_app_has_one_block_at_a_time(app: Umbel) -> None:
    with running(app), pytest.raises(ConfigurationError, match="inside such a block already"), working(app):
        pass


def test_what_ends_the_worker_is_raised_in_the_test(app: Umbel, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Exception, match="file"), working(app, broker_url=f"sqlite:///{tmp_path}/file/test.db"):
        pass
    with working(app):
        pass


def test_a_task_that_does_not_end_is_told(app: Umbel, monkeypatch: pytest.MonkeyPatch) -> None:
    started, over = threading.Event(), threading.Event()

    @app.task(name="shop.hang")
    def hang() -> None:
        started.set()
        over.wait(60)

    def leave_it_running() -> None:
        with working(app, worker_grace=0):
            hang.delay()
            assert started.wait(30)
            monkeypatch.setattr("umbel.testing.background.PATIENCE", 0.5)

    with pytest.raises(UmbelError, match=r"beyond worker_grace \(0 s\)"):
        leave_it_running()
    over.set()
    _gone()


def test_a_worker_that_is_not_ready_in_time_is_told(app: Umbel, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = threading.Event()

    def serve(self: Any) -> None:
        waited.wait(60)

    monkeypatch.setattr("umbel.testing.background.PATIENCE", 0.1)
    monkeypatch.setattr("umbel.worker.alone.Alone.serve", serve)
    app.conf.worker_grace = 0
    worker = BackgroundWorker(app)
    with pytest.raises(UmbelError, match=r"not ready within 0\.1 s"):
        worker.start()
    waited.set()
    worker._alone._loop.close()
    _gone()


def _gone() -> None:
    for thread in threading.enumerate():
        if thread.name == "umbel-testing":
            thread.join(30)
            assert not thread.is_alive()
