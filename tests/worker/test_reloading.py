"""Tests of a worker that is started anew when its code changes, as a process that others send calls to."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.project import Project, Running, wait_until
from tests.worker.process import alive, children
from umbel.errors import ConfigurationError
from umbel.worker import reloading
from umbel.worker.reloading import Files, own_modules, supervise

ADD = "\n@app.task\ndef answer():\n    return {}\n"
BEGIN = "import time\nfrom umbel import Umbel\napp = Umbel('tasks')\n@app.task\ndef hold():\n    time.sleep(600)\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose task answers 1."""
    return Project(tmp_path, BEGIN + ADD.format(1))


@pytest.fixture(params=[["worker", "--reload", "-c", "1"], ["dev"]], ids=["worker --reload", "dev"])
def worker(project: Project, request: pytest.FixtureRequest) -> Iterator[Running]:
    """One that has begun."""
    with project.start(*request.param) as worker:
        worker.wait_for(" ready.")
        yield worker


def starts(worker: Running) -> int:
    return worker.errors.count(" ready.")


def answer(project: Project) -> str:
    return project.run("call", "tasks.answer", "--wait", "60").stdout


def test_a_change_is_run_after_a_moment_and_the_banner_comes_once(project: Project, worker: Running) -> None:
    assert answer(project) == "1\n"
    project.write("tasks.py", BEGIN + ADD.format(22))
    wait_until(lambda: starts(worker) == 2)
    assert answer(project) == "22\n"

    worker.interrupt()

    assert worker.end() == 0
    assert "umbel: tasks.py changed: starting anew\n" in worker.errors
    assert worker.output.count("app      tasks:app") == 1
    assert "Traceback" not in worker.errors


def test_code_that_cannot_be_imported_shows_its_traceback_and_waits_for_the_next_change(
    project: Project, worker: Running
) -> None:
    project.write("tasks.py", "def (")
    worker.wait_for("waiting for a change")
    assert "SyntaxError" in worker.errors
    assert "umbel/worker/reloading.py" not in worker.errors

    project.write("tasks.py", BEGIN + ADD.format(333))
    wait_until(lambda: starts(worker) == 2)

    assert answer(project) == "333\n"


def test_a_running_task_is_run_again_by_the_new_code(project: Project, worker: Running) -> None:
    sent = project.run("call", "tasks.hold").stdout.strip()
    worker.wait_for(sent)
    project.write("tasks.py", BEGIN.replace("time.sleep(600)", "return 'new'") + ADD.format(1))

    assert project.run("result", sent, "--wait", "60").stdout == "new\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("whole_group", [True, False], ids=["group", "supervisor"])
def test_one_signal_ends_it_warmly_whomever_it_reaches(
    project: Project, number: signal.Signals, whole_group: bool
) -> None:
    with project.start("worker", "--reload", "-c", "1", "--pidfile", "worker.pid") as worker:
        worker.wait_for(" ready.")
        pid = worker.process.pid
        tree = [pid, *children(pid)]
        assert (project.folder / "worker.pid").read_text() == f"{pid}\n"
        if whole_group:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)

        assert worker.end() == 0
        assert worker.errors.count("Warm shutdown") == 1
        assert "Cold shutdown" not in worker.errors
        assert not any(alive(each) for each in tree)
        assert not (project.folder / "worker.pid").exists()


def test_a_second_signal_to_the_supervisor_alone_is_cold(project: Project) -> None:
    with project.start("worker", "--reload", "-c", "1", "--grace", "600") as worker:
        worker.wait_for(" ready.")
        sent = project.run("call", "tasks.hold").stdout.strip()
        worker.wait_for(sent)
        worker.process.terminate()
        worker.wait_for("Warm shutdown")
        worker.process.terminate()

        assert worker.end() == 1
        assert "Cold shutdown" in worker.errors


def test_ctrl_c_while_it_waits_for_a_change_ends_it(project: Project) -> None:
    project.write("tasks.py", "raise RuntimeError('not yet')\n")

    with project.start("dev") as worker:
        worker.wait_for("waiting for a change")
        worker.interrupt()

        assert worker.end() == 0
        assert "RuntimeError: not yet" in worker.errors
        assert "KeyboardInterrupt" not in worker.errors


def test_a_task_with_a_hard_time_limit_has_dev_run_processes(project: Project) -> None:
    limited = "\n@app.task(time_limit=60)\ndef limited():\n    return 1\n"
    for more, pool in ((limited, "processes"), ("", "solo")):
        project.write("tasks.py", BEGIN + more)
        with project.start("dev") as worker:
            worker.wait_for(" ready.")
            worker.interrupt()
            assert worker.end() == 0
            assert f"pool     {pool}, " in worker.output


def test_what_changed_is_named_and_what_is_not_the_projects_is_not_looked_at(tmp_path: Path) -> None:
    for name in ("a.py", "b/c.py", "pyproject.toml", "notes.txt", ".git/hook.py", "env/lib/x.py", "node_modules/y.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
    (tmp_path / "env" / "pyvenv.cfg").touch()
    files = Files([tmp_path], lambda text: None)
    files.changed()
    assert files.changed() == []

    for path in tmp_path.rglob("*.*"):
        if path.is_file():
            path.write_text("22")
    (tmp_path / "new.py").touch()
    (tmp_path / "b" / "c.py").unlink()

    assert files.changed() == [str(tmp_path / name) for name in ("a.py", "b/c.py", "new.py", "pyproject.toml")]


def test_a_module_elsewhere_is_watched_once_it_is_imported(tmp_path: Path) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere.py"
    here.mkdir()
    elsewhere.write_text("1")
    files = Files([here], lambda text: None)
    files.changed()
    files.add([str(elsewhere)])
    assert files.changed() == []

    elsewhere.write_text("22")

    assert files.changed() == [str(elsewhere)]


def test_a_folder_with_too_many_files_is_left_alone_and_that_is_said(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.py").touch()
    said: list[str] = []
    files = Files([tmp_path], said.append, most=2)

    files.changed()
    files.add([str(tmp_path / "a.py")])
    for name in "abc":
        (tmp_path / f"{name}.py").write_text("22")

    assert files.changed() == [str(tmp_path / "a.py")]
    assert said == [f"too many files below {tmp_path}: only imported modules are watched"]


def test_the_modules_of_a_project_are_neither_pythons_nor_installed_nor_umbels() -> None:
    own = set(own_modules())

    assert __file__ in own
    assert not {os.__file__, pytest.__file__, reloading.__file__} & own


def test_where_processes_cannot_fork_it_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "fork")

    with pytest.raises(ConfigurationError, match="--reload needs a system that can fork"):
        supervise([tmp_path], lambda text: None)
