"""Tests ``umbel worker``, as a process that other processes send calls to."""

from __future__ import annotations

import json
import signal
import socket

import pytest

from tests.cli.project import TASKS, Project, wait_until
from umbel import Umbel
from umbel.cli.serving import refuse_pickle_as_root
from umbel.errors import ConfigurationError
from umbel.wire.names import DEFAULT_QUEUE


@pytest.mark.parametrize("pool", ["processes", "solo", "prefork"])
def test_a_worker_runs_calls_until_ctrl_c_and_ends_with_status_0(project: Project, pool: str) -> None:
    with project.worker("--pool", pool) as worker:
        done = project.run("call", "tasks.add", "4", "4", "--wait")
        worker.interrupt()

        assert (done.returncode, done.stdout) == (0, "8\n")
        assert worker.end() == 0
        assert f"umbel@{socket.gethostname()} ready." in worker.errors
        assert "Task tasks.add[" in worker.errors
        assert "Traceback" not in worker.errors


def test_a_worker_ends_well_at_sigterm_too(project: Project) -> None:
    with project.worker("-c", "1") as worker:
        worker.process.send_signal(signal.SIGTERM)

        assert worker.end() == 0


def test_the_banner_is_on_standard_output_and_says_what_the_worker_is(project: Project) -> None:
    with project.worker("-c", "2", "-Q", "mail,reports", "-Q", "mail", "-n", "w1@%h") as worker:
        worker.interrupt()
        worker.end()

    said = worker.output
    assert f"w1@{socket.gethostname()}" in said.splitlines()[0]
    assert "app      tasks:app" in said
    assert f"broker   sqlite:///{project.folder}/.umbel/umbel.db" in said
    assert "results  in the broker's own store" in said
    assert "pool     processes, 2 tasks at once" in said
    assert "queues   mail, reports" in said
    assert "stop     running tasks get 30 s to end" in said
    assert "    tasks.add\n    tasks.echo\n    tasks.fail\n    tasks.sleep\n" in said
    assert "a power cut may lose the last moments (sqlite_synchronous=FULL prevents it)" in said


def test_a_worker_takes_from_all_declared_queues_but_those_that_it_leaves_to_others(project: Project) -> None:
    project.environ["UMBEL_TASK_QUEUES"] = "mail,reports,slow"
    with project.worker("-c", "1", "-X", "slow,mail") as worker:
        worker.interrupt()
        worker.end()

    assert f"queues   reports, {DEFAULT_QUEUE}" in worker.output
    refused = project.run("worker", "-X", "slwo")
    assert refused.returncode == 1
    assert "queue 'slwo' cannot be excluded: the worker would take from mail, reports, slow" in refused.stderr


@pytest.mark.parametrize("pool", ["processes", "solo"])
def test_a_worker_imports_more_modules_than_the_app_includes(project: Project, pool: str) -> None:
    project.write("tasks.py", TASKS.replace('Umbel("tasks")', 'Umbel("tasks", include=["first"])'))
    for module in ("first", "second", "third"):
        project.write(f"{module}.py", f"from umbel import shared_task\n@shared_task\ndef name(): return '{module}'\n")
    with project.worker("-c", "1", "-P", pool, "-I", "second,third"):
        for module in ("first", "second", "third"):
            assert project.run("call", f"{module}.name", "--wait").stdout == f"{module}\n"


def test_a_quiet_worker_prints_no_banner(project: Project) -> None:
    with project.worker("-q", "-c", "1") as worker:
        worker.interrupt()
        worker.end()

    assert worker.output == ""


def test_a_worker_takes_from_the_queues_that_it_is_given_alone(project: Project) -> None:
    with project.worker("-c", "1", "-Q", "mail"):
        other = project.run("call", "tasks.add", "4", "4")
        own = project.run("call", "tasks.add", "4", "4", "--queue", "mail", "--wait")

        assert (other.returncode, own.returncode) == (0, 0)
        assert project.waiting() == {DEFAULT_QUEUE: 1}


def test_settings_of_the_command_line_hold_in_the_runners_too(project: Project) -> None:
    project.write(
        "tasks.py",
        'from umbel import Umbel\napp = Umbel("tasks", worker_grace=1)\n'
        "@app.task\ndef grace():\n    return app.conf.worker_grace\n",
    )

    with project.worker("-c", "1", "--set", "worker_grace=7") as worker:
        done = project.run("call", "tasks.grace", "--wait")
        worker.interrupt()
        worker.end()

    assert done.stdout == "7.0\n"
    assert "running tasks get 7 s" in worker.output


def test_a_task_that_outlasts_the_grace_is_given_back_and_the_status_is_1(project: Project) -> None:
    with project.worker("-c", "1", "--grace", "0.1") as worker:
        assert project.run("call", "tasks.sleep", "600").returncode == 0
        worker.wait_for("received")
        worker.interrupt()

        assert worker.end() == 1
    assert project.waiting() == {DEFAULT_QUEUE: 1}


def test_a_second_ctrl_c_gives_running_tasks_back_at_once(project: Project) -> None:
    with project.worker("-c", "1", "--grace", "3600") as worker:
        assert project.run("call", "tasks.sleep", "600").returncode == 0
        worker.wait_for("received")
        worker.interrupt()
        worker.wait_for("Warm shutdown")
        worker.interrupt()

        assert worker.end() == 1
    assert project.waiting() == {DEFAULT_QUEUE: 1}


def test_the_log_goes_to_a_file_when_one_is_named(project: Project) -> None:
    log = project.folder / "worker.log"

    with project.start("worker", "-c", "1", "--logfile", "worker.log") as worker:
        wait_until(lambda: log.exists() and " ready." in log.read_text())
        assert project.run("call", "tasks.add", "4", "4", "--wait").returncode == 0
        worker.interrupt()
        assert worker.end() == 0

    assert "Task tasks.add[" in log.read_text()
    assert worker.errors == ""


def test_the_log_can_be_json(project: Project) -> None:
    with project.worker("-c", "1", "--log-format", "json") as worker:
        assert project.run("call", "tasks.add", "4", "4", "--wait").returncode == 0
        worker.interrupt()
        assert worker.end() == 0

    lines = [json.loads(line) for line in worker.errors.splitlines()]
    assert any(line["message"].startswith("Task tasks.add[") for line in lines)
    assert {"INFO", "WARNING"} <= {line["level"] for line in lines}


@pytest.mark.parametrize(("flag", "coloured"), [("--color", True), ("--no-color", False)])
def test_log_lines_are_coloured_when_asked(project: Project, flag: str, coloured: bool) -> None:
    with project.worker("-c", "1", flag) as worker:
        worker.interrupt()
        worker.end()

    assert ("\x1b[33m" in worker.errors) is coloured
    assert "Warm shutdown" in worker.errors


def test_a_log_level_is_taken_in_any_case_and_hides_what_is_below(project: Project) -> None:
    with project.start("worker", "-c", "1", "-l", "Error") as worker:
        assert project.run("call", "tasks.add", "4", "4", "--wait").returncode == 0
        worker.interrupt()
        assert worker.end() == 0

    assert worker.errors == ""


def test_a_pid_file_holds_the_number_as_long_as_the_worker_lives_and_keeps_a_second_one_away(project: Project) -> None:
    path = project.folder / "worker.pid"

    with project.worker("-c", "1", "--pidfile", "worker.pid") as worker:
        assert path.read_text() == f"{worker.process.pid}\n"
        second = project.run("worker", "--pidfile", "worker.pid")
        worker.interrupt()
        assert worker.end() == 0

    assert second.returncode == 1
    assert second.stderr.startswith(f"umbel: error: the pid file {path} belongs to a process that lives")
    assert not path.exists()


def test_a_pid_file_of_a_dead_worker_is_replaced(project: Project) -> None:
    path = project.folder / "worker.pid"
    with project.worker("-c", "1", "--pidfile", "worker.pid") as killed:
        killed.process.kill()
        killed.process.wait()
        assert path.exists()

        with project.worker("-c", "1", "--pidfile", "worker.pid") as worker:
            assert path.read_text() == f"{worker.process.pid}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--pool", "gevnt"], "got str 'gevnt' (did you mean 'gevent'?); correct it there: pool"),
        (["--pool", "solo", "-c", "2"], "the pool solo runs one task at a time"),
        (["-n", "w@%x"], "node name 'w@%x': %x means nothing here"),
        (["-f", "missing/worker.log"], "cannot write the log file"),
        (["--pidfile", "missing/worker.pid"], "cannot write the pid file"),
        (["--pidfile", "tasks.py"], "tasks.py is no pid file"),
        (["--grace", "-1"], "grace: expected a number of seconds"),
        (["--set", "broker_url=sqlite:////proc/nowhere/q.db"], "/proc/nowhere"),
        (["--set", "broker_url=pigeon://x"], "no broker for URLs that begin with 'pigeon'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_worker_that_cannot_start_says_why_in_a_line(project: Project, arguments: list[str], told: str) -> None:
    done = project.run("worker", *arguments)

    assert done.returncode == 1
    assert done.stderr.startswith("umbel: error: ")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_that_only_the_runners_fail_to_import_shows_its_traceback(project: Project) -> None:
    project.write(
        "tasks.py",
        "import os\nfrom umbel import Umbel\n"
        "if 'SEEN' in os.environ:\n    raise RuntimeError('second import')\n"
        "os.environ['SEEN'] = '1'\napp = Umbel('tasks')\n",
    )

    done = project.run("worker", "-c", "1")

    assert done.returncode == 1
    assert "umbel: error: " in done.stderr
    assert f'"{project.folder}/tasks.py", line 4' in done.stderr
    assert "RuntimeError: second import" in done.stderr
    assert "mistake in umbel" not in done.stderr


def test_a_worker_of_root_refuses_pickle_unless_the_environment_allows_it() -> None:
    app = Umbel("tasks", accept_content=["json", "pickle"], set_as_current=False)

    with pytest.raises(ConfigurationError, match=r"runs as root and accepts pickle.*UMBEL_ALLOW_PICKLE_AS_ROOT=1"):
        refuse_pickle_as_root(app, {}, root=True)
    refuse_pickle_as_root(app, {"UMBEL_ALLOW_PICKLE_AS_ROOT": "1"}, root=True)
    refuse_pickle_as_root(app, {}, root=False)
    refuse_pickle_as_root(Umbel("tasks", set_as_current=False), {}, root=True)


def test_a_worker_that_is_refused_does_not_start(project: Project) -> None:
    project.write("tasks.py", f"import os\nos.geteuid = lambda: 0\n{TASKS}")

    done = project.run("worker", "--set", "accept_content=json,pickle")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("umbel: error: this worker runs as root and accepts pickle")
