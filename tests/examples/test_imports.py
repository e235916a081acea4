"""Runs the demo as a user does, to its end and not to its end."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.imports import count_imports, standard_library, troublemakers

PATIENCE = 60.0
DEMO = [sys.executable, "-m", "examples"]


def wait_until(happened: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"waited for {what} in vain"
        time.sleep(0.01)


def processes_of(folder: Path) -> list[str]:
    """The command lines of the processes whose environment names the folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and os.fsencode(folder) in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


@pytest.fixture
def environment(root: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Puts the demo's files below ``tmp_path``; afterwards neither they nor its processes may be there any more."""
    yield {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(root)}
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


@pytest.fixture
def demo(root: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The demo, started, its output in a pipe."""
    with subprocess.Popen(DEMO, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.terminate()


def test_the_task_counts_top_level_modules(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text(
        "import os, os.path\nfrom os import sep\nfrom . import near\nfrom .near import x\nimport sys as y\n"
    )
    assert count_imports(str(file)) == {"os": 3, "sys": 1}


def test_each_troublemaker_fails_in_its_own_way(tmp_path: Path) -> None:
    kinds = set()
    for path in troublemakers(tmp_path):
        with pytest.raises((OSError, SyntaxError, UnicodeError)) as caught:
            count_imports(path)
        kinds.add(caught.type)
    assert len(kinds) == 3


def test_the_standard_library_leaves_out_what_was_installed_later() -> None:
    paths = standard_library()
    assert any(path.endswith("/json/__init__.py") for path in paths)
    assert not any("site-packages" in path or "dist-packages" in path for path in paths)


@pytest.mark.slow
def test_without_a_terminal_it_tells_what_it_found_and_ends_well(demo: subprocess.Popen[str]) -> None:
    printed, _ = demo.communicate(timeout=PATIENCE)
    assert demo.returncode == 0
    for word in ("Imported most often", "os", "SyntaxError", "UnicodeDecodeError", "FileNotFoundError", "a second"):
        assert word in printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_it_with_one_line_and_nothing_stays(demo: subprocess.Popen[str], number: signal.Signals) -> None:
    assert demo.stdout is not None
    first = demo.stdout.readline()
    demo.send_signal(number)
    demo.send_signal(number)
    rest, _ = demo.communicate(timeout=PATIENCE)
    assert first.startswith("Reading")
    assert rest.splitlines()[-1].startswith("Stopped")
    assert demo.returncode == 130


def test_a_signal_before_the_worker_runs_is_not_lost(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    wait_until(lambda: list(tmp_path.iterdir()), "the demo's folder")
    demo.send_signal(signal.SIGINT)
    printed, _ = demo.communicate(timeout=PATIENCE)
    assert printed.splitlines()[-1].startswith("Stopped")
    assert demo.returncode == 130


def test_ctrl_c_while_it_loads_is_quiet(root: Path, environment: dict[str, str], tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "ast.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(600)\n")
    paths = {**environment, "PYTHONPATH": f"{slow}{os.pathsep}{root}", "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        DEMO, cwd=root, env=paths, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline() == "importing\n"
        demo.send_signal(signal.SIGINT)
        assert demo.stdout.read() == ""
    assert demo.returncode == 130
    shutil.rmtree(slow)


def test_a_worker_that_dies_ends_it_with_the_log(root: Path, environment: dict[str, str]) -> None:
    broken = {**environment, "UMBEL_WORKER_LOG_FORMAT": "%(what"}
    ended = subprocess.run(DEMO, cwd=root, env=broken, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 1
    assert "The worker ended by itself" in ended.stderr
    assert "worker_log_format" in ended.stderr


def test_ctrl_c_in_a_terminal_removes_the_bar_and_says_so(root: Path, environment: dict[str, str]) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(root)
        os.execve(DEMO[0], DEMO, {**environment, "TERM": "xterm-256color", "COLUMNS": "100"})
    shown = b""
    while b"Reading" not in shown:
        shown += os.read(terminal, 1 << 16)
    os.write(terminal, b"\x03")
    try:
        while data := os.read(terminal, 1 << 16):
            shown += data
    except OSError:  # how the end of a terminal shows on Linux
        pass
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert b"Stopped" in shown
    assert b"Traceback" not in shown
