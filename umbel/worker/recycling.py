"""When a runner has done enough and a fresh one takes its place."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from umbel.worker.runners import Runner


class Recycling:
    """``tasks`` a runner, and ``memory`` in KiB that it may hold after one; None for no bound."""

    def __init__(self, tasks: int | None, memory: int | None) -> None:
        self._tasks = tasks
        self._memory = memory

    def allowed(self, runner: Runner, room: int) -> int:
        """``room``, or what is left of the tasks that the runner may run."""
        if self._tasks is None:
            return room
        return min(room, self._tasks - runner.done - len(runner.assigned))

    def spent(self, runner: Runner) -> bool:
        """Whether it has got all the tasks that it may run."""
        return self._tasks is not None and runner.done + len(runner.assigned) >= self._tasks

    def due(self, runner: Runner) -> bool:
        """Whether it is to end once nothing runs in it."""
        if self._tasks is not None and runner.done >= self._tasks:
            return True
        return self._memory is not None and resident(runner.pid) > self._memory


def recycling(tasks: int | None, memory: int | None) -> Recycling | None:
    """The bounds, or None where there are none to keep."""
    return None if tasks is None and memory is None else Recycling(tasks, memory)


def resident(pid: int) -> int:
    """KiB of memory that a process holds; 0 where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024
    return 0
