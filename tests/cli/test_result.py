"""Tests ``umbel result``."""

from __future__ import annotations

import json

import pytest

from tests.cli.project import Project
from umbel.wire.names import DEFAULT_QUEUE


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose worker has run the tasks "good" and "bad"."""
    project = Project(tmp_path_factory.mktemp("worked"))
    with project.worker("-c", "1", "-Q", f"{DEFAULT_QUEUE},mail", "-n", "w@here"):
        assert project.run("call", "tasks.add", "4", "4", "--task-id", "good", "--wait").returncode == 0
        assert project.run("call", "tasks.fail", "no luck", "--task-id", "bad", "--wait").returncode == 1
    return project


def facts(text: str) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in text.splitlines())


def test_a_result_is_shown_with_what_is_known_of_its_task(worked: Project) -> None:
    done = worked.run("result", "good")

    known = facts(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert known["state"] == "SUCCESS"
    assert known["value"] == "8"
    assert known["task"] == "tasks.add"
    assert known["worker"] == "w@here"
    assert known["queue"] == DEFAULT_QUEUE
    assert "traceback" not in known


def test_a_failure_is_shown_and_its_traceback_on_demand(worked: Project) -> None:
    short = worked.run("result", "bad")
    long = worked.run("result", "bad", "-t")

    assert (short.returncode, long.returncode) == (0, 0)
    assert facts(short.stdout)["state"] == "FAILURE"
    assert facts(short.stdout)["value"] == "ValueError: no luck"
    assert "Traceback" not in short.stdout
    assert long.stdout.startswith(short.stdout)
    assert "Traceback (most recent call last):" in long.stdout


def test_a_result_can_be_had_as_json(worked: Project) -> None:
    good = json.loads(worked.run("result", "good", "--json").stdout)
    bad = json.loads(worked.run("result", "bad", "--json").stdout)

    assert (good["id"], good["known"], good["state"], good["value"]) == ("good", True, "SUCCESS", 8)
    assert good["traceback"] is None
    assert (bad["state"], bad["value"]) == ("FAILURE", "ValueError: no luck")
    assert bad["traceback"].rstrip().endswith("ValueError: no luck")


def test_an_unknown_id_is_said_to_be_unknown(project: Project) -> None:
    plain = project.run("result", "nobody")
    as_json = project.run("result", "nobody", "--json")

    assert (plain.returncode, plain.stdout) == (1, "")
    assert plain.stderr.startswith("umbel: nothing is known of the task nobody: ")
    assert as_json.returncode == 1
    assert json.loads(as_json.stdout) == {"id": "nobody", "known": False}


def test_a_result_of_an_app_that_keeps_none_is_a_line(project: Project) -> None:
    done = project.run("result", "x", "--set", "result_backend=none")

    assert done.returncode == 1
    assert done.stderr.startswith("umbel: error: no result is kept: result_backend is off")
