"""A few words of memory that a node and one runner share: what was started, what is running, what was taken back."""

from __future__ import annotations

import mmap
import os
import tempfile
import threading

_STARTED, _VOID, _SLOTS = range(3)
_WORD = 8


class Board:
    """Deliveries are numbered 1, 2, 3 … in the order in which the runner gets them and starts them.

    The node can take back whatever is not started without asking the runner, which may be stopped or hold its
    interpreter's lock: it writes ``void`` first and reads ``started`` then, the runner writes ``started`` first and
    reads ``void`` then, each with a full fence between, so at least one of the two sees the other (Dekker).
    What the runner wrote is readable after it was killed.

    A runner has one or more slots, each with the number that runs there, or 0. Deliveries are started in order,
    whatever their slots, and end in any order. A runner that starts from several threads lets one in at a time.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, os.fstat(fd).st_size)
        self._words = memoryview(self._map).cast("Q")
        self._fence = threading.Lock()

    @classmethod
    def make(cls, slots: int = 1) -> Board:
        """A new board, all zero, in memory that lives as long as somebody has it open."""
        if hasattr(os, "memfd_create"):
            fd = os.memfd_create("umbel-board", os.MFD_CLOEXEC)
        else:
            with tempfile.TemporaryFile() as file:
                fd = os.dup(file.fileno())
        pages = -(-(_SLOTS + slots) * _WORD // mmap.PAGESIZE)
        os.ftruncate(fd, pages * mmap.PAGESIZE)
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
    def running(self) -> list[int]:
        """The numbers that are in a slot."""
        return [number for number in self._words[_SLOTS:] if number]

    def start(self, number: int, slot: int = 0) -> bool:
        """Runner: claim ``number`` for starting in a free slot; false when the node has taken it back."""
        words = self._words
        before = words[_STARTED]
        words[_SLOTS + slot] = number
        words[_STARTED] = number
        with self._fence:
            pass
        if number > words[_VOID]:
            return True
        words[_STARTED] = before
        words[_SLOTS + slot] = 0
        return False

    def resume(self, number: int, slot: int) -> None:
        """Runner: ``number``, whose slot was left empty while it waited for its turn, runs now."""
        self._words[_SLOTS + slot] = number

    def finish(self, slot: int = 0) -> None:
        """Runner: the function in this slot has ended."""
        self._words[_SLOTS + slot] = 0

    def void(self, upto: int) -> int:
        """Node: nothing up to ``upto`` may be started any more; gives the highest number that was.

        What was taken back once stays so, whatever later calls say.
        """
        if upto > self._words[_VOID]:
            self._words[_VOID] = upto
        with self._fence:
            pass
        return self._words[_STARTED]
