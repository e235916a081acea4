"""Keeps a process's number in a file for as long as the process lives."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from umbel.errors import ConfigurationError


@contextlib.contextmanager
def pidfile(path: Path) -> Iterator[None]:
    """Have this process's number in ``path`` while in the block, and the file gone after it.

    A file that is there is taken over when the process that it names is gone. The lock on it keeps two processes that
    start at once apart. A forked child that leaves the block, too, leaves the file alone. Raises ``ConfigurationError``
    when the process lives, and when the file cannot be written.
    """
    path, owner = path.absolute(), os.getpid()
    try:
        file = _locked(path)
    except OSError as error:
        raise ConfigurationError(f"cannot write the pid file {path}: {error.strerror}") from error
    try:
        _refuse_if_alive(path, os.pread(file, 100, 0))
        os.ftruncate(file, 0)
        os.pwrite(file, f"{owner}\n".encode(), 0)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # gone already, or the folder is: it names nobody either way
                if os.getpid() == owner and _is_same(path, file):
                    path.unlink()
    finally:
        os.close(file)


def _locked(path: Path) -> int:
    """The file, open and locked; raises ``ConfigurationError`` when another process has its lock."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        if _lock(file):
            if _is_same(path, file):
                return file
            os.close(file)  # its owner removed it between our opening and locking it
            continue
        try:
            raise _taken(path, os.pread(file, 100, 0).decode("ascii", "replace").strip() or "another one")
        finally:
            os.close(file)


def _lock(file: int) -> bool:
    try:
        import fcntl
    except ImportError:  # no such locks on Windows; the number in the file is what counts there
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_same(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def _refuse_if_alive(path: Path, content: bytes) -> None:
    text = content.decode("ascii", "replace").strip()
    if text and not text.isdigit():
        raise ConfigurationError(f"{path} is no pid file, it holds {text[:40]!r}; name another, or remove it")
    if text and int(text) not in (os.getpid(), 0) and _lives(int(text)):
        raise _taken(path, text)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _taken(path: Path, pid: str) -> ConfigurationError:
    return ConfigurationError(
        f"the pid file {path} belongs to a process that lives (pid {pid}): end that first, or name another file; "
        "if it is no worker, remove the file"
    )
