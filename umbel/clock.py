"""Reads the system's clocks behind one interface, so that tests can turn them by hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, tzinfo
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


class MachineZone(tzinfo):
    """The zone that the machine is set to, with its changes in the course of the year."""

    def __repr__(self) -> str:
        return "the machine's own time zone"

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else _local(moment).utcoffset()

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return None if moment is None else _local(moment).tzname()

    def fromutc(self, moment: datetime) -> datetime:
        seconds = moment.replace(tzinfo=UTC).timestamp()
        return datetime.fromtimestamp(seconds).replace(tzinfo=self)  # noqa: DTZ006  the machine's zone is meant


def _local(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None).astimezone()


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
