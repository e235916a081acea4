"""Gives memory back to the system after large messages: C's allocator would keep what a body of megabytes has taken.

It puts blocks beyond a threshold apart and gives them back as they are freed, but raises that threshold to the largest
block freed so far, and what lies at the end of a thread's arena no call of ``malloc_trim`` reaches (``mallopt(3)``,
``malloc_trim(3)``). A node, which runs no tasks, holds the threshold. What tasks do in a runner may be quicker with a
threshold that moves: a runner holds it from its first large message on, and trims after each."""

from __future__ import annotations

import threading
from time import sleep

LARGE = 1 << 20
"""Bytes of a message from which on it is worth the while."""

PAUSES = (0.5, 5.0, 30.0)
"""Seconds until it is done, again and again: what held the message lets go of it in a moment, or with the next ones."""

_M_MMAP_THRESHOLD = -3
"""The GNU C library's number for the threshold."""

_lock = threading.Lock()
_waiting = False
_held = False


def hold_threshold() -> None:
    """From now on give back every block of more than ``LARGE`` bytes as soon as this process frees it. Never raises."""
    global _held
    if _held:
        return
    _held = True
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE)


def trim_soon() -> None:
    """Have the allocator give back what it does not use, a little later and once for many calls. Never raises."""
    global _waiting
    with _lock:
        if _waiting:
            return
        _waiting = True
    threading.Thread(target=_trim, name="umbel-trimming", daemon=True).start()


def _trim() -> None:
    global _waiting
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of the GNU C library; others give back by themselves
    for pause in PAUSES:
        sleep(pause)
        _waiting = False  # what comes from now on has rounds of its own
        if trim is not None:
            trim(0)
