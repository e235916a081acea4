"""Tests of what becomes of what is printed."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from umbel import log
from umbel.printed import Printed, as_log_lines

running: tuple[str | None, str | None] = (None, None)


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Where log lines go, as level, logger, task and message."""
    running_nothing()
    monkeypatch.setattr(log, "task_context", lambda: running)
    stream = io.StringIO()
    layout = "%(levelname)s %(name)s %(message)s"
    log.setup("INFO", stream=stream, log_format=layout, task_log_format=f"{layout} of %(task_name)s[%(task_id)s]")
    yield stream
    log.reset()


def running_nothing() -> None:
    global running
    running = (None, None)


def running_task(id: str) -> None:
    global running
    running = (id, "shop.add")


def test_each_line_that_a_task_prints_is_a_record_with_its_name_and_id(stream: io.StringIO) -> None:
    out, err = sys.stdout, sys.stderr
    with as_log_lines("WARNING"):
        print("before")
        running_task("id-1")
        print("one", "line")
        print("two\nlines\n\n", file=sys.stderr)
    assert (sys.stdout, sys.stderr) == (out, err)
    assert stream.getvalue().splitlines() == [
        "WARNING umbel.task.stdout before",
        "WARNING umbel.task.stdout one line of shop.add[id-1]",
        "WARNING umbel.task.stderr two of shop.add[id-1]",
        "WARNING umbel.task.stderr lines of shop.add[id-1]",
    ]


def test_a_line_without_an_end_is_the_record_of_whoever_began_it(stream: io.StringIO) -> None:
    with as_log_lines("INFO"):
        running_task("id-1")
        print("begun", end="")
        running_task("id-2")
        print("dots", end="", flush=True)
        print("last", end="")
    assert [line.split(" ", 2)[2] for line in stream.getvalue().splitlines()] == [
        "begun of shop.add[id-1]",
        "dots of shop.add[id-2]",
        "last of shop.add[id-2]",
    ]


def test_threads_do_not_mix_their_lines(stream: io.StringIO) -> None:
    def say(letter: str) -> None:
        for _ in range(50):
            print(letter, end="")
        print()

    with as_log_lines("INFO"):
        threads = [threading.Thread(target=say, args=(letter,)) for letter in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(line.rpartition(" ")[2] for line in stream.getvalue().splitlines()) == ["a" * 50, "b" * 50, "c" * 50]


def test_what_logging_itself_prints_does_not_come_back_to_it(capfd: pytest.CaptureFixture[str]) -> None:
    class Noisy(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print("noise of", record.getMessage())

    logger, noisy = logging.getLogger("umbel.task.stdout"), Noisy()
    logger.addHandler(noisy)
    log.setup("INFO")
    try:
        with as_log_lines("WARNING"):
            print("a line")
    finally:
        logger.removeHandler(noisy)
        log.reset()
    out, err = capfd.readouterr()
    assert out == "noise of a line\n"
    assert err.endswith("] a line\n")


def test_what_needs_the_stream_itself_finds_it(tmp_path: object) -> None:
    with open(f"{tmp_path}/out", "w") as file:
        printed = Printed(file, "stdout", logging.INFO)
        assert (printed.fileno(), printed.encoding, printed.isatty()) == (file.fileno(), file.encoding, False)
        assert printed.writable()
        printed.buffer.write(b"bytes")
        printed.flush()
    printed.flush()
    with open(f"{tmp_path}/out") as file:
        assert file.read() == "bytes"
