"""Counts the CPUs that this process may use: its affinity mask, and the quota of its control groups."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def available_cpus(system: Path = Path("/")) -> int:
    """At least 1; a quota of one and a half CPUs counts as two. ``system`` is the folder that holds proc and sys."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *(math.ceil(quota) for quota in _quotas(system))]))


def _quotas(system: Path) -> Iterator[float]:
    """The quotas, in CPUs, of every control group that this process is below, in either version of their files.

    A group's path that is not visible from here (a container sees only its own part of the tree) is passed over.
    """
    mounts = system / "sys/fs/cgroup"
    for line in _text(system / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0":
            top, read = mounts, _unified_quota
        elif "cpu" in controllers.split(","):
            top, read = mounts / "cpu", _legacy_quota
        else:
            continue
        inside = PurePosixPath(group.lstrip("/"))
        for folder in dict.fromkeys((inside, *inside.parents)):
            quota = read(top / folder)
            if quota is not None:
                yield quota


def _unified_quota(folder: Path) -> float | None:
    limit, _, period = _text(folder / "cpu.max").strip().partition(" ")
    return _share(limit, period)


def _legacy_quota(folder: Path) -> float | None:
    return _share(_text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip())


def _share(limit: str, period: str) -> float | None:
    """``max`` and -1 mean "no limit"."""
    if not (limit.isdigit() and period.isdigit()) or int(limit) == 0 or int(period) == 0:
        return None
    return int(limit) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
