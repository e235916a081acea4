"""Wakes one waiting thread when another rings or when any process writes to a file.

Linux tells of writes (inotify); elsewhere, and where it refuses, a thread can only look at the file now and then.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
import threading
import weakref
from typing import Protocol

_IN_MODIFY = 0x2
_EVENTS_READ = 1 << 16

MISSES = 3
"""Changes in a row of which nothing was heard before an ear counts as deaf."""


class Ear(Protocol):
    """What one thread waits with; ``ring`` is for all threads, the rest for that one."""

    @property
    def keen(self) -> bool:
        """Whether writes are heard, so that nobody needs to look often."""
        ...

    def ring(self) -> None:
        """Wake the thread; a ring that nobody waited for wakes the next wait at once."""
        ...

    def attend(self) -> None:
        """Listen to the file that has the name now; repeatable, and needed when it may be another one."""
        ...

    def clear(self) -> bool:
        """Whether a write to the file was heard since this was last asked."""
        ...

    def missed(self) -> None:
        """A change was seen of which nothing had been heard."""
        ...

    def wait(self, seconds: float, for_writes: bool) -> None:
        """Return after a ring, after that time, or, if asked, after a write that has not been cleared."""
        ...

    def close(self) -> None: ...


def ear_on(path: str) -> Ear:
    """The best ear that this system has for the file."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ImportError, AttributeError):
            return Inotify(path)
    return Blind()


class Blind:
    """Hears rings only. A bare lock, because waiting for it costs a third of what ``threading.Event`` asks."""

    keen = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # rung already
            self._lock.release()

    def attend(self) -> None:
        """There is nothing to listen to."""

    def clear(self) -> bool:
        return False

    def missed(self) -> None:
        """Every write is."""

    def wait(self, seconds: float, for_writes: bool) -> None:
        self._lock.acquire(timeout=max(seconds, 0.0))

    def close(self) -> None:
        """There is nothing to close."""


class Inotify:
    """Hears rings and writes. Raises ``OSError`` where the system has no more of it to give."""

    def __init__(self, path: str) -> None:
        import ctypes

        self._path = os.fsencode(path)
        library = ctypes.CDLL(None, use_errno=True)
        self._add_watch = library.inotify_add_watch
        self._errno = ctypes.get_errno
        self._rings = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._writes: int = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._writes < 0:
            os.close(self._rings)
            raise OSError(self._errno(), "inotify_init1")
        self._either = _poll(self._rings, self._writes)
        self._ringing = _poll(self._rings)
        self._rung = False
        self._asleep = False
        self._misses = 0
        self._closing = threading.Lock()
        _ears.add(self)

    @property
    def keen(self) -> bool:
        return self._misses < MISSES

    def ring(self) -> None:
        self._rung = True
        if self._asleep:
            with self._closing:
                if self._rings >= 0:
                    os.eventfd_write(self._rings, 1)

    def attend(self) -> None:
        if self._add_watch(self._writes, self._path, _IN_MODIFY) < 0 and self._errno() != errno.ENOENT:
            self._misses = MISSES

    def clear(self) -> bool:
        try:
            os.read(self._writes, _EVENTS_READ)
        except BlockingIOError:
            return False
        self._misses = 0
        return True

    def missed(self) -> None:
        self._misses += 1

    def wait(self, seconds: float, for_writes: bool) -> None:
        self._asleep = True
        if not self._rung:
            (self._either if for_writes else self._ringing).poll(max(seconds, 0.0) * 1000)
        self._asleep = self._rung = False
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._rings)

    def close(self) -> None:
        """Let go of what the system lent; the ear hears nothing any more. Repeatable."""
        with self._closing:
            descriptors = {self._rings, self._writes} - {-1}
            self._rings = self._writes = -1
        for descriptor in descriptors:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


_ears: weakref.WeakSet[Inotify] = weakref.WeakSet()


def _poll(*descriptors: int) -> select.poll:
    waiter = select.poll()
    for descriptor in descriptors:
        waiter.register(descriptor, select.POLLIN)
    return waiter


def _after_fork_in_child() -> None:
    """The threads that waited are the parent's."""
    for ear in list(_ears):
        ear._closing = threading.Lock()
        ear.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
