"""Checks that a tree of processes is measured whole and ended whole."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bench.processes import Stuck, Tree, descendants
from tests.worker.process import alive, wait_until

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}])
print("started", flush=True)
child.wait()
"""
BUSY = "print('busy', flush=True)\nwhile True: pass"
LARGE = "held = bytearray(b'x') * (64 << 20)\nprint('large', flush=True)\nimport time\ntime.sleep(1000)"


def tree(folder: Path, program: str) -> Tree:
    return Tree([sys.executable, "-c", program], dict(os.environ), folder / "log")


def test_the_cpu_time_of_a_child_counts(tmp_path: Path) -> None:
    with tree(tmp_path, PARENT.format(child=BUSY)) as running:
        running.wait_until(lambda: "busy" in running.printed(), "a busy child")
        before = running.cpu()
        running.wait_until(lambda: running.cpu() >= before + 0.1, "CPU time")


def test_the_memory_of_a_child_counts(tmp_path: Path) -> None:
    with tree(tmp_path, PARENT.format(child=LARGE)) as running:
        running.wait_until(lambda: "large" in running.printed(), "a large child")
        assert running.memory() > 64
        assert 64 < running.own_memory() < running.memory()


def test_nothing_of_the_tree_is_left(tmp_path: Path) -> None:
    with tree(tmp_path, PARENT.format(child=BUSY)) as running:
        running.wait_until(lambda: len(running.pids()) == 2, "two processes")
        pids = running.pids()
    wait_until(lambda: not any(map(alive, pids)), "the end of both")


def test_a_program_that_ends_too_soon_is_told_with_its_output(tmp_path: Path) -> None:
    with (
        tree(tmp_path, "raise SystemExit('out of luck')") as running,
        pytest.raises(Stuck, match=r"status 1 before luck(.|\n)*out of luck"),
    ):
        running.wait_until(lambda: False, "luck")


def test_what_does_not_happen_in_time_is_told(tmp_path: Path) -> None:
    with tree(tmp_path, BUSY) as running, pytest.raises(Stuck, match=r"no luck within 0\.05 s"):
        running.wait_until(lambda: False, "luck", seconds=0.05)


def test_a_process_that_is_gone_has_no_descendants_but_itself() -> None:
    assert descendants(2**22 + 1) == [2**22 + 1]
