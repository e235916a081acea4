"""Sets up where log lines go: levels, formats, colours, and a file that may be rotated."""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
import select
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from umbel import signals
from umbel.errors import ConfigurationError

LOG_FORMAT = "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s"
TASK_LOG_FORMAT = "[%(asctime)s: %(levelname)s/%(processName)s] %(task_name)s[%(task_id)s]: %(message)s"

LOGGER = "umbel"
TASK_LOGGER = "umbel.task"


def _no_task() -> tuple[str | None, str | None]:
    return None, None


task_context: Callable[[], tuple[str | None, str | None]] = _no_task
"""(id, name) of the task that the calling thread or coroutine is running; whoever runs tasks sets it."""

process_name = ""
"""What log lines call this process; a runner sets its own, elsewhere it is empty and the interpreter's is shown."""

_installed: LineHandler | None = None
"""The handler that is on the logger ``umbel``; ``setup`` and ``reset`` alone change it."""

_displaced: tuple[int, list[logging.Handler]] | None = None
"""The root logger's level and handlers from before ``setup`` took them; ``setup`` and ``reset`` alone change it."""

_installing = threading.Lock()


def setup(
    level: int | str,
    *,
    logfile: str | os.PathLike[str] | None = None,
    format: str = "text",
    color: bool | None = None,
    stream: TextIO | None = None,
    log_format: str | None = None,
    task_log_format: str | None = None,
    hijack_root: bool = False,
) -> None:
    """Write what umbel and the loggers of ``get_task_logger`` say to ``logfile``, else to ``stream`` or standard error.

    With ``hijack_root`` also what all others say: the root logger loses its handlers. Without, only the logger
    ``umbel`` is touched, and it stops propagating. A second call replaces the first. Where the signal
    ``setup_logging`` has receivers, they set up everything, and nothing is done here.

    Each record is written whole in one write, appending, so several processes can share a file; the file is opened
    again when it was moved or removed. ``format`` is ``text`` (a record begins at the line's start, its further lines
    are indented) or ``json`` (one object a line, times in UTC). ``color`` None: on a terminal, unless NO_COLOR is set.

    Raises ``ConfigurationError`` for a level or format that does not exist and a file that cannot be written; then
    nothing has changed.
    """
    number = _level(level)
    told = {"loglevel": number, "logfile": logfile, "format": log_format or LOG_FORMAT, "colorize": color}
    if signals.setup_logging.receivers:
        reset()
        signals.setup_logging.send(**told)
        return
    to_terminal = logfile is None and _is_terminal(stream or sys.stderr)
    if format == "json":
        formatter: logging.Formatter = JsonFormatter()
    elif format == "text":
        formatter = TextFormatter(
            _checked(log_format or LOG_FORMAT, "worker_log_format"),
            _checked(task_log_format or TASK_LOG_FORMAT, "worker_task_log_format"),
            color=to_terminal and not os.environ.get("NO_COLOR") if color is None else color,
        )
    else:
        raise ConfigurationError(f"log format {format!r} does not exist; there are 'text' and 'json'")
    handler = LineHandler(Path(logfile) if logfile is not None else None, stream)
    handler.setFormatter(formatter)
    _install(handler, number, hijack_root)
    signals.after_setup_logger.send(logger=logging.getLogger(None if hijack_root else LOGGER), **told)
    signals.after_setup_task_logger.send(logger=logging.getLogger(TASK_LOGGER), **told)


def reset() -> None:
    """Undo ``setup``: the loggers are as they were, and the file is closed."""
    _install(None, logging.NOTSET, False)


def is_set_up() -> bool:
    """Whether ``setup`` has been called and has done it itself."""
    return _installed is not None


def get_task_logger(name: str) -> logging.Logger:
    """A logger for use in tasks: below ``umbel.task``, its lines carry the running task's id and name."""
    if name == TASK_LOGGER or name.startswith(f"{TASK_LOGGER}."):
        return logging.getLogger(name)
    return logging.getLogger(f"{TASK_LOGGER}.{name}")


def _install(handler: LineHandler | None, level: int, hijack_root: bool) -> None:
    global _installed, _displaced
    logger, root = logging.getLogger(LOGGER), logging.getLogger()
    with _installing:
        old, _installed = _installed, handler
        if _displaced is not None:
            before, root.handlers[:] = _displaced
            root.setLevel(before)
            _displaced = None
        if handler is not None and hijack_root:
            _displaced = root.level, root.handlers[:]
            root.handlers[:] = [handler]
            root.setLevel(level)
        if handler is not None:
            logger.addHandler(handler)
        logger.propagate = handler is None
        logger.setLevel(level)
        if old is not None:
            logger.removeHandler(old)
            old.close()


def _level(level: int | str) -> int:
    if isinstance(level, int) and not isinstance(level, bool):
        return level
    names = logging.getLevelNamesMapping()
    if isinstance(level, str) and level.strip().upper() in names:
        return names[level.strip().upper()]
    near = difflib.get_close_matches(str(level).upper(), names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigurationError(
        f"log level {level!r} does not exist; there are DEBUG, INFO, WARNING, ERROR, CRITICAL{hint}"
    )


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty() and os.environ.get("TERM") != "dumb"


def _checked(layout: str, setting: str) -> str:
    """The layout, after a record has been formatted with it: a wrong field would spoil every line."""
    sample = logging.LogRecord(LOGGER, logging.INFO, __file__, 1, "text", None, None)
    try:
        TextFormatter(layout, layout, color=False).format(sample)
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(
            f"{setting} {layout!r} is not a log format: {error}; write fields as %(message)s, %(asctime)s, "
            "%(levelname)s, %(processName)s, %(task_id)s, %(task_name)s"
        ) from error
    return layout


class LineHandler(logging.Handler):
    """Writes each record in one write, to a file opened for appending or to a stream.

    Raises ``ConfigurationError`` when the file cannot be opened. A write that fails later is reported on standard
    error as ``logging`` does, never raised. Without a file and a stream it writes to whatever ``sys.stderr`` is then.
    """

    def __init__(self, path: Path | None, stream: TextIO | None = None) -> None:
        super().__init__()
        self._path = path.absolute() if path is not None else None
        self._stream = stream
        self._file = -1
        self._identity: tuple[int, int] | None = None
        if self._path is not None:
            try:
                self._open(self._path)
            except OSError as error:
                raise ConfigurationError(
                    f"cannot write the log file {self._path}: {error.strerror}; "
                    "choose another, or make its folder writable"
                ) from error

    def handle(self, record: logging.LogRecord) -> bool:
        """As ``logging.Handler``; the process's name, and the running task's where there is none, go into it first."""
        if process_name:
            record.processName = process_name
        task_id, task_name = task_context()
        if task_id is not None and getattr(record, "task_id", None) is None:
            record.task_id = task_id
            record.task_name = task_name
        return super().handle(record)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{self.format(record)}\n"
            if self._path is not None:
                self._reopen_if_moved(self._path)
                _write_whole(self._file, line.encode("utf-8", "backslashreplace"))
            else:
                self._write_stream(line)
        except Exception:  # noqa: BLE001  a line that cannot be written must not end the task that wrote it
            self.handleError(record)

    def close(self) -> None:
        self.acquire()
        try:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
        finally:
            self.release()
        super().close()

    def _write_stream(self, line: str) -> None:
        stream = self._stream or sys.stderr
        stream = getattr(stream, "behind", stream)
        if stream is None:
            return
        try:
            number = stream.fileno()
        except (OSError, AttributeError):
            stream.write(line)
            stream.flush()
            return
        stream.flush()
        _write_whole(number, line.encode(stream.encoding or "utf-8", "backslashreplace"))

    def _reopen_if_moved(self, path: Path) -> None:
        try:
            now = os.stat(path)
        except FileNotFoundError:
            now = None
        if self._file < 0 or now is None or (now.st_dev, now.st_ino) != self._identity:
            self._open(path)

    def _open(self, path: Path) -> None:
        fresh = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        if self._file >= 0:
            os.close(self._file)
        self._file = fresh
        status = os.fstat(fresh)
        self._identity = (status.st_dev, status.st_ino)


_STALLED = 5.0
"""Seconds that a reader may leave a non-blocking stream full before a line is given up."""


def _write_whole(number: int, data: bytes) -> None:
    """One write; more only where the system takes a part of it (a full pipe, a signal)."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(number, view) :]
        except BlockingIOError:
            # A terminal is one open file with standard input, which an event loop may have made non-blocking.
            if not select.select([], [number], [], _STALLED)[1]:
                raise


class TaskFields(logging.Filter):
    """Lets everything pass, with ``task_id`` and ``task_name``: for handlers that the user sets up."""

    def filter(self, record: logging.LogRecord) -> bool:
        task_id, task_name = task_context()
        if getattr(record, "task_id", None) is None:
            record.task_id, record.task_name = task_id or "-", task_name or "-"
        return True


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_COLORS = {"DEBUG": "34", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


class TextFormatter(logging.Formatter):
    """Lines for people. What a record says cannot look like a record of its own: further lines are indented, and
    control characters are written as escapes."""

    def __init__(self, layout: str, task_layout: str, *, color: bool) -> None:
        nobody = {"task_id": "-", "task_name": "-"}
        super().__init__(layout, defaults=nobody)
        self._for_tasks = logging.PercentStyle(task_layout, defaults=nobody)
        self._for_tasks.validate()
        self._color = color

    def usesTime(self) -> bool:
        return super().usesTime() or self._for_tasks.usesTime()

    def formatMessage(self, record: logging.LogRecord) -> str:
        in_task = record.name.startswith(TASK_LOGGER) and getattr(record, "task_id", None) is not None
        return self._for_tasks.format(record) if in_task else super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        text = _CONTROL.sub(lambda found: ascii(found[0])[1:-1], super().format(record)).replace("\n", "\n  ")
        code = _COLORS.get(record.levelname) if self._color else None
        return f"\x1b[{code}m{text}\x1b[0m" if code else text


_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time (ISO, UTC), level, logger, message, process, pid, what ``extra`` added, and
    exception and stack where there are any. An extra named like one of these gets ``extra_`` in front; one that JSON
    cannot write is written as its repr."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.processName,
            "pid": record.process,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        for name, value in vars(record).items():
            if name not in _STANDARD and value is not None:
                line[f"extra_{name}" if name in line else name] = value
        try:
            return json.dumps(line, default=repr, ensure_ascii=False, allow_nan=False)
        except (ValueError, TypeError, RecursionError):
            plain = {name: value if isinstance(value, (str, int)) else repr(value) for name, value in line.items()}
            return json.dumps(plain, ensure_ascii=False)
