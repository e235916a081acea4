"""Takes the room away from under a running worker, and gives it back."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

MEGABYTE = 1 << 20


class Room(Protocol):
    """``fill`` leaves no room for what these processes write; it is called again and again, for they may make some."""

    said: str
    """What a worker says of it."""

    def fill(self, pids: Iterable[int]) -> None: ...

    def free(self, pids: Iterable[int]) -> None: ...


class SmallDisk:
    """A disk of its own that another file fills."""

    said = "no room left on the disk"

    def __init__(self, point: Path) -> None:
        self._ballast = point / "ballast"

    def fill(self, pids: Iterable[int]) -> None:
        with suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            while file.write(bytes(MEGABYTE)) == MEGABYTE:
                pass
        with suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            while file.write(b"x"):
                pass

    def free(self, pids: Iterable[int]) -> None:
        self._ballast.unlink()


class ShortFiles:
    """A bound on the size of files for the processes alone: what remains where no disk can be mounted.

    The log of what hundreds of calls have written is longer, what a worker prints is shorter.
    """

    said = "disk I/O error"

    def fill(self, pids: Iterable[int]) -> None:
        self._limit(pids, MEGABYTE // 2)

    def free(self, pids: Iterable[int]) -> None:
        self._limit(pids, resource.RLIM_INFINITY)

    def _limit(self, pids: Iterable[int], size: int) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@contextmanager
def small_disk(point: Path, megabytes: int) -> Iterator[Room]:
    """A small disk mounted at ``point``, or where that is not allowed a bound on files."""
    point.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(point)]
    if subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
        yield ShortFiles()
        return
    try:
        yield SmallDisk(point)
    finally:
        subprocess.run(["umount", "--lazy", str(point)], check=True)
