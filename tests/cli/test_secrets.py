"""No command shows a key, wherever it comes from and whatever is wrong with it."""

from __future__ import annotations

import json

import pytest

from tests.cli.project import Project

SECRET = "open sesame and open"
TASKS = f"""
from umbel import Umbel

app = Umbel("tasks", security_signing_keys=[{SECRET!r}], security_encryption_keys=[{SECRET.encode()!r}])
"""


@pytest.mark.parametrize("arguments", [["config"], ["config", "--changed"], ["config", "--json"], ["report"]])
def test_keys_of_the_program_are_masked(project: Project, arguments: list[str]) -> None:
    project.write("tasks.py", TASKS)
    done = project.run(*arguments)
    assert done.returncode == 0, done.stderr
    assert "sesame" not in done.stdout + done.stderr
    assert done.stdout.count("********") == 2


def test_keys_of_the_environment_are_masked(project: Project) -> None:
    project.environ["UMBEL_SECURITY_SIGNING_KEYS"] = f"{SECRET},{SECRET[::-1]}"
    done = project.run("config", "--json")
    table = json.loads(done.stdout)
    assert table["security_signing_keys"] == {
        "value": "********",
        "origin": "environment UMBEL_SECURITY_SIGNING_KEYS",
    }
    assert "sesame" not in done.stdout + done.stderr


@pytest.mark.parametrize("text", ["sesame", f"{SECRET},sesame", f"{SECRET},"])
def test_a_key_that_is_refused_is_not_repeated(project: Project, text: str) -> None:
    project.environ["UMBEL_SECURITY_SIGNING_KEYS"] = text
    for done in (project.run("config"), project.run("report"), project.run("call", "tasks.add", "1", "2")):
        assert "security_signing_keys: expected a list of secrets" in done.stdout + done.stderr
        assert "sesame" not in done.stdout + done.stderr


def test_a_key_on_the_command_line_is_taken_and_masked(project: Project) -> None:
    done = project.run("config", "--changed", "--set", f"security_signing_keys={SECRET}")
    assert done.stdout.splitlines()[1].split() == ["security_signing_keys", "********", "command", "line"]
