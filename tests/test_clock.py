"""The system clock reads what the system says."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from umbel import clock
from umbel.clock import Clock, SystemClock


def test_the_wall_clock_is_the_systems() -> None:
    reading: Clock = SystemClock()
    before = time.time()
    assert before <= reading.now() <= time.time()


def test_monotonic_and_boot_time_never_go_back() -> None:
    reading = SystemClock()
    for read in (reading.monotonic, reading.boot):
        times = [read() for _ in range(1000)]
        assert times == sorted(times)


def test_boot_time_and_boot_id_mean_the_same_in_another_process() -> None:
    code = "from umbel.clock import SystemClock as C; print(C().boot(), C().boot_id())"
    before = SystemClock().boot()
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert before < float(shown[0]) < SystemClock().boot()
    assert shown[1] == SystemClock().boot_id()


def test_without_a_boot_clock_the_monotonic_one_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    before = time.monotonic()
    assert before <= SystemClock().boot() <= time.monotonic()


def test_where_the_system_tells_no_boot_id_it_is_empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clock, "_BOOT_ID", tmp_path / "nothing")
    assert SystemClock().boot_id() == ""
