"""Tests how commands wait for a task, plainly and before somebody's eyes."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.project import PATIENCE, TASKS, Project, wait_until
from tests.cli.terminal import terminal
from umbel.cli.outcome import duration
from umbel.wire.names import DEFAULT_QUEUE

HOLD = """

@app.task
def hold():
    while not Path("go").exists():
        time.sleep(0.01)
    return "held"
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with a worker that says when tasks start."""
    project = Project(tmp_path_factory.mktemp("served"))
    with project.worker("-c", "2", "-Q", f"mail,{DEFAULT_QUEUE}", "--set", "task_track_started=true"):
        yield project


@pytest.fixture
def holding(tmp_path: Path) -> Project:
    """A project with a task that goes on until there is a file ``go``."""
    return Project(tmp_path, f"from pathlib import Path\n{TASKS}{HOLD}")


@pytest.mark.parametrize("how", ["--wait", "--follow"])
def test_the_value_is_printed_in_the_end_and_the_status_tells_how_it_went(served: Project, how: str) -> None:
    good = served.run("call", "tasks.add", "4", "4", how)
    bad = served.run("call", "tasks.fail", how)
    again = served.run("result", good.stderr.splitlines()[0], how)

    assert (good.returncode, good.stdout) == (0, "8\n")
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr.rstrip().endswith("ValueError: no reason")
    assert (again.returncode, again.stdout) == (0, "8\n")


def test_each_state_is_a_line_where_nobody_looks_at_a_terminal(holding: Project) -> None:
    with (
        holding.worker("-c", "1", "--set", "task_track_started=true"),
        holding.start("call", "tasks.hold", "--follow") as following,
    ):
        following.wait_for("STARTED")
        holding.write("go", "")
        assert following.end() == 0

    said = following.errors.splitlines()[1:]
    assert said[-1] == "STARTED"
    assert said[:-1] in ([], ["PENDING"])


def test_one_that_is_not_in_time_goes_on_and_the_status_is_3(project: Project) -> None:
    done = project.run("-A", "tasks", "call", "tasks.add", "4", "4", "--follow", "--wait", "0.1")
    task_id = done.stderr.splitlines()[0]
    later = project.run("result", task_id, "--wait", "0", "--json")

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.splitlines()[1:] == [
        "PENDING",
        f"umbel: it has not ended within 0.1 s and goes on; to look again: umbel -A tasks result {task_id}",
    ]
    assert (later.returncode, json.loads(later.stdout)) == (3, {"id": task_id, "known": False})


def test_ctrl_c_leaves_the_task_and_says_how_to_look_again(project: Project) -> None:
    with project.start("call", "tasks.add", "4", "4", "--follow") as following:
        following.wait_for("PENDING")
        following.interrupt()

        assert following.end() == 130
        task_id = following.errors.splitlines()[0]
        assert f"umbel: the task goes on; to look again: umbel result {task_id} --follow" in following.errors
        assert "Traceback" not in following.errors
    with project.worker("-c", "1"):
        assert project.run("result", task_id, "--follow").stdout == "8\n"


def test_the_whole_record_is_printed_as_json(served: Project) -> None:
    sent = served.run("call", "tasks.add", "4", "4", "--json")
    good = served.run("call", "tasks.add", "4", "4", "--wait", "--json")
    bad = served.run("call", "tasks.fail", "--follow", "--json")

    assert list(json.loads(sent.stdout)) == ["id"]
    assert (good.returncode, bad.returncode) == (0, 1)
    facts, failure = json.loads(good.stdout), json.loads(bad.stdout)
    assert (facts["state"], facts["value"], facts["task"]) == ("SUCCESS", 8, "tasks.add")
    assert (failure["state"], failure["value"]) == ("FAILURE", "ValueError: no reason")


def test_a_terminal_shows_one_line_that_says_what_the_task_waits_for(holding: Project) -> None:
    ours, theirs = pty.openpty()
    line = holding.command("call", "tasks.hold", "--follow", "--queue", "mail")
    environ = {**holding.environment(), "TERM": "xterm", "COLUMNS": "60"}
    shown = b""
    with subprocess.Popen(line, cwd=holding.folder, env=environ, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        while b"waiting" not in shown:
            shown += os.read(ours, 65536)
        with holding.worker("-c", "1", "-Q", "mail", "--set", "task_track_started=true"):
            while b"STARTED" not in shown:
                shown += os.read(ours, 65536)
            holding.write("go", "")
            wait_until(lambda: process.poll() is not None)
        shown += os.read(ours, 65536)
        assert process.stdout is not None
        assert process.stdout.read() == b"held\n"
        assert process.wait(PATIENCE) == 0
    os.close(ours)
    text = shown.decode()
    assert re.search(r"\rPENDING for \d+ s, 1 waiting in the queue 'mail'\x1b\[K", text)
    assert re.search(r"\rSTARTED for \d+ s, on umbel@", text)
    assert text.endswith("\r\x1b[K")
    assert all(len(each) < 60 for each in re.split(r"\r|\x1b\[K", text))


def test_a_time_is_told_in_the_units_that_it_needs() -> None:
    assert [duration(seconds) for seconds in (0.9, 59.9, 60, 127, 3727)] == [
        "0 s",
        "59 s",
        "1:00 min",
        "2:07 min",
        "1:02:07 h",
    ]


STEPS = """
from pathlib import Path
from time import sleep

from umbel import Umbel, progress

app = Umbel("tasks")


@app.task(bind=True)
def steps(self):
    for number in self.track(range(10), unit="steps", message="Walking"):
        while number == 4 and not Path("go").exists():
            sleep(0.01)
    return progress.finish("There", value="there")
"""


@pytest.fixture
def walking(tmp_path: Path) -> Iterator[Project]:
    """A project with a task that says how far it is."""
    project = Project(tmp_path, STEPS)
    with project.worker("-c", "1"):
        yield project


def test_a_terminal_shows_a_bar_for_a_task_that_says_how_far_it_is(walking: Project) -> None:
    line = walking.command("call", "tasks.steps", "--follow")
    with terminal(line, walking.folder, walking.environment()) as seen:
        seen.see("40 % · 4/10 steps · Walking")
        walking.write("go", "")
        seen.see("there")
        assert seen.end() == 0
    assert "━" in seen.shown


def test_elsewhere_it_is_lines_that_tell_of_each_message_and_tenth(walking: Project) -> None:
    with walking.start("call", "tasks.steps", "--follow") as following:
        following.wait_for("4/10 steps")
        walking.write("go", "")
        assert following.end() == 0
    assert "PROGRESS 40 % · 4/10 steps · Walking" in following.errors.splitlines()
    assert following.output == "there\n"
