"""Tests ``umbel revoke``."""

from __future__ import annotations

import json

import pytest

from tests.cli.project import Project
from umbel.wire.names import DEFAULT_QUEUE


def sent(project: Project, *arguments: str) -> str:
    """The id of a call."""
    done = project.run("call", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_calls_that_wait_are_withdrawn_wherever_their_ids_come_from(project: Project) -> None:
    ids = [sent(project, "tasks.add", "4", "4", "--countdown", "1000") for _ in range(4)]
    project.write("ids.txt", f"{ids[2]}\n\n  {ids[1]}\n")

    done = project.run("revoke", ids[0], "-", "--file", "ids.txt", "--json", answer=f"{ids[3]}\n{ids[0]}\n")

    assert (done.returncode, done.stderr) == (0, "")
    states = [json.loads(line) for line in done.stdout.splitlines()]
    assert states == [{"id": task_id, "state": "REVOKED"} for task_id in (ids[0], ids[3], ids[2], ids[1])]
    assert project.run("purge").stdout == f"Nothing waits in {DEFAULT_QUEUE}.\n"
    assert project.run("result", ids[0]).stdout.split()[3] == "REVOKED"


def test_what_becomes_of_each_call_is_told(project: Project) -> None:
    with project.worker("-c", "1", "--set", "task_track_started=true") as worker:
        ended = sent(project, "tasks.add", "4", "4")
        assert project.run("result", ended, "--wait").stdout == "8\n"
        running = sent(project, "tasks.sleep", "600")
        worker.wait_for(running)
        waiting = sent(project, "tasks.add", "4", "4", "--queue", "elsewhere")

        told = project.run("revoke", ended, running, waiting, "unheard-of")
        gone = project.run("revoke", running, "--terminate")
        result = project.run("result", running, "--wait")

    assert [line.split(None, 2)[1:] for line in told.stdout.splitlines()[1:]] == [
        ["SUCCESS", "had ended before"],
        ["STARTED", "runs on; --terminate stops it"],
        ["REVOKED", "does not run"],
        ["PENDING", "workers have been told"],
    ]
    assert gone.returncode == 0
    assert (result.returncode, result.stderr) == (1, "REVOKED TaskRevokedError: terminated\n")


def test_a_call_whose_result_is_not_kept_can_be_revoked(project: Project) -> None:
    task_id = sent(project, "tasks.add", "4", "4", "--set", "result_backend=none")

    done = project.run("revoke", task_id, "--set", "result_backend=none")

    assert (done.returncode, done.stdout.split()[4:6]) == (0, ["PENDING", "workers"])
    assert project.run("purge").stdout == f"Nothing waits in {DEFAULT_QUEUE}.\n"


def test_the_beginning_of_an_id_is_no_id_and_that_is_said(project: Project) -> None:
    task_id = sent(project, "tasks.add", "4", "4")

    for command in ("revoke", "result"):
        for whole, hinted in ((task_id, False), (task_id[:20], True), ("my-own-id", False)):
            done = project.run(command, whole)
            assert ("this is the beginning of one" in done.stderr) is hinted


@pytest.mark.parametrize("arguments", [[], ["-"]], ids=["no id", "nothing on standard input"])
def test_nothing_to_revoke_is_a_misuse(project: Project, arguments: list[str]) -> None:
    done = project.run("revoke", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("umbel: error: name the ids to revoke, or give them with --file, or with -")


def test_a_file_that_is_not_there_is_a_misuse(project: Project) -> None:
    done = project.run("revoke", "--file", "ids.txt")

    assert (done.returncode, done.stdout) == (2, "")
    assert "ids.txt" in done.stderr
