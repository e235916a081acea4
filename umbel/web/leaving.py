"""Knows when this process was asked to end, so that open streams do not keep its server waiting."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

_bells: set[Callable[[], None]] = set()
"""Called, in the main thread, when the process is to end; ``listen`` and ``unlisten`` alone change it."""

_heard = threading.Event()
_before: dict[int, Any] = {}


def leaving() -> bool:
    """Whether the process was asked to end."""
    return _heard.is_set()


def listen(bell: Callable[[], None]) -> None:
    """Call ``bell`` when the process is asked to end.

    A server handles SIGTERM and SIGINT itself, and tells its applications after their last answer: too late. So its
    handlers are called from one of umbel's, which is put in their place where this is called in the main thread.
    """
    _bells.add(bell)
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        handler = signal.getsignal(number)
        if handler is not _handle and handler is not signal.SIG_IGN:
            _before[number] = handler
            signal.signal(number, _handle)


def unlisten(bell: Callable[[], None]) -> None:
    """End what ``listen`` began."""
    _bells.discard(bell)


def _handle(number: int, frame: Any) -> None:
    _heard.set()
    for bell in tuple(_bells):
        bell()
    before = _before.get(number, signal.SIG_DFL)
    if callable(before):
        before(number, frame)
    elif before is signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
