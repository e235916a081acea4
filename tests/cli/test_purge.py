"""Tests ``umbel purge``."""

from __future__ import annotations

import subprocess

import pytest

from tests.cli.project import Project
from umbel.wire.names import DEFAULT_QUEUE


@pytest.fixture
def filled(project: Project) -> Project:
    """Two messages in the default queue, one in the queue mail."""
    for arguments in (["tasks.add", "1", "2"], ["tasks.add", "1", "2", "--countdown", "3600"], ["tasks.fail"]):
        assert project.run("call", *arguments).returncode == 0
    return project


def test_purge_says_how_many_it_would_drop_and_drops_them_when_told_yes(filled: Project) -> None:
    done = filled.run("purge", answer="y\n")

    assert done.returncode == 0
    assert f"Drop 2 messages from {DEFAULT_QUEUE}, for good? [y/N]" in done.stderr
    assert done.stdout == f"Dropped 2 messages from {DEFAULT_QUEUE}.\n"
    assert filled.waiting() == {"mail": 1}


@pytest.mark.parametrize("answer", ["n\n", "\n", "perhaps\n"])
def test_purge_drops_nothing_when_told_no(filled: Project, answer: str) -> None:
    done = filled.run("purge", answer=answer)

    assert done.returncode == 1
    assert "Nothing was dropped." in done.stderr
    assert done.stdout == ""
    assert filled.waiting() == {DEFAULT_QUEUE: 2, "mail": 1}


def test_purge_drops_nothing_when_nobody_answers(filled: Project) -> None:
    done = filled.run("purge")

    assert done.returncode == 1
    assert done.stderr.endswith(
        "umbel: error: there was nobody to answer, so nothing was dropped; --force asks nothing\n"
    )
    assert "Traceback" not in done.stderr
    assert filled.waiting() == {DEFAULT_QUEUE: 2, "mail": 1}


def test_purge_by_force_asks_nothing_and_takes_the_queues_that_are_named(filled: Project) -> None:
    done = filled.run("purge", "--force", "--queues", f"mail,{DEFAULT_QUEUE}", "-Q", "mail")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Dropped 3 messages from mail, {DEFAULT_QUEUE}.\n"
    assert filled.waiting() == {}


def test_purge_of_an_empty_queue_asks_nothing(project: Project) -> None:
    done: subprocess.CompletedProcess[str] = project.run("purge", "-Q", "reports")

    assert (done.returncode, done.stdout, done.stderr) == (0, "Nothing waits in reports.\n", "")
