"""Takes exclusive locks on files, which the system lets go of when their process ends.

POSIX locks belong to the process, and closing *any* descriptor of a file drops the process's lock on it. Therefore a
file that this process has locked is never opened here a second time.
"""

from __future__ import annotations

import os
import threading

try:
    import fcntl
except ImportError:
    HAVE_LOCKS = False
else:
    HAVE_LOCKS = True

_owned: dict[str, FileLock] = {}
"""The locks of this process by path; ``_registry`` guards it."""

_registry = threading.Lock()


class FileLock:
    """An exclusive lock on one file, held from its taking until ``release`` or the end of the process."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: str, create: bool = True) -> FileLock | None:
        """The lock; None when somebody has it, this process included, or when the file is neither there nor made.

        Never waits. Raises ``OSError`` when the file cannot be opened. Without POSIX locks there is never one to have.
        """
        if not HAVE_LOCKS:
            return None
        with _registry:
            if path in _owned:
                return None
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o666)
            except FileNotFoundError:
                return None
            if not _lock(descriptor) or not _still_at(path, descriptor):
                os.close(descriptor)
                return None
            lock = _owned[path] = cls(path, descriptor)
            return lock

    def read(self) -> bytes:
        """What the holders of this lock have noted in its file."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return os.read(self._descriptor, 64)

    def write(self, note: bytes) -> None:
        """Note something for the next holder."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, note)

    def release(self, remove: bool = False) -> None:
        """Let go; ``remove`` deletes the file first, while nobody else can have its lock. Repeatable."""
        with _registry:
            if _owned.get(self.path) is not self:
                return
            del _owned[self.path]
            if remove and _still_at(self.path, self._descriptor):
                os.unlink(self.path)
            os.close(self._descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _still_at(path: str, descriptor: int) -> bool:
    """Whether the open file is still the one of that name: it may have been removed before its lock was had."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _after_fork_in_child() -> None:
    """A child has none of its parent's locks, and closing its copies of the files does the parent no harm."""
    global _registry
    _registry = threading.Lock()
    for lock in _owned.values():
        os.close(lock._descriptor)
    _owned.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
