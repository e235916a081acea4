"""Reads the system's clocks behind one interface, so that tests can turn them by hand."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """Four readings of time. All times are seconds."""

    def now(self) -> float:
        """Unix wall time. It may jump, both ways: for times that people mean (an eta, an expiry), never for leases."""
        ...

    def monotonic(self) -> float:
        """Never goes back, may stand still while the machine sleeps; means something in this process only."""
        ...

    def boot(self) -> float:
        """Never goes back, counts sleep too, and is the same in every process of the machine until it boots again.

        Compare two readings only where ``boot_id`` is the same.
        """
        ...

    def boot_id(self) -> str:
        """A text that changes when the machine boots; empty where the system does not tell."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def boot(self) -> float:
        """CLOCK_BOOTTIME; where there is none (macOS, Windows) the monotonic clock, which is machine-wide there."""
        if hasattr(time, "CLOCK_BOOTTIME"):
            return time.clock_gettime(time.CLOCK_BOOTTIME)
        return time.monotonic()

    def boot_id(self) -> str:
        try:
            return _BOOT_ID.read_text("ascii").strip()
        except OSError:
            return ""
