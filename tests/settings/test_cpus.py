"""The number of CPUs follows the affinity mask and every control group above the process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from umbel.settings.cpus import available_cpus


def write(system: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = system / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return system


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 16 CPUs, all of them allowed."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))


def test_without_control_groups_the_affinity_mask_decides(tmp_path: Path) -> None:
    assert available_cpus(tmp_path) == len(os.sched_getaffinity(0))


def test_on_this_machine_it_is_at_least_one_and_at_most_the_mask() -> None:
    assert 1 <= available_cpus() <= len(os.sched_getaffinity(0))


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1), ("max 100000", 16), ("", 16), ("odd", 16)],
)
def test_a_quota_of_the_process_group_counts(tmp_path: Path, quota: str, cpus: int) -> None:
    files = {"proc/self/cgroup": "0::/shop/worker\n", "sys/fs/cgroup/shop/worker/cpu.max": f"{quota}\n"}
    assert available_cpus(write(tmp_path, files)) == cpus


@pytest.mark.usefixtures("many")
def test_the_smallest_quota_on_the_way_up_counts(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/shop/worker\n",
        "sys/fs/cgroup/shop/cpu.max": "300000 100000\n",
        "sys/fs/cgroup/shop/worker/cpu.max": "800000 100000\n",
    }
    assert available_cpus(write(tmp_path, files)) == 3


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(("quota", "cpus"), [("400000", 4), ("-1", 16)])
def test_quotas_of_the_older_layout_count(tmp_path: Path, quota: str, cpus: int) -> None:
    files = {
        "proc/self/cgroup": "5:memory:/other\n4:cpu,cpuacct:/docker/abc\n0::/\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": f"{quota}\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/other/cpu.cfs_quota_us": "100000\n",
    }
    assert available_cpus(write(tmp_path, files)) == cpus
