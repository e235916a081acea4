"""Tests ``umbel config``."""

from __future__ import annotations

import json

from tests.cli.project import Project
from umbel.settings.options import OPTIONS

SECRET = "s3cret"
TASKS = (
    f'from umbel import Umbel\napp = Umbel("tasks", broker="sqlite:///q.db?token={SECRET}", worker_grace=5, '
    f'backend="memory://me:{SECRET}@store")\n'
)


def test_every_setting_is_shown_with_its_value_and_where_it_comes_from(project: Project) -> None:
    done = project.run("config")

    lines = done.stdout.splitlines()
    assert lines[0].split() == ["SETTING", "VALUE", "ORIGIN"]
    assert [line.split()[0] for line in lines[1:]] == sorted(OPTIONS)
    assert all(line.endswith("default") for line in lines[1:])
    assert f"sqlite:///{project.folder}/.umbel/umbel.db" in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_only_the_changed_settings_are_shown_when_asked(project: Project) -> None:
    project.write("tasks.py", TASKS)
    project.environ["UMBEL_TIMEZONE"] = "Europe/Vienna"

    done = project.run("config", "--changed", "--set", "worker_pool=prefork")

    rows = [line.split(maxsplit=2) for line in done.stdout.splitlines()[1:]]
    assert [(row[0], row[2]) for row in rows] == [
        ("broker_url", "constructor"),
        ("result_backend", "constructor"),
        ("timezone", "environment UMBEL_TIMEZONE"),
        ("worker_grace", "constructor"),
        ("worker_pool", "command line"),
    ]
    assert rows[-1][1] == "processes"


def test_nothing_changed_is_said(project: Project) -> None:
    assert project.run("config", "--changed").stdout == "Every setting is at its default.\n"
    assert project.run("config", "--changed", "--json").stdout == "{}\n"


def test_json_has_the_values_as_they_are(project: Project) -> None:
    table = json.loads(project.run("config", "--json").stdout)

    assert list(table) == sorted(OPTIONS)
    assert table["worker_grace"] == {"value": 30.0, "origin": "default"}
    assert table["imports"]["value"] == []
    assert table["task_compression"]["value"] is None


def test_no_form_shows_a_password(project: Project) -> None:
    project.write("tasks.py", TASKS)

    for arguments in (["config"], ["config", "--changed"], ["config", "--json"], ["report"]):
        done = project.run(*arguments)
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert "memory://me:********@store" in done.stdout


def test_a_wrong_value_in_the_environment_is_a_line_that_names_it(project: Project) -> None:
    project.environ["UMBEL_WORKER_GRACE"] = "soon"

    done = project.run("config")

    assert done.returncode == 1
    assert done.stderr.startswith("umbel: error: worker_grace: expected a number of seconds")
    assert "environment UMBEL_WORKER_GRACE" in done.stderr
    assert "Traceback" not in done.stderr
