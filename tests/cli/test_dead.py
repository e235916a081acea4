"""Tests ``umbel dead``."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.cli.project import Project
from umbel.brokers.sqlite import SqliteBroker
from umbel.model import Envelope, Message
from umbel.testing.conformance.dead_letters import bury
from umbel.wire import task_v2
from umbel.wire.names import DEFAULT_QUEUE

ODD = b"\x80\x05\x95 pickle \x1b[31m"


def call(name: str, id: str) -> Envelope:
    return task_v2.encode(Message(task=name, id=id, args=[4, "żółw"], headers={"tenant": "a"}), "plain")


@pytest.fixture
def filled(project: Project) -> Project:
    """Three dead letters: of tasks.add, of tasks.mail in the queue mail, and bytes that are no message."""

    async def fill() -> None:
        async with SqliteBroker(f"sqlite:///{project.folder}/.umbel/umbel.db", {}) as broker:
            await bury(broker, "celery", [call("tasks.add", "id-1")], "NotRegistered: tasks.add")
            await bury(broker, "mail", [call("tasks.mail", "id-2")], "the task failed: \x1b[31mOSError\nat once")
            await bury(broker, "celery", [Envelope("plain", "", b"\xff\x00head", ODD)], "DecodeError: head: not UTF-8")

    asyncio.run(fill())
    return project


def numbers(project: Project, *filters: str) -> list[str]:
    done = project.run("dead", "list", "--json", *filters)
    assert (done.returncode, done.stderr) == (0, "")
    return [str(json.loads(line)["number"]) for line in done.stdout.splitlines()]


# -- list


def test_list_shows_a_line_for_each_and_lets_nobody_paint_the_terminal(filled: Project) -> None:
    done = filled.run("dead", "list")

    head, *lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert head.split() == ["NUMBER", "DIED", "TASK", "QUEUE", "REASON"]
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert lines[0].split()[3:5] == ["tasks.add", DEFAULT_QUEUE]
    assert lines[1].endswith("the task failed: \\x1b[31mOSError\\nat once")
    assert lines[2].split()[3:5] == ["?", DEFAULT_QUEUE]


def test_list_as_json_is_an_object_a_line(filled: Project) -> None:
    done = filled.run("dead", "list", "--json", "--queue", "mail")

    (line,) = done.stdout.splitlines()
    letter = json.loads(line)
    assert {name: letter[name] for name in ("number", "task", "id", "queue", "life")} == {
        "number": 2,
        "task": "tasks.mail",
        "id": "id-2",
        "queue": "mail",
        "life": 0,
    }
    assert letter["reason"] == "the task failed: \x1b[31mOSError\nat once"


def test_list_takes_filters(filled: Project) -> None:
    assert numbers(filled) == ["1", "2", "3"]
    assert numbers(filled, "--limit", "2") == ["1", "2"]
    assert numbers(filled, "--task", "tasks.*") == ["1", "2"]
    assert numbers(filled, "--reason", "notregistered") == ["1"]
    assert numbers(filled, "--newer-than", "3600", "--queue", "celery") == ["1", "3"]
    assert numbers(filled, "--older-than", "3600") == []
    assert numbers(filled, "--older-than", "2001-01-01") == []
    assert numbers(filled, "--newer-than", "2001-01-01T00:00:00+01:00") == ["1", "2", "3"]


def test_list_says_when_there_is_nothing(project: Project) -> None:
    assert project.run("dead", "list").stdout == "There are no dead letters.\n"
    assert project.run("dead", "list", "--task", "x").stdout == "There are no such dead letters.\n"
    assert project.run("dead", "list", "--json").stdout == ""


def test_a_filter_that_cannot_be_meant_is_a_line(project: Project) -> None:
    done = project.run("dead", "list", "--older-than", "-5")

    assert (done.returncode, done.stdout) == (1, "")
    assert "older_than must be a number of seconds from 0" in done.stderr
    assert "Traceback" not in done.stderr


# -- show


def test_show_prints_headers_reason_time_and_the_body_as_text(filled: Project) -> None:
    done = filled.run("dead", "show", "1")

    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    for line in (["number", "1"], ["task", "tasks.add"], ["reason", "NotRegistered: tasks.add"], ["tenant", "a"]):
        assert line in lines
    assert 'body:\n[[4, "' in done.stdout


def test_show_prints_what_is_no_text_in_hexadecimal_and_decodes_nothing(filled: Project) -> None:
    done = filled.run("dead", "show", "3")

    assert done.returncode == 0
    assert f"body:\n00000000  {ODD.hex(' ')}\n" in done.stdout
    assert "head:\n00000000  ff 00 68 65 61 64\n" in done.stdout
    assert "unreadable  head: not UTF-8" in done.stdout
    assert "\x1b" not in done.stdout


def test_show_as_json_is_one_object(filled: Project) -> None:
    letter = json.loads(filled.run("dead", "show", "2", "--json").stdout)

    assert (letter["number"], letter["headers"]["tenant"], letter["content_type"]) == (2, "a", "application/json")
    assert json.loads(letter["body"])[0] == [4, "żółw"]
    odd = json.loads(filled.run("dead", "show", "3", "--json").stdout)
    assert (odd["body_hex"], odd["head_hex"]) == (ODD.hex(), b"\xff\x00head".hex())


def test_show_of_one_that_is_not_there_is_a_line(filled: Project) -> None:
    done = filled.run("dead", "show", "9")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("umbel: error: there is no dead letter 9")
    assert "Traceback" not in done.stderr


# -- replay


def test_replay_says_how_many_it_would_and_does_it_when_told_yes(filled: Project) -> None:
    done = filled.run("dead", "replay", "--task", "tasks.*", answer="y\n")

    assert done.returncode == 0
    assert "Replay 2 dead letters? [y/N]" in done.stderr
    assert done.stdout == "Replayed 2 dead letters.\n"
    assert numbers(filled) == ["3"]


def test_what_is_replayed_runs_and_its_result_takes_the_place_of_the_failure(filled: Project) -> None:
    filled.write("tasks.py", "from umbel import Umbel\napp = Umbel('tasks')\n@app.task\ndef add(x, y): return [x, y]\n")
    assert filled.run("dead", "replay", "1", "--force").stdout == "Replayed 1 dead letter.\n"
    with filled.worker("-c", "1"):
        done = filled.run("call", "tasks.add", "1", "2", "--wait")
    assert done.returncode == 0
    assert filled.run("result", "id-1").stdout.splitlines()[1].split() == ["state", "SUCCESS"]


@pytest.mark.parametrize("answer", ["n\n", "\n"])
@pytest.mark.parametrize(("command", "done"), [("replay", "replayed"), ("purge", "dropped")])
def test_nothing_is_done_when_told_no(filled: Project, command: str, done: str, answer: str) -> None:
    said = filled.run("dead", command, answer=answer)

    assert (said.returncode, said.stdout) == (1, "")
    assert f"Nothing was {done}." in said.stderr
    assert numbers(filled) == ["1", "2", "3"]


def test_nothing_is_done_when_nobody_answers(filled: Project) -> None:
    done = filled.run("dead", "replay")

    assert done.returncode == 1
    assert done.stderr.endswith("there was nobody to answer, so nothing was replayed; --force asks nothing\n")
    assert numbers(filled) == ["1", "2", "3"]


def test_those_that_are_not_there_are_told(filled: Project) -> None:
    done = filled.run("dead", "replay", "1", "8", "9", "--force")

    assert (done.returncode, done.stdout) == (1, "Replayed 1 dead letter.\n")
    assert done.stderr == "umbel: 2 of those named are not there, or do not fit the options\n"


# -- purge


def test_purge_forgets_those_that_are_named(filled: Project) -> None:
    done = filled.run("dead", "purge", "1", "3", answer="yes\n")

    assert "Forget 2 dead letters, for good? [y/N]" in done.stderr
    assert (done.returncode, done.stdout) == (0, "Dropped 2 dead letters.\n")
    assert numbers(filled) == ["2"]


def test_purge_by_force_asks_nothing_and_takes_all_by_default(filled: Project) -> None:
    done = filled.run("dead", "purge", "--force")

    assert (done.returncode, done.stdout, done.stderr) == (0, "Dropped 3 dead letters.\n", "")
    assert numbers(filled) == []
    assert filled.run("dead", "purge", "-f").stdout == "There are no such dead letters.\n"
    assert filled.run("dead", "replay").stdout == "There are no such dead letters.\n"
