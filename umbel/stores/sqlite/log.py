"""Tells how much of the write-ahead log is in use, from the log itself.

A log that has been moved into the database file is written again from its beginning and does not shrink, so its size
says little. Frames of the present round carry the salts of the header, see https://sqlite.org/fileformat2.html#walformat.
"""

from __future__ import annotations

import os
from typing import NamedTuple

_HEADER = 32
_FRAME_HEADER = 24


class LogState(NamedTuple):
    """``salts`` name a round of the log; ``size`` is what the round has written, in bytes."""

    salts: bytes
    size: int


def state_of(log: str) -> LogState | None:
    """The state of the log file, None where there is none yet. SQLite locks other files: opening this one is safe."""
    try:
        descriptor = os.open(log, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return None
    try:
        header = _read(descriptor, 0, _HEADER)
        if len(header) < _HEADER:
            return None
        salts = header[16:24]
        frame = _FRAME_HEADER + int.from_bytes(header[8:12], "big")
        # Frames of this round come first: count them by halving.
        low, high = 0, (os.fstat(descriptor).st_size - _HEADER) // frame
        while low < high:
            middle = (low + high) // 2
            if _read(descriptor, _HEADER + middle * frame + 8, 8) == salts:
                low = middle + 1
            else:
                high = middle
        return LogState(salts, _HEADER + low * frame)
    finally:
        os.close(descriptor)


def _read(descriptor: int, at: int, count: int) -> bytes:
    os.lseek(descriptor, at, os.SEEK_SET)
    return os.read(descriptor, count)
