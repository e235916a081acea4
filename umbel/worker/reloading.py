"""Runs a worker in a child process, and starts it anew whenever a file of the project changes."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from umbel.errors import ConfigurationError

MOST_FILES = 20_000
"""With more entries than this below the roots only imported modules are watched."""

_LOOK = 0.25
"""Seconds between two looks at the files; longer where a look takes long: looking costs 5 % of a CPU at most."""

_QUIET = 0.1
"""Seconds without a further change after which a change is complete: editors and git write many files."""

_ECHO = 0.3
"""Seconds after which a signal to this process is passed on: one to the whole group has reached the child by then."""

_INSTALLED = frozenset({"site-packages", "dist-packages"})
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})


class Child:
    """What the child process has of its supervisor; ``first`` until one has imported the app."""

    def __init__(self, pipe: int, first: bool) -> None:
        self._pipe = pipe
        self.first = first

    def loaded(self) -> None:
        """The app is imported: its modules are known, wherever they are."""
        os.write(self._pipe, f"{json.dumps(sorted(own_modules()))}\n".encode())


def supervise(roots: Sequence[Path], say: Callable[[str], None]) -> Child | int:
    """Give a ``Child`` in each child process, which then is the worker, and in this one the last child's exit status.

    A child is ended warmly and another one begun when a Python file or pyproject.toml below ``roots``, or a module that
    the child has imported, changes. When a child ends in failure, the next change is waited for. SIGTERM, SIGINT and
    SIGHUP end the child and then this; they may reach this process alone or the whole group. To be called while the
    process has one thread. Raises ``ConfigurationError`` where processes cannot fork.
    """
    if not hasattr(os, "fork"):
        raise ConfigurationError("--reload needs a system that can fork: start the worker anew yourself here")
    return _Supervisor(Files(roots, say), say).run()


class _Supervisor:
    """Owns the child. A signal is only counted by its handler; what follows of it is done by ``_attend``."""

    def __init__(self, files: Files, say: Callable[[str], None]) -> None:
        self._files = files
        self._say = say
        self._asked = 0
        self._passed_on = 0
        self._echo_at = 0.0
        self._pid = 0
        self._pipe = -1
        self._unread = b""
        self._first = True

    def run(self) -> Child | int:
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {number: signal.getsignal(number) for number in numbers}
        for number in numbers:
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, self._ask)
        status: int | None = None
        while status is None:
            self._files.changed()  # from here on: what is changed while the child imports it counts
            child = self._begin(before)
            if child is not None:
                return child
            status = self._attend()
        return status

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked += 1
        self._echo_at = time.monotonic() + _ECHO

    def _begin(self, handlers: Mapping[int, Any]) -> Child | None:
        """Fork; gives a ``Child`` in the child."""
        ours, theirs = os.pipe()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(ours)
            for number, handler in handlers.items():
                signal.signal(number, signal.SIG_DFL if handler is signal.SIG_IGN else handler)
            return Child(theirs, self._first)
        os.close(theirs)
        self._pipe = ours
        return None

    def _attend(self) -> int | None:
        """Until the child has ended: its exit status, or None when it is to be started anew."""
        reason = ""
        while True:
            self._listen()
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                break
            self._pass_on()
            if not reason and not self._asked and (reason := self._change()):
                self._say(f"{reason}: starting anew")
                os.kill(self._pid, signal.SIGHUP)
        if self._pipe >= 0:
            os.close(self._pipe)
        code = os.waitstatus_to_exitcode(status)
        if self._asked or (code == 0 and not reason):
            return max(code, 0)
        return None if reason else self._wait_for_change()

    def _wait_for_change(self) -> int | None:
        """The child has failed: None at the next change, a status when somebody asks for the end."""
        self._say("the worker has ended; waiting for a change")
        while not self._asked:
            if reason := self._change():
                self._say(f"{reason}: starting anew")
                return None
            time.sleep(self._files.pause)
        return 0

    def _change(self) -> str:
        """What has changed, once nothing does any more; empty when nothing has."""
        changed = self._files.changed()
        if not changed:
            return ""
        more = changed
        while more and not self._asked:
            time.sleep(_QUIET)
            more = self._files.changed()
        name = os.path.relpath(changed[0])
        return f"{name} changed" if len(changed) == 1 else f"{name} and {len(changed) - 1} more changed"

    def _listen(self) -> None:
        """Sleep until the next look; hear what the child has to say meanwhile, its end at once."""
        pipes = [self._pipe] if self._pipe >= 0 else []
        if not select.select(pipes, [], [], self._files.pause)[0]:
            return
        data = os.read(self._pipe, 1 << 16)
        if not data:
            os.close(self._pipe)
            self._pipe = -1
            time.sleep(0.02)  # its exit status follows
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._first = False
            self._files.add(json.loads(line))

    def _pass_on(self) -> None:
        """Have the child at least as far on its way to the end as this process has been asked to be."""
        if self._asked > self._passed_on and time.monotonic() >= self._echo_at:
            self._passed_on = self._asked
            os.kill(self._pid, signal.SIGHUP if self._asked == 1 else signal.SIGQUIT)


class Files:
    """The files that matter, and whether they are as they were."""

    def __init__(self, roots: Sequence[Path], say: Callable[[str], None], most: int = MOST_FILES) -> None:
        self._roots = list(dict.fromkeys(map(str, roots)))
        self._say = say
        self._most = most
        self._modules: set[str] = set()
        self._seen: dict[str, tuple[int, int, int]] = {}
        self.pause = _LOOK
        """Seconds until the next look."""

    def add(self, paths: Sequence[str]) -> None:
        """Watch these too, from how they are now."""
        for path in set(paths) - self._modules:
            self._modules.add(path)
            if path not in self._seen and (mark := _mark(path)) is not None:
                self._seen[path] = mark

    def changed(self) -> list[str]:
        """What was changed, added or removed since the last look."""
        began = time.monotonic()
        now = {path: mark for path in {*self._tree(), *self._modules} if (mark := _mark(path)) is not None}
        before, self._seen = self._seen, now
        self.pause = max(_LOOK, 20 * (time.monotonic() - began))
        return sorted(path for path in {*before, *now} if before.get(path) != now.get(path))

    def _tree(self) -> list[str]:
        found: list[str] = []
        folders = list(self._roots)
        count = 0
        while folders:
            for entry in _entries(folders.pop()):
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith(".") and entry.name not in _SKIPPED:
                        folders.append(entry.path)
                elif entry.name.endswith(".py") or entry.name == "pyproject.toml":
                    found.append(entry.path)
            if count > self._most:
                self._say(f"too many files below {', '.join(self._roots)}: only imported modules are watched")
                self._roots.clear()
                return []
        return found


def own_modules() -> Iterator[str]:
    """The files of imported modules that belong to a project: not Python's, not installed ones, not umbel's."""
    python = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), str(Path(__file__).parents[1]) + os.sep)
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if not isinstance(path, str) or not path.endswith(".py") or not os.path.isabs(path):
            continue
        if not path.startswith(python) and not _INSTALLED & {*Path(path).parts}:
            yield path


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing in one that cannot be read, is gone, or is a virtual environment."""
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError:
        return []
    return [] if any(entry.name == "pyvenv.cfg" for entry in found) else found


def _mark(path: str) -> tuple[int, int, int] | None:
    """What changes when the file does; None when it is gone."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
