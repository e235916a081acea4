"""Tests how the command line names the app and its settings."""

from __future__ import annotations

import json

import pytest

from tests.cli.project import Project

OTHER = 'from umbel import Umbel\napp = Umbel("other", task_default_queue="elsewhere")\n'


def queue_of(project: Project, *arguments: str) -> str:
    done = project.run(*arguments)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["task_default_queue"]["value"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("-A", "other", "config", "--json"),
        ("config", "-A", "other", "--json"),
        ("--app=other:app", "config", "--json"),
        ("-A", "tasks", "config", "-A", "other", "--json"),
    ],
    ids=" ".join,
)
def test_the_app_is_named_before_or_after_the_command_and_the_last_name_wins(
    project: Project, arguments: tuple[str, ...]
) -> None:
    project.write("other.py", OTHER)

    assert queue_of(project, *arguments) == "elsewhere"


def test_the_environment_names_the_app_where_the_command_does_not(project: Project) -> None:
    project.write("other.py", OTHER)
    project.environ["UMBEL_APP"] = "other"

    assert queue_of(project, "config", "--json") == "elsewhere"
    assert queue_of(project, "config", "--json", "-A", "tasks") != "elsewhere"


def test_no_app_is_one_error_that_lists_every_place_looked_at(project: Project) -> None:
    (project.folder / "tasks.py").unlink()

    done = project.run("worker")

    assert done.returncode == 1
    assert done.stderr.startswith("umbel: error: no app found:\n")
    for place in ("-A, UMBEL_APP: not given", "pyproject.toml", "tasks.py: no such file", "app.py: no such file"):
        assert place in done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_that_does_not_exist_is_answered_with_the_nearest(project: Project) -> None:
    done = project.run("list", "tasks", "-A", "taks")

    assert done.returncode == 1
    assert "did you mean 'tasks'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failing_import_in_the_app_shows_its_own_traceback_and_nothing_of_umbels(project: Project) -> None:
    project.write("tasks.py", "def settle():\n    return 1 / 0\n\nsettle()\n")

    done = project.run("worker")

    assert done.returncode == 1
    assert done.stderr.startswith(f'Traceback (most recent call last):\n  File "{project.folder}/tasks.py", line 4')
    assert "ZeroDivisionError: division by zero" in done.stderr
    assert "umbel/cli" not in done.stderr
    assert "mistake in umbel" not in done.stderr


def test_a_missing_module_inside_the_app_shows_the_line_that_imports_it(project: Project) -> None:
    project.write("tasks.py", "import not_installed_anywhere\n")

    done = project.run("list", "tasks")

    assert done.returncode == 1
    assert f'"{project.folder}/tasks.py", line 1' in done.stderr
    assert "No module named 'not_installed_anywhere'" in done.stderr
    assert "umbel/lookup" not in done.stderr


def test_a_syntax_error_in_the_app_shows_the_line(project: Project) -> None:
    project.write("tasks.py", "app = = 1\n")

    done = project.run("worker")

    assert done.returncode == 1
    assert f'File "{project.folder}/tasks.py", line 1' in done.stderr
    assert "SyntaxError" in done.stderr
    assert "umbel/cli" not in done.stderr


def test_a_misspelt_keyword_in_the_app_is_a_line_with_its_place(project: Project) -> None:
    project.write("tasks.py", 'from umbel import Umbel\n\napp = Umbel("tasks", task_default_qeue="x")\n')

    done = project.run("config")

    assert done.returncode == 1
    assert done.stderr == (
        "umbel: error: Umbel(): unknown name 'task_default_qeue'; did you mean 'task_default_queue'?\n"
        f"  at {project.folder}/tasks.py, line 3\n"
    )


def test_a_failing_module_that_the_app_includes_shows_its_traceback(project: Project) -> None:
    project.write("tasks.py", 'from umbel import Umbel\napp = Umbel("tasks", include=["extra"])\n')
    project.write("extra.py", 'raise RuntimeError("not today")\n')

    done = project.run("list", "tasks")

    assert done.returncode == 1
    assert f'"{project.folder}/extra.py", line 1' in done.stderr
    assert "RuntimeError: not today" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("config", "--json", "--set", "task_default_queue=q1"), ("--set", "task_default_queue=q1", "config", "--json")],
    ids=["after", "before"],
)
def test_a_setting_of_the_command_line_beats_all_others(project: Project, arguments: tuple[str, ...]) -> None:
    project.write("other.py", OTHER)
    project.environ["UMBEL_TASK_DEFAULT_QUEUE"] = "q2"

    done = project.run("-A", "other", *arguments)

    assert json.loads(done.stdout)["task_default_queue"] == {"value": "q1", "origin": "command line"}


def test_a_setting_of_the_command_line_is_seen_while_the_app_is_imported(project: Project) -> None:
    project.write(
        "tasks.py",
        'from umbel import Umbel\napp = Umbel("tasks")\n'
        'if app.conf.task_default_queue == "q1":\n    app.conf.worker_grace = 7\n',
    )

    done = project.run("config", "--json", "--set", "task_default_queue=q1")

    assert json.loads(done.stdout)["worker_grace"]["value"] == 7.0


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        (
            "task_default_qeue=x",
            "command line: unknown name 'task_default_qeue'; did you mean 'task_default_queue'?",
        ),
        ("worker_grace=soon", "worker_grace: expected a number of seconds"),
        ("worker_grace=", "worker_grace: no value (command line"),
    ],
    ids=["name", "value", "empty"],
)
def test_a_wrong_setting_is_refused_before_anything_is_imported(project: Project, setting: str, told: str) -> None:
    project.write("tasks.py", "raise SystemExit('imported')\n")

    done = project.run("worker", "--set", setting)

    assert done.returncode == 1
    assert done.stderr.startswith(f"umbel: error: {told}")
    assert "imported" not in done.stderr


def test_a_folder_that_was_deleted_is_a_line(project: Project) -> None:
    gone = project.folder / "gone"
    gone.mkdir()
    script = project.write("run.sh", 'cd gone && rmdir ../gone && exec "$@"\n')

    done = project.run_as(["sh", str(script), *project.command("config")])

    assert done.returncode == 1
    assert done.stderr.startswith("umbel: error: the current folder has been deleted")
