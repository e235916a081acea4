"""Tests of whose loggers a set-up touches, and who is told of it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from umbel import log, signals


@pytest.fixture(autouse=True)
def unchanged_logging() -> Iterator[None]:
    """Whatever a test sets up is undone, and the root logger is as it was."""
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    yield
    log.reset()
    assert (root.level, root.handlers) == before


def test_the_root_logger_is_taken_over_when_that_is_asked_for_and_given_back() -> None:
    root, stream, own = logging.getLogger(), io.StringIO(), logging.NullHandler()
    before = root.level
    root.addHandler(own)
    try:
        log.setup("INFO", stream=stream, hijack_root=True)
        assert own not in root.handlers
        logging.getLogger("shop").info("a library says")
        logging.getLogger("umbel.worker").info("umbel says")
        log.setup("INFO", stream=stream, hijack_root=True)
        logging.getLogger("shop").info("again")
        log.reset()
        assert own in root.handlers
        assert root.level == before
    finally:
        root.removeHandler(own)
    assert [line.rpartition("] ")[2] for line in stream.getvalue().splitlines()] == [
        "a library says",
        "umbel says",
        "again",
    ]


def test_receivers_are_told_of_the_loggers_that_were_set_up() -> None:
    heard = []

    def hear(signal: signals.Signal, logger: logging.Logger, loglevel: int, **rest: object) -> None:
        heard.append((signal.name, logger.name, loglevel, sorted(rest)))

    for signal in (signals.after_setup_logger, signals.after_setup_task_logger):
        signal.connect(hear)
    log.setup("INFO", stream=io.StringIO())
    log.setup("DEBUG", stream=io.StringIO(), hijack_root=True)
    rest = ["colorize", "format", "logfile", "sender"]
    assert heard == [
        ("after_setup_logger", "umbel", 20, rest),
        ("after_setup_task_logger", "umbel.task", 20, rest),
        ("after_setup_logger", "root", 10, rest),
        ("after_setup_task_logger", "umbel.task", 10, rest),
    ]


def test_a_receiver_of_setup_logging_does_it_all_itself(tmp_path: Path) -> None:
    heard: list[dict[str, object]] = []

    def own(**arguments: object) -> None:
        heard.append(arguments)

    log.setup("INFO", stream=io.StringIO())
    assert log.is_set_up()
    signals.setup_logging.connect(own)
    try:
        log.setup("WARNING", logfile=tmp_path / "umbel.log", color=True, hijack_root=True)
    finally:
        signals.setup_logging.disconnect(own)
    assert not log.is_set_up()
    logger = logging.getLogger("umbel")
    assert (logger.handlers, logger.propagate) == ([], True)
    assert (heard[0]["loglevel"], heard[0]["logfile"], heard[0]["colorize"]) == (30, tmp_path / "umbel.log", True)
    assert not (tmp_path / "umbel.log").exists()


def test_a_handler_of_ones_own_may_name_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(log.TaskFields())
    handler.setFormatter(logging.Formatter("%(task_name)s %(task_id)s %(message)s"))
    logger = log.get_task_logger("own")
    logger.addHandler(handler)
    try:
        logger.warning("outside")
        monkeypatch.setattr(log, "task_context", lambda: ("id-1", "shop.add"))
        logger.warning("inside")
        logger.warning("said", extra={"task_id": "id-2", "task_name": "shop.other"})
    finally:
        logger.removeHandler(handler)
    assert stream.getvalue() == "- - outside\nshop.add id-1 inside\nshop.other id-2 said\n"
