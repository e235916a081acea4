"""The stages of a worker's end: not asked, warm, cold."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator

from umbel.signals import worker_shutting_down

logger = logging.getLogger("umbel.worker")


class Shutdown:
    """Asked once: warm. Asked again: cold. The node's loop owns it; ``ask`` from elsewhere goes through the loop."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.stage = 0
        self._changed = asyncio.Event()

    @property
    def asked(self) -> bool:
        """Whether the end has begun."""
        return self.stage > 0

    def ask(self, sig: str | None = None) -> None:
        """One stage further; ``sig`` is the name of the signal that asks."""
        self.stage += 1
        self._changed.set()
        if self.stage <= 2:
            how, exitcode = ("Warm", 0) if self.stage == 1 else ("Cold", 1)
            worker_shutting_down.send(sender=self._name, sig=sig, how=how, exitcode=exitcode)
        if self.stage == 1:
            logger.warning("Warm shutdown: no new tasks; ask again to stop at once")
        elif self.stage == 2:
            logger.warning("Cold shutdown: running tasks are given back now")

    def ask_first(self, sig: str | None = None) -> None:
        """Begin the end, if nobody has; ``sig`` as for ``ask``."""
        if not self.asked:
            self.ask(sig)

    async def wait(self, stage: int) -> None:
        """Return when this stage is reached."""
        while self.stage < stage:
            self._changed.clear()
            await self._changed.wait()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Ask at SIGTERM and SIGINT, twice at SIGQUIT, while in the block; in the main thread's loop.

        SIGHUP, a terminal that is closed, begins the end and never hastens it; where it is ignored (nohup) it stays so.
        """
        loop = asyncio.get_running_loop()
        wanted = {"SIGTERM": 1, "SIGINT": 1, "SIGQUIT": 2}
        numbers = {getattr(signal, name): times for name, times in wanted.items() if hasattr(signal, name)}
        for number, times in numbers.items():
            loop.add_signal_handler(number, self._ask_times, times, signal.Signals(number).name)
        if hears_hangup():
            numbers[signal.SIGHUP] = 1
            loop.add_signal_handler(signal.SIGHUP, self.ask_first, signal.SIGHUP.name)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _ask_times(self, times: int, sig: str) -> None:
        while self.stage < times:
            self.ask(sig)
            if times == 1:
                return
        if times == 1:
            self.ask(sig)


def hears_hangup() -> bool:
    """Whether SIGHUP exists and nobody has had it ignored."""
    return hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
