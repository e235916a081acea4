"""Turns what is printed into log lines, so that they say which task printed them."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

from umbel import log


class Printed(io.TextIOBase):
    """Stands where ``sys.stdout`` or ``sys.stderr`` was, which is ``behind``: each line becomes a log record.

    A line is complete at its end, at ``flush``, or when another task prints. What logging itself prints goes to
    ``behind``, as do bytes.
    """

    def __init__(self, behind: TextIO, name: str, level: int) -> None:
        self.behind = behind
        self._logger = logging.getLogger(f"{log.TASK_LOGGER}.{name}")
        self._level = level
        self._here = threading.local()
        """Of each thread: ``text`` without an end yet, its ``task``, and ``logging`` while a line is logged."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.behind, name)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream behind."""
        return self.behind.encoding

    def fileno(self) -> int:
        """That of the stream behind: for subprocesses."""
        return self.behind.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        here = self._here
        if getattr(here, "logging", False):
            return self.behind.write(text)
        task = log.task_context()
        if getattr(here, "task", task) != task:
            self.flush()
        here.task = task
        *lines, here.text = f"{getattr(here, 'text', '')}{text}".split("\n")
        for line in lines:
            self._say(line, task)
        return len(text)

    def flush(self) -> None:
        here = self._here
        text, here.text = getattr(here, "text", ""), ""
        if text:
            self._say(text, here.task)
        with contextlib.suppress(ValueError):  # closed
            self.behind.flush()

    def _say(self, line: str, task: tuple[str | None, str | None]) -> None:
        if not line.strip():
            return
        self._here.logging = True
        try:
            self._logger.log(self._level, "%s", line, extra={"task_id": task[0], "task_name": task[1]})
        finally:
            self._here.logging = False


@contextlib.contextmanager
def as_log_lines(level: str) -> Iterator[None]:
    """Log what this process prints while in the block."""
    number = logging.getLevelNamesMapping()[level]
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as stack:
        for name in ("stdout", "stderr"):
            behind = getattr(sys, name)
            if behind is not None:
                printed = Printed(behind, name, number)
                setattr(sys, name, printed)
                stack.callback(printed.flush)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before
