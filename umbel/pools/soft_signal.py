"""Soft limits of what the main thread calls, raised by a signal, so that a call that blocks ends too."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

from umbel.errors import SoftTimeLimitExceeded

if TYPE_CHECKING:
    from umbel.pools.loop import LoopHere

TEXT = "the task ran beyond its soft time limit"


class SoftSignal:
    """Raises ``SoftTimeLimitExceeded`` in the function that is being called in the thread that has installed it.

    Works where that is the process's main thread: elsewhere no signal is handled.
    """

    def __init__(self) -> None:
        self.inside = 0
        """The number whose function is being called, else 0; the thread that calls it sets it."""
        self.loop: LoopHere | None = None
        """Where coroutines are run by that thread."""
        self._overdue = 0
        """The number whose soft limit is over; ``interrupt`` alone sets it."""
        self._thread: threading.Thread | None = None

    def install(self) -> None:
        """Handle the signal in this thread."""
        thread = threading.current_thread()
        if thread is threading.main_thread() and hasattr(signal, "SIGUSR1"):
            self._thread = thread
            signal.signal(signal.SIGUSR1, self._raise)

    def interrupt(self, number: int) -> None:
        """From any thread: raise it in the function of ``number``, if that is what is being called."""
        if self.inside == number and self._thread is not None and self._thread.ident is not None:
            self._overdue = number
            signal.pthread_kill(self._thread.ident, signal.SIGUSR1)

    def _raise(self, signum: int, frame: object) -> None:
        """The signal's handler: it may come late, and must then raise nothing."""
        if self.inside and self.inside == self._overdue:
            self._overdue = 0
            error = SoftTimeLimitExceeded(TEXT)
            if self.loop is None or not self.loop.interrupt(error):
                raise error
