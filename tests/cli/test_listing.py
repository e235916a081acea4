"""Tests ``umbel list``."""

from __future__ import annotations

import json

from tests.cli.project import Project
from umbel.wire.names import DEFAULT_QUEUE


def test_tasks_are_listed_with_their_arguments_and_queues(project: Project) -> None:
    done = project.run("list", "tasks")

    rows = [line.split() for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert rows[0] == ["TASK", "ARGUMENTS", "QUEUE"]
    assert [row[0] for row in rows[1:]] == ["tasks.add", "tasks.echo", "tasks.fail", "tasks.sleep"]
    assert "tasks.add    (x: int, y: int) -> int" in done.stdout
    assert [row[-1] for row in rows[1:]] == [DEFAULT_QUEUE, DEFAULT_QUEUE, "mail", DEFAULT_QUEUE]


def test_tasks_are_listed_as_json_one_a_line(project: Project) -> None:
    done = project.run("list", "tasks", "--json")

    tasks = [json.loads(line) for line in done.stdout.splitlines()]
    assert tasks[0] == {"task": "tasks.add", "arguments": "(x: int, y: int) -> int", "queue": DEFAULT_QUEUE}
    assert [task["task"] for task in tasks] == ["tasks.add", "tasks.echo", "tasks.fail", "tasks.sleep"]


def test_tasks_of_included_modules_are_listed_too_and_a_bound_task_shows_what_callers_give(project: Project) -> None:
    project.write("tasks.py", 'from umbel import Umbel\napp = Umbel("tasks", include=["more"])\n')
    project.write("more.py", "from umbel import shared_task\n@shared_task(bind=True)\ndef extra(self, n): ...\n")

    done = project.run("list", "tasks")

    assert done.stdout.splitlines()[1].split() == ["more.extra", "(n)", DEFAULT_QUEUE]


def test_tasks_are_listed_with_the_queues_that_routes_give_them(project: Project) -> None:
    project.environ["UMBEL_TASK_ROUTES"] = '{"tasks.a*": "fast", "tasks.fail": "never"}'
    project.environ["UMBEL_TASK_QUEUES"] = "declared"

    rows = [line.split() for line in project.run("list", "tasks").stdout.splitlines()[1:]]
    queues = [line.split()[0] for line in project.run("list", "queues").stdout.splitlines()[1:]]

    assert [row[-1] for row in rows] == ["fast", DEFAULT_QUEUE, "mail", DEFAULT_QUEUE]
    assert queues == [DEFAULT_QUEUE, "declared", "fast", "mail"]


def test_a_task_that_is_routed_by_its_arguments_is_said_to_be(project: Project) -> None:
    project.write("routers.py", "def by_argument(name, args, kwargs, options, task=None): return args[0]\n")
    project.environ["UMBEL_TASK_ROUTES"] = "routers.by_argument"

    rows = project.run("list", "tasks").stdout.splitlines()[1:]

    assert [row.endswith("  as routed") for row in rows] == [True, True, False, True]
    assert project.run("list", "queues").returncode == 0


def test_an_app_without_tasks_says_where_they_may_be(project: Project) -> None:
    project.write("tasks.py", 'from umbel import Umbel\napp = Umbel("tasks")\n')

    done = project.run("list", "tasks")

    assert done.returncode == 0
    assert done.stdout.startswith("No task is registered; ")


def test_queues_are_listed_with_what_waits_in_them(project: Project) -> None:
    for arguments in (["tasks.add", "1", "2"], ["tasks.add", "1", "2", "--countdown", "3600"], ["tasks.fail"]):
        assert project.run("call", *arguments).returncode == 0

    done = project.run("list", "queues")

    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["QUEUE", "READY", "DELAYED", "CLAIMED"],
        [DEFAULT_QUEUE, "1", "1", "0"],
        ["mail", "1", "0", "0"],
    ]


def test_a_queue_that_no_task_names_is_listed_when_something_is_in_it(project: Project) -> None:
    assert project.run("call", "tasks.add", "1", "2", "--queue", "elsewhere").returncode == 0

    done = project.run("list", "queues")

    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [
        [DEFAULT_QUEUE, "0"],
        ["elsewhere", "1"],
        ["mail", "0"],
    ]


def test_queues_are_listed_as_json_one_a_line(project: Project) -> None:
    lines = project.run("list", "queues", "-Q", "mail,reports", "--json").stdout.splitlines()

    assert [json.loads(line) for line in lines] == [
        {"queue": "mail", "ready": 0, "delayed": 0, "claimed": 0},
        {"queue": "reports", "ready": 0, "delayed": 0, "claimed": 0},
    ]


def test_queues_that_are_named_are_listed_alone(project: Project) -> None:
    done = project.run("list", "queues", "-Q", "mail,reports", "-Q", "mail")

    assert [line.split() for line in done.stdout.splitlines()[1:]] == [
        ["mail", "0", "0", "0"],
        ["reports", "0", "0", "0"],
    ]


def test_of_a_broker_that_lists_no_queues_those_of_the_app_are_shown_with_what_waits(project: Project) -> None:
    project.write(
        "tasks.py",
        "from umbel import Umbel\nfrom umbel.brokers.memory import MemoryBroker\n"
        "class Plain(MemoryBroker):\n    queues = None\n"
        'app = Umbel("tasks", broker="memory://plain")\napp._broker = ("memory://plain", Plain("memory://plain"))\n'
        'app.task(queue="mail", name="add")(lambda x: x).delay(1)\n',
    )

    done = project.run("list", "queues")

    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows == [["QUEUE", "WAITING"], [DEFAULT_QUEUE, "0"], ["mail", "1"]]


def test_a_broker_that_nobody_serves_is_a_line(project: Project) -> None:
    done = project.run("list", "queues", "--set", "broker_url=carrier-pigeon://user:s3cret@roof")

    assert done.returncode == 1
    assert done.stderr.startswith("umbel: error: no broker for URLs that begin with 'carrier-pigeon'")
    assert "s3cret" not in done.stderr
    assert "Traceback" not in done.stderr
