"""The cheapest answer that there is, for peers without results of their own: a byte through a named pipe."""

from __future__ import annotations

import contextlib
import functools
import os

from bench import client

_PATH = client.HOME / "answers"


@functools.cache
def _opened() -> int:
    if not _PATH.exists():
        with contextlib.suppress(FileExistsError):
            os.mkfifo(_PATH)
    return os.open(_PATH, os.O_RDWR)


def answer() -> None:
    """Say that a task has run."""
    os.write(_opened(), b".")


def fetch(handle: object) -> None:
    """Wait until one has."""
    os.read(_opened(), 1)
