"""umbel's log lines: whole, readable, unforgeable, and nobody else's logger is touched."""

from __future__ import annotations

import io
import json
import logging
import multiprocessing
import os
import pty
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel import log
from umbel.errors import ConfigurationError


@pytest.fixture(autouse=True)
def unchanged_logging() -> Iterator[None]:
    """Whatever a test sets up is undone, and the root logger is as it was."""
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    yield
    log.reset()
    assert (root.level, root.handlers) == before


def umbel_logger() -> logging.Logger:
    return logging.getLogger("umbel.worker")


def in_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "task_context", lambda: ("id-1", "shop.add"))


# -- what is set up -------------------------------------------------------------------------------------------------


def test_only_the_logger_umbel_is_touched() -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers), logging.getLogger("other").level)
    stream = io.StringIO()
    log.setup("INFO", stream=stream)
    logging.getLogger("other").error("elsewhere")
    umbel_logger().info("here")
    assert (root.level, root.handlers, logging.getLogger("other").level) == before
    assert "elsewhere" not in stream.getvalue()
    assert "here" in stream.getvalue()
    assert not logging.getLogger("umbel").propagate


def test_a_second_set_up_replaces_the_first(tmp_path: Path) -> None:
    first, second = tmp_path / "first.log", io.StringIO()
    log.setup("INFO", logfile=first)
    log.setup("WARNING", stream=second)
    umbel_logger().info("quiet")
    umbel_logger().warning("loud")
    assert first.read_text() == ""
    assert second.getvalue().count("\n") == 1
    assert len(logging.getLogger("umbel").handlers) == 1


def test_resetting_leaves_the_logger_as_it_was_made() -> None:
    log.setup("INFO", stream=io.StringIO())
    log.reset()
    logger = logging.getLogger("umbel")
    assert (logger.handlers, logger.propagate, logger.level) == ([], True, logging.NOTSET)


@pytest.mark.parametrize("level", ["info", " Info ", "INFO", logging.INFO, 20])
def test_a_level_is_a_name_in_any_case_or_a_number(level: int | str) -> None:
    log.setup(level, stream=io.StringIO())
    assert logging.getLogger("umbel").level == logging.INFO


def test_a_level_that_does_not_exist_is_an_error_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"log level 'INFOO' does not exist; .*; did you mean INFO\?"):
        log.setup("INFOO")


def test_a_format_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="log format 'xml' does not exist; there are 'text' and 'json'"):
        log.setup("INFO", format="xml")


@pytest.mark.parametrize("layout", ["%(nobody)s", "plain", "%(message)d", "{message}"])
def test_a_layout_that_would_spoil_every_line_is_refused(layout: str) -> None:
    with pytest.raises(ConfigurationError, match=r"worker_log_format .* is not a log format"):
        log.setup("INFO", log_format=layout)
    with pytest.raises(ConfigurationError, match=r"worker_task_log_format .* is not a log format"):
        log.setup("INFO", task_log_format=layout)


def test_a_log_file_that_cannot_be_written_is_an_error_and_nothing_changes(tmp_path: Path) -> None:
    stream = io.StringIO()
    log.setup("INFO", stream=stream)
    with pytest.raises(ConfigurationError, match=f"cannot write the log file {tmp_path}: Is a directory"):
        log.setup("INFO", logfile=tmp_path)
    umbel_logger().info("still here")
    assert "still here" in stream.getvalue()


# -- text -----------------------------------------------------------------------------------------------------------


def test_a_line_says_when_how_grave_and_which_process() -> None:
    stream = io.StringIO()
    log.setup("INFO", stream=stream)
    umbel_logger().info("ready with %d", 2)
    line = stream.getvalue()
    assert re.fullmatch(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}: INFO/MainProcess\] ready with 2\n", line)


def test_a_line_from_a_task_names_the_task_and_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    log.setup("INFO", stream=stream)
    logger = log.get_task_logger("shop.mail")
    logger.info("outside")
    in_task(monkeypatch)
    logger.info("inside")
    umbel_logger().info("the worker's own")
    outside, inside, own = stream.getvalue().splitlines()
    assert outside.endswith("/MainProcess] outside")
    assert inside.endswith("/MainProcess] shop.add[id-1]: inside")
    assert own.endswith("/MainProcess] the worker's own")


def test_a_record_that_names_its_task_itself_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    log.setup("INFO", stream=stream)
    in_task(monkeypatch)
    log.get_task_logger("shop").info("said", extra={"task_id": "id-2", "task_name": "shop.other"})
    assert "shop.other[id-2]: said" in stream.getvalue()


def test_a_layout_of_the_user_may_name_the_task_where_there_is_none() -> None:
    stream = io.StringIO()
    log.setup("INFO", stream=stream, log_format="%(task_id)s %(task_name)s %(message)s")
    umbel_logger().info("idle")
    assert stream.getvalue() == "- - idle\n"


def test_a_layout_for_tasks_may_be_the_users_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    log.setup("INFO", stream=stream, log_format="%(message)s", task_log_format="%(task_name)s at %(asctime)s")
    in_task(monkeypatch)
    log.get_task_logger("shop").info("x")
    assert re.fullmatch(r"shop.add at \d{4}.*\n", stream.getvalue())


@pytest.mark.parametrize("name", ["umbel.task", "umbel.task.shop"])
def test_a_task_loggers_full_name_is_taken_as_it_is(name: str) -> None:
    assert log.get_task_logger(name).name == name


def test_a_traceback_stays_with_its_record_in_one_write(tmp_path: Path) -> None:
    stream = io.StringIO()
    log.setup("INFO", stream=stream)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        umbel_logger().exception("failed")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("failed")
    assert rest[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") for line in rest)


@given(st.text())
def test_no_text_can_look_like_a_record_of_its_own_or_command_a_terminal(text: str) -> None:
    stream = io.StringIO()
    log.setup("INFO", stream=stream, log_format="[%(levelname)s] %(message)s")
    umbel_logger().info("%s", f"{text}\n[ERROR] forged")
    head, *rest = stream.getvalue().removesuffix("\n").split("\n")
    assert head.startswith("[INFO] ")
    assert rest
    assert all(line.startswith("  ") for line in rest)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", stream.getvalue())


# -- colours --------------------------------------------------------------------------------------------------------


def colored(monkeypatch: pytest.MonkeyPatch, *, color: bool | None = None, environ: dict[str, str]) -> bool:
    """Whether an error is coloured on a terminal with this environment."""
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as screen, open(theirs, "w") as terminal:
        log.setup("INFO", stream=terminal, color=color)
        umbel_logger().error("grave")
        log.reset()
        shown = screen.read(1000)
    assert b"grave" in shown
    return shown.startswith(b"\x1b[31m")


def test_a_terminal_gets_colours_unless_it_or_somebody_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    assert colored(monkeypatch, environ={"TERM": "xterm"})
    assert not colored(monkeypatch, environ={"TERM": "xterm", "NO_COLOR": "1"})
    assert not colored(monkeypatch, environ={"TERM": "dumb"})
    assert not colored(monkeypatch, environ={"TERM": "xterm"}, color=False)
    assert colored(monkeypatch, environ={"TERM": "dumb", "NO_COLOR": "1"}, color=True)


def test_what_is_no_terminal_gets_no_colours(tmp_path: Path) -> None:
    log.setup("INFO", logfile=tmp_path / "umbel.log")
    umbel_logger().error("grave")
    assert "\x1b" not in (tmp_path / "umbel.log").read_text()


def test_ordinary_lines_stay_uncoloured() -> None:
    stream = io.StringIO()
    log.setup("INFO", stream=stream, color=True)
    umbel_logger().info("plain")
    assert "\x1b" not in stream.getvalue()


# -- JSON -----------------------------------------------------------------------------------------------------------


def test_a_json_line_is_one_object_with_its_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    log.setup("INFO", stream=stream, format="json")
    in_task(monkeypatch)
    log.get_task_logger("shop").info("two\nlines ü", extra={"worker": "umbel@host", "level": 3})
    assert stream.getvalue().count("\n") == 1
    line = json.loads(stream.getvalue())
    assert datetime.fromisoformat(line.pop("time")).utcoffset() is not None
    assert line == {
        "level": "INFO",
        "logger": "umbel.task.shop",
        "message": "two\nlines ü",
        "process": "MainProcess",
        "pid": os.getpid(),
        "worker": "umbel@host",
        "extra_level": 3,
        "task_id": "id-1",
        "task_name": "shop.add",
    }


def test_a_json_line_carries_exception_and_stack() -> None:
    stream = io.StringIO()
    log.setup("INFO", stream=stream, format="json")
    try:
        raise ValueError("odd")
    except ValueError:
        umbel_logger().exception("failed", stack_info=True)
    line = json.loads(stream.getvalue())
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: odd")
    assert line["stack"].startswith("Stack")


def test_an_extra_that_json_cannot_write_is_written_as_its_repr() -> None:
    circle: list[object] = []
    circle.append(circle)
    stream = io.StringIO()
    log.setup("INFO", stream=stream, format="json")
    for value in (object(), float("nan"), circle, {(1, 2): 3}):
        umbel_logger().info("said", extra={"value": value})
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["value"] for line in lines][1:] == ["nan", "[[...]]", "{(1, 2): 3}"]
    assert lines[0]["value"].startswith("<object object")


# -- where it goes --------------------------------------------------------------------------------------------------


def test_without_a_stream_lines_go_to_whatever_standard_error_is_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log.setup("INFO")
    later = io.StringIO()
    monkeypatch.setattr(sys, "stderr", later)
    umbel_logger().info("said")
    assert "said" in later.getvalue()
    monkeypatch.setattr(sys, "stderr", None)
    umbel_logger().info("to nobody")


def test_a_stream_of_the_system_gets_each_line_after_what_was_printed_before(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("w", encoding="ascii") as stream:
        log.setup("INFO", stream=stream, log_format="%(message)s")
        stream.write("printed\n")
        umbel_logger().info("said ü")
        assert path.read_text("ascii") == "printed\nsaid \\xfc\n"


def test_a_log_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "umbel.log"
    path.write_text("older\n")
    log.setup("INFO", logfile=str(path), log_format="%(message)s")
    umbel_logger().info("newer \udc80")
    assert path.read_text() == "older\nnewer \\udc80\n"


@pytest.mark.parametrize("rotate", ["move", "remove"])
def test_a_log_file_that_was_rotated_is_opened_again(tmp_path: Path, rotate: str) -> None:
    path = tmp_path / "umbel.log"
    log.setup("INFO", logfile=path, log_format="%(message)s")
    umbel_logger().info("before")
    path.rename(tmp_path / "umbel.log.1") if rotate == "move" else path.unlink()
    umbel_logger().info("after")
    assert path.read_text() == "after\n"


def test_a_relative_log_file_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log.setup("INFO", logfile="umbel.log", log_format="%(message)s")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    umbel_logger().info("said")
    assert (tmp_path / "umbel.log").read_text() == "said\n"


def test_a_line_that_cannot_be_written_is_reported_and_not_raised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log.setup("INFO", logfile=folder / "umbel.log")
    (folder / "umbel.log").unlink()
    folder.rmdir()
    umbel_logger().info("lost")
    assert "Logging error" in capsys.readouterr().err
    folder.mkdir()
    umbel_logger().info("back")
    assert "back" in (folder / "umbel.log").read_text()


def write_lines(path: Path, writer: int, lines: int) -> None:
    log.setup("INFO", logfile=path, log_format="%(message)s")
    for number in range(lines):
        umbel_logger().info("%d:%d:%s", writer, number, "x" * 5000)


def test_lines_of_several_processes_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "umbel.log"
    spawn = multiprocessing.get_context("fork")
    writers = [spawn.Process(target=write_lines, args=(path, writer, 200)) for writer in range(4)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    lines = path.read_text().splitlines()
    assert len(lines) == 800
    assert set(lines) == {f"{writer}:{number}:{'x' * 5000}" for writer in range(4) for number in range(200)}


def test_a_stream_that_an_event_loop_made_non_blocking_gets_whole_lines(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(writing, "w") as stream:
        reader = multiprocessing.get_context("fork").Process(
            target=drain, args=(reading, tmp_path / "drained", writing)
        )
        reader.start()
        os.close(reading)
        log.setup("INFO", stream=stream, log_format="%(message)s")
        umbel_logger().info("y" * 1_000_000)
        log.reset()
    reader.join()
    assert (tmp_path / "drained").stat().st_size == 1_000_001


def test_a_stream_that_nobody_reads_costs_the_line_and_not_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log, "_STALLED", 0)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(reading), os.fdopen(writing, "w") as stream:
        log.setup("INFO", stream=stream)
        umbel_logger().info("y" * 1_000_000)
        log.reset()
    assert "BlockingIOError" in capsys.readouterr().err


def drain(reading: int, into: Path, other_end: int) -> None:
    os.close(other_end)
    with open(reading, "rb") as source:
        into.write_bytes(source.read())
