"""Tests the demo as somebody starts it who has just installed umbel."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.cli.project import PATIENCE, Project, Running, wait_until
from tests.visitor import look_around
from tools.ports import free_port
from tools.redis_server import RedisServer


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
def home(project: Project, tmp_path: Path) -> Iterator[Path]:
    """Where the demo puts its folder; afterwards neither that nor any process of the demo may be there."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    project.environ["TMPDIR"] = str(folder)
    project.strict = False
    yield folder
    assert list(folder.iterdir()) == []
    assert processes_of(folder) == []


def page_of(running: Running) -> str:
    """The address that it says, once it does."""
    wait_until(lambda: "in a browser" in running.output or running.process.poll() is not None)
    (url,) = re.findall(r"http://[\d.:]+/", running.output + running.errors)
    return str(url)


def test_it_says_where_its_page_is_and_its_buttons_start_tasks(project: Project, home: Path) -> None:
    with project.start("demo") as running:
        look_around(page_of(running))
        running.interrupt()
        assert running.end() == 0
        assert running.errors == ""
        assert running.output.splitlines()[-1] == "Stopped: the worker has ended, and its files are gone."


@pytest.mark.server
@pytest.mark.parametrize("how", ["--broker", "UMBEL_BROKER_URL"])
def test_it_is_the_same_on_redis_with_another_url(project: Project, home: Path, redis: RedisServer, how: str) -> None:
    prefix = f"demo-{uuid.uuid4().hex}:"
    url = f"{redis.url}?global_keyprefix={prefix}"
    if how != "--broker":
        project.environ[how] = url
    with project.start("demo", *(["--broker", url] if how == "--broker" else [])) as running:
        look_around(page_of(running))
        running.interrupt()
        assert running.end() == 0
        assert running.errors == ""
    assert redis.command("EXISTS", f"{prefix}_kombu.binding.umbel.demo") == "1"
    assert redis.command("EXISTS", f"{prefix}umbel.demo", f"{prefix}unacked") == "0"


def test_a_server_that_is_away_is_named(project: Project, home: Path) -> None:
    port = free_port()
    done = project.run("demo", "--broker", f"redis://:secret@127.0.0.1:{port}/0")
    assert done.returncode == 1
    assert f"umbel: error: redis://:**@127.0.0.1:{port}/0: " in done.stderr
    assert "secret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_it_even_when_it_comes_twice(project: Project, home: Path, number: signal.Signals) -> None:
    with project.start("demo") as running:
        page_of(running)
        running.process.send_signal(number)
        running.process.send_signal(number)
        assert running.end() == 0
        assert running.errors == ""


def test_a_signal_before_the_page_is_there_is_not_lost(project: Project, home: Path) -> None:
    with project.start("demo") as running:
        wait_until(lambda: any(home.iterdir()))
        running.interrupt()
        assert running.end() == 0
        assert running.output.splitlines()[-1].startswith("Stopped")


def test_a_page_that_is_open_does_not_keep_it(project: Project, home: Path) -> None:
    with project.start("demo") as running:
        url = page_of(running)
        begun = urllib.request.Request(f"{url}umbel/tasks/stubborn", b"{}", {"Content-Type": "application/json"})
        with urllib.request.urlopen(begun, timeout=PATIENCE) as answer:
            stream = urljoin(url, json.load(answer)["stream"])
        with urllib.request.urlopen(stream, timeout=PATIENCE) as events:
            assert events.readline()
            running.interrupt()
            assert running.end() == 0


def test_a_worker_that_dies_ends_it_with_the_log(project: Project, home: Path) -> None:
    project.environ["UMBEL_WORKER_LOG_FORMAT"] = "%(what"
    done = project.run("demo")
    assert done.returncode == 1
    assert "The worker ended by itself" in done.stdout
    assert "worker_log_format" in done.stdout


def test_a_port_that_is_taken_is_named(project: Project, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = project.run("demo", "--port", str(port))
    assert done.returncode == 1
    assert f"umbel: error: port {port} of this machine is taken; --port names another, 0 takes any" in done.stderr


def test_ctrl_c_in_a_terminal_says_so_and_nothing_else(project: Project, home: Path) -> None:
    command = project.command("demo")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project.folder)
        os.execve(command[0], command, project.environment())
    shown = b""
    while b"in a browser" not in shown:
        shown += os.read(terminal, 1 << 16)
    os.write(terminal, b"\x03")
    try:
        while data := os.read(terminal, 1 << 16):
            shown += data
    except OSError:  # how the end of a terminal shows on Linux
        pass
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert b"Stopped" in shown
    assert b"Traceback" not in shown


@pytest.mark.parametrize("option", [("-A", "tasks"), ("--set", "worker_concurrency=1")])
def test_it_is_about_no_other_app(project: Project, option: tuple[str, str]) -> None:
    done = project.run(*option, "demo")
    assert done.returncode == 2
    assert "the demo has an app of its own" in done.stderr
