"""A few words of memory that a node and one runner share: what was started, what was finished, what was taken back."""

from __future__ import annotations

import mmap
import os
import tempfile
import threading

_STARTED, _FINISHED, _VOID = range(3)
_SIZE = 4096


class Board:
    """Deliveries are numbered 1, 2, 3 … in the order in which the runner gets them and starts them.

    The node can take back whatever is not started without asking the runner, which may be stopped or hold its
    interpreter's lock: it writes ``void`` first and reads ``started`` then, the runner writes ``started`` first and
    reads ``void`` then, each with a full fence between, so at least one of the two sees the other (Dekker).
    What the runner wrote is readable after it was killed.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, _SIZE)
        self._words = memoryview(self._map).cast("Q")
        self._fence = threading.Lock()

    @classmethod
    def make(cls) -> Board:
        """A new board, all zero, in memory that lives as long as somebody has it open."""
        if hasattr(os, "memfd_create"):
            fd = os.memfd_create("umbel-board", os.MFD_CLOEXEC)
        else:
            with tempfile.TemporaryFile() as file:
                fd = os.dup(file.fileno())
        os.ftruncate(fd, _SIZE)
        return cls(fd)

    def close(self) -> None:
        """Let go of the memory."""
        self._words.release()
        self._map.close()
        os.close(self.fd)

    @property
    def started(self) -> int:
        """The highest number that was started."""
        return self._words[_STARTED]

    @property
    def finished(self) -> int:
        """The highest number whose function has ended."""
        return self._words[_FINISHED]

    def start(self, number: int) -> bool:
        """Runner: claim ``number`` for starting; false when the node has taken it back."""
        words = self._words
        before = words[_STARTED]
        words[_STARTED] = number
        with self._fence:
            pass
        if number > words[_VOID]:
            return True
        words[_STARTED] = before
        return False

    def finish(self, number: int) -> None:
        """Runner: the function of ``number`` has ended."""
        self._words[_FINISHED] = number

    def void(self, upto: int) -> int:
        """Node: nothing up to ``upto`` may be started any more; gives the highest number that was.

        What was taken back once stays so, whatever later calls say.
        """
        if upto > self._words[_VOID]:
            self._words[_VOID] = upto
        with self._fence:
            pass
        return self._words[_STARTED]
