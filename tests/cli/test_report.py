"""Tests ``umbel report``."""

from __future__ import annotations

import json
import platform
import sqlite3

from tests.cli.project import Project
from umbel._version import __version__


def facts(text: str) -> dict[str, str]:
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in text.splitlines()}


def test_a_report_has_versions_the_app_and_the_changed_settings(project: Project) -> None:
    done = project.run("report", "--set", "worker_grace=7")

    found = facts(done.stdout)
    assert done.returncode == 0
    assert found["umbel"].startswith(__version__)
    assert platform.python_version() in found["python"]
    assert found["sqlite"] == sqlite3.sqlite_version
    assert {"platform", "click", "rich", "msgpack", "PyYAML", "brotli", "zstandard", "cryptography"} <= set(found)
    assert found["app"] == "tasks:app"
    assert found["worker_grace"] == "7.0  (command line)"
    assert "worker_pool" not in found


def test_a_report_is_one_json_object_when_asked(project: Project) -> None:
    found = json.loads(project.run("report", "--json", "--set", "worker_grace=7").stdout)

    assert found["umbel"].startswith(__version__)
    assert (found["app"], found["worker_grace"]) == ("tasks:app", "7.0  (command line)")


def test_a_report_can_be_made_where_no_app_is_found(project: Project) -> None:
    (project.folder / "tasks.py").unlink()

    done = project.run("report")

    assert done.returncode == 0
    assert facts(done.stdout)["app"] == "none: AppNotFound: no app found:"


def test_a_report_can_be_made_when_the_app_fails_to_import(project: Project) -> None:
    project.write("tasks.py", "raise RuntimeError('broken\\nbadly')\n")

    done = project.run("report")

    assert done.returncode == 0
    assert facts(done.stdout)["app"] == "none: RuntimeError: broken"
