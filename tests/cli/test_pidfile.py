"""Tests the file that holds a process's number."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from umbel.cli.pidfile import pidfile
from umbel.errors import ConfigurationError


def test_the_file_holds_the_number_in_the_block_and_is_gone_after_it(tmp_path: Path) -> None:
    path = tmp_path / "it.pid"

    with pidfile(path):
        assert path.read_text() == f"{os.getpid()}\n"

    assert not path.exists()


def test_the_file_is_gone_after_an_error_too(tmp_path: Path) -> None:
    path = tmp_path / "it.pid"

    with pytest.raises(RuntimeError, match="inside"), pidfile(path):
        raise RuntimeError("inside")

    assert not path.exists()


def test_a_file_that_is_held_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "it.pid"

    with pidfile(path):
        with pytest.raises(ConfigurationError, match=rf"belongs to a process that lives \(pid {os.getpid()}\)"):
            pidfile(path).__enter__()
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_live_process_that_holds_no_lock_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "it.pid"
    path.write_text(f"{os.getppid()}\n")

    with pytest.raises(ConfigurationError, match="end that first, or name another file; if it is no worker, remove"):
        pidfile(path).__enter__()

    assert path.read_text() == f"{os.getppid()}\n"


@pytest.mark.parametrize("content", ["gone", "own", "empty", "huge"])
def test_a_file_that_nobody_stands_behind_is_taken_over(tmp_path: Path, content: str) -> None:
    path = tmp_path / "it.pid"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    # In a container every run may have the same number, so a file with our own is one of a life before.
    path.write_text({"gone": f"{ended.pid}\n", "own": f"{os.getpid()}", "empty": "", "huge": "9" * 90}[content])

    with pidfile(path):
        assert path.read_text() == f"{os.getpid()}\n"

    assert not path.exists()


def test_a_file_with_something_else_in_it_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("buy milk")

    with pytest.raises(ConfigurationError, match="is no pid file, it holds 'buy milk'"):
        pidfile(path).__enter__()

    assert path.read_text() == "buy milk"


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot write the pid file .*/missing/it\.pid: No such file"):
        pidfile(tmp_path / "missing" / "it.pid").__enter__()


def test_a_file_that_another_process_has_put_there_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "it.pid"

    with pidfile(path):
        path.unlink()
        path.write_text("1\n")

    assert path.read_text() == "1\n"
