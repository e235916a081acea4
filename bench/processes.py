"""Starts a tree of processes, and reads from /proc what it spends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

TICKS = os.sysconf("SC_CLK_TCK")
UNUSUAL = ("UMBEL_", "PYTHON")
"""How names of environment variables begin that would make a measurement another one than on the next machine."""


class Stuck(Exception):
    """Something did not happen in time; the message ends with what the processes wrote."""


def plain_environment() -> dict[str, str]:
    """This process's environment without what changes umbel or Python, such as an order to keep no bytecode."""
    return {name: value for name, value in os.environ.items() if not name.startswith(UNUSUAL)}


class Tree:
    """A program and everything that it has started, in a session of its own, ended when the block is left.

    What it prints goes to ``log``. ``began`` is when it was started, on the monotonic clock.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self.began = time.monotonic()
            self._root = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        known = {pid: _began(pid) for pid in self.pids()}
        _signal(known, signal.SIGTERM)  # to each of them: not every parent ends its children
        try:
            self._root.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._root.kill()
            self._root.wait()
        _signal(known, signal.SIGKILL)

    def pids(self) -> list[int]:
        """The processes that live now, the first one first."""
        return descendants(self._root.pid)

    def cpu(self) -> float:
        """CPU seconds spent so far, in user and system mode, by the living and by the dead that were waited for."""
        return sum(cpu_of(pid) for pid in self.pids())

    def memory(self) -> float:
        """Megabytes of memory: each page counts, divided by the number of processes that share it (PSS)."""
        return sum(_pss(pid, "Pss:") for pid in self.pids())

    def own_memory(self) -> float:
        """Megabytes of memory as ``memory``, without what is read from files, which other programs may share."""
        return sum(_pss(pid, "Pss_Anon:") for pid in self.pids())

    def wait_until(self, happened: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        """Return as soon as it has happened; raises ``Stuck`` when it takes too long or the program has ended."""
        deadline = time.monotonic() + seconds
        while not happened():
            status = self._root.poll()
            if status is not None:
                raise Stuck(f"the program ended with status {status} before {what}:\n{self.printed()}")
            if time.monotonic() > deadline:
                raise Stuck(f"no {what} within {seconds:g} s:\n{self.printed()}")
            time.sleep(0.001)

    def printed(self) -> str:
        """The end of what the processes have written."""
        return self._log.read_text(errors="replace")[-3000:]


def descendants(root: int) -> list[int]:
    """``root`` and the living processes below it."""
    children: dict[int, list[int]] = {}
    for pid, fields in _processes():
        children.setdefault(int(fields[1]), []).append(pid)
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _processes() -> Iterator[tuple[int, list[str]]]:
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))):
            yield int(name), fields


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (the state) on; none when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def _began(pid: int) -> str:
    return "".join(_stat(pid)[19:20])


def _signal(known: Mapping[int, str], number: signal.Signals) -> None:
    for pid, began in known.items():
        if began and _began(pid) == began:  # not a stranger that has got the same number since
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def cpu_of(pid: int) -> float:
    """CPU seconds of one process so far, in user and system mode; 0 when it is gone."""
    # Fields 14 to 17: user and system time, its own and that of the children that it has waited for.
    return sum(int(field) for field in _stat(pid)[11:15]) / TICKS


def _pss(pid: int, which: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(which)) / 1024
