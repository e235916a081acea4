"""Tests of what an app tells of its own life."""

from __future__ import annotations

import os
from typing import Any

from umbel.app import Umbel

heard: list[Any] = []


def hear(signal: Any, sender: Any, **arguments: Any) -> None:
    heard.append((signal.name, sender, arguments))


def make() -> Umbel:
    heard.clear()
    app = Umbel("life", broker="memory://life", set_as_current=False)
    for signal in (app.on_configure, app.on_after_configure, app.on_after_finalize, app.on_after_fork):
        signal.connect(hear)
    return app


def test_the_first_read_of_a_setting_is_told_of_before_and_after_and_no_other() -> None:
    app = make()
    app.conf.worker_grace = 3
    assert heard == []
    assert app.conf.worker_grace == 3
    app.conf.worker_grace = 4
    assert app.conf.worker_grace == 4
    assert heard == [("on_configure", app, {}), ("on_after_configure", app, {"source": app.conf})]


def test_what_a_receiver_writes_before_and_after_the_first_read_counts() -> None:
    app = make()

    @app.on_configure.connect
    def before(sender: Umbel, **arguments: Any) -> None:
        sender.conf.worker_grace = 7
        assert sender.conf.task_track_started is False

    @app.on_after_configure.connect
    def after(sender: Umbel, source: Any, **arguments: Any) -> None:
        assert source.worker_grace == 7
        source.worker_deaf_timeout = 9

    assert app.conf.worker_deaf_timeout == 9
    assert app.conf.worker_grace == 7


def test_a_subclass_may_write_a_method_in_the_place_of_a_signal() -> None:
    class Configured(Umbel):
        def on_configure(self) -> None:  # type: ignore[override]
            self.conf.worker_grace = 5

    assert Configured("sub", broker="memory://life", set_as_current=False).conf.worker_grace == 5


def test_an_app_is_finalized_once_by_importing_its_modules() -> None:
    app = make()
    assert not app.finalized
    app.import_modules()
    app.import_modules()
    app.finalize()
    assert app.finalized
    assert [entry for entry in heard if entry[0] == "on_after_finalize"] == [("on_after_finalize", app, {})]


def test_a_forked_process_is_told_of_there_alone() -> None:
    app = make()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, repr([(name, rest) for name, sender, rest in heard if sender is app]).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with open(read, "rb") as told:
        assert told.read() == b"[('on_after_fork', {})]"
    assert heard == []
