"""Tests ``umbel call``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.cli.project import Project
from umbel.wire.names import DEFAULT_QUEUE

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with a worker."""
    project = Project(tmp_path_factory.mktemp("served"))
    with project.worker("-c", "2", "-Q", f"mail,{DEFAULT_QUEUE}"):
        yield project


def heard(project: Project, *arguments: str) -> tuple[list[object], dict[str, object]]:
    """The arguments as the task got them."""
    done = project.run("call", "tasks.echo", *arguments, "--wait", "60")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return told["args"], told["kwargs"]


def test_a_call_prints_its_id_alone(project: Project) -> None:
    done = project.run("call", "tasks.add", "4", "4")

    assert (done.returncode, done.stderr) == (0, "")
    assert ID.fullmatch(done.stdout)


def test_the_last_part_of_a_name_will_do_where_one_task_has_it(served: Project) -> None:
    done = served.run("call", "add", "4", "4", "--wait")

    assert (done.returncode, done.stdout) == (0, "8\n")


def test_a_last_part_that_several_tasks_have_is_refused_with_all_of_them(project: Project) -> None:
    with (project.folder / "tasks.py").open("a") as file:
        file.write('\n\n@app.task(name="other.add")\ndef another() -> None: ...\n')
    done = project.run("call", "add", "4", "4")

    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing was sent, add may be any of these: other.add, tasks.add" in done.stderr


def test_a_call_that_waits_prints_the_result_alone_and_its_id_beside(served: Project) -> None:
    done = served.run("call", "tasks.add", "4", "4", "--wait")

    assert (done.returncode, done.stdout) == (0, "8\n")
    assert ID.fullmatch(done.stderr)


def test_a_call_may_wait_before_the_name_and_negative_numbers_are_arguments(served: Project) -> None:
    done = served.run("call", "--wait", "tasks.add", "-4", "-4.5e1")

    assert (done.returncode, done.stdout) == (0, "-49.0\n")


def test_arguments_are_json_and_what_is_not_json_is_a_text(served: Project) -> None:
    given = ["1", "-2", "true", "null", "[1, 2]", '{"a": 1}', '"4"', "plain", "NaN", "1.2.3", ""]

    assert heard(served, *given) == ([1, -2, True, None, [1, 2], {"a": 1}, "4", "plain", "NaN", "1.2.3", ""], {})


def test_arguments_may_be_given_as_one_list_and_one_object(served: Project) -> None:
    assert heard(served, "-a", '[1, "two"]', "-k", '{"x": [3]}') == ([1, "two"], {"x": [3]})
    assert heard(served, "positional", "--kwargs", '{"x": 1}') == (["positional"], {"x": 1})


def test_what_looks_like_an_option_is_an_argument_after_two_dashes(served: Project) -> None:
    done = served.run("call", "--wait", "tasks.echo", "--", "--loud", "-x")

    assert json.loads(done.stdout)["args"] == ["--loud", "-x"]


def test_a_task_that_failed_gives_status_1_and_its_traceback(served: Project) -> None:
    done = served.run("call", "tasks.fail", "no luck", "--wait")

    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback (most recent call last):" in done.stderr
    assert f'"{served.folder}/tasks.py"' in done.stderr
    assert done.stderr.rstrip().endswith("ValueError: no luck")
    assert "umbel/cli" not in done.stderr


def test_a_task_of_another_project_is_called_by_name_with_a_word_of_warning(project: Project) -> None:
    done = project.run("call", "tasks.ad", "4", "4")

    assert done.returncode == 0
    assert ID.fullmatch(done.stdout)
    assert "no task 'tasks.ad' is registered here (did you mean 'tasks.add'?)" in done.stderr


def test_options_of_the_call_reach_the_message(project: Project) -> None:
    options = ["--queue", "mail", "--countdown", "3600", "--expires", "7200", "--priority", "7", "--task-id", "one"]

    done = project.run("call", "tasks.add", "4", "4", *options, "--serializer", "json")

    assert (done.returncode, done.stdout) == (0, "one\n")
    assert project.waiting() == {"mail": 1}


def test_an_eta_and_an_expiry_may_be_times(project: Project) -> None:
    moments = ["--eta", "2999-12-31T18:00:00+01:00", "--expires", "2999-12-31T19:00:00Z"]

    assert project.run("call", "tasks.add", "4", "4", *moments).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["tasks.add", "-a", "4"], 2, "it is not a list, but '4'; write it so: --args '[4, 4]'"),
        (["tasks.add", "-a", "[4,"], 2, "it is not JSON ("),
        (["tasks.add", "-k", "[4]"], 2, "it is not a object, but '[4]'; write it so: --kwargs '{\"x\": 4}'"),
        (["tasks.add", "4", "-a", "[4]"], 2, "give the arguments after the name or with --args, not both"),
        (["tasks.add", "--eta", "tomorrow"], 2, "'tomorrow' is not a time; write it so: 2030-12-31T18:00:00+01:00"),
        (["tasks.add", "--expires", "soon"], 2, "'soon' is not a time"),
        (["tasks.add", "--countdown", "inf"], 2, "'inf' is not a number of seconds"),
        (["tasks.add", "--priority", "10"], 2, "'--priority'"),
        (["tasks.add", "4"], 1, "nothing was sent, the arguments do not fit tasks.add: "),
        (["tasks.add", "4", "4", "--countdown", "1", "--eta", "2999-01-01"], 1, "a call takes countdown or eta"),
        (["tasks.add", "4", "4", "--serializer", "jsn"], 1, "unknown name 'jsn'; did you mean 'json'?"),
        (["tasks.add", "4", "4", "--queue", ""], 1, "queue must be a text that is not empty"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_meant_is_refused_in_a_line_and_nothing_is_sent(
    project: Project, arguments: list[str], status: int, told: str
) -> None:
    done = project.run("call", *arguments)

    assert (done.returncode, done.stdout) == (status, "")
    assert "umbel: error: " in done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert project.waiting() == {}


def test_waiting_without_a_result_store_is_a_line_that_says_what_to_set(project: Project) -> None:
    done = project.run("call", "tasks.add", "4", "4", "--wait", "--set", "result_backend=none")

    assert done.returncode == 1
    assert "umbel: error: no result is kept: result_backend is off" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_store_that_cannot_be_written_is_a_line(project: Project) -> None:
    done = project.run("call", "tasks.add", "4", "4", "--set", "broker_url=sqlite:////proc/nowhere/q.db")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("umbel: error: ")
    assert "Traceback" not in done.stderr
