"""A terminal of 80 columns with a program in it, for somebody who types and reads."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

PATIENCE = 60.0


class Terminal:
    """What the program shows is kept in ``shown``; ``see`` moves on behind what it saw."""

    def __init__(self, pid: int, fd: int) -> None:
        self.pid = pid
        self._fd = fd
        self.shown = ""
        self._seen = 0

    def see(self, text: str) -> str:
        """Wait until this is shown behind what was seen before; gives all up to its end."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown[self._seen :]:
            assert time.monotonic() < deadline, f"{text!r} is not in {self.shown[self._seen :]!r}"
            assert self._read(), f"it ended before {text!r}: {self.shown[self._seen :]!r}"
        begin, self._seen = self._seen, self.shown.index(text, self._seen) + len(text)
        return self.shown[begin : self._seen]

    def see_after(self, keys: str, text: str) -> str:
        """As ``see``, pressing these keys, and again as often as nothing comes of it; bells are not heard."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown[self._seen :]:
            assert time.monotonic() < deadline, f"{text!r} is not in {self.shown[self._seen :]!r}"
            self.type(keys)
            for _ in range(4):
                assert self._read(), f"it ended before {text!r}: {self.shown[self._seen :]!r}"
            self.shown = self.shown.replace("\a", "")
        return self.see(text)

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._fd, text.encode())

    def end(self) -> int:
        """The program's exit status, when it has ended."""
        deadline = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < deadline, f"it does not end: {self.shown[self._seen :]!r}"
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> bool:
        """Read what comes; False at the end."""
        if not select.select([self._fd], [], [], 0.5)[0]:
            return True
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # how the end of a terminal shows on Linux
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)


@contextlib.contextmanager
def terminal(line: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Iterator[Terminal]:
    """Run a program in a terminal; it is killed at the block's end if it has not ended."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execvpe(line[0], list(line), {"TERM": "xterm", **environ})
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    try:
        yield Terminal(pid, fd)
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        os.close(fd)
