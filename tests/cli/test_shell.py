"""Tests ``umbel shell``."""

from __future__ import annotations

import pytest

from tests.cli.project import Project
from tests.cli.terminal import terminal

MORE = """
@app.task(name="shop.sleep")
def other():
    return "other"


@app.task(name="shop.app")
def hidden():
    return "hidden"


@app.task(name="shop.State")
def state():
    return "state"
"""


def test_a_line_has_the_app_its_tasks_and_umbels_names_and_shows_values(project: Project) -> None:
    line = "app; add.name; add(4, 4); umbel.State is State, Retry; x = 1; None"

    done = project.run("shell", "-c", line)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "<Umbel tasks>",
        "'tasks.add'",
        "8",
        "(True, <class 'umbel.errors.Retry'>)",
    ]


def test_a_short_name_that_two_tasks_have_is_nobodys_and_the_app_stays_the_app(project: Project) -> None:
    project.write("tasks.py", (project.folder / "tasks.py").read_text() + MORE)

    assert project.run("shell", "-c", "app, State").stdout == "(<Umbel tasks>, <Task shop.State>)\n"
    failed = project.run("shell", "-c", "sleep")
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1] == "NameError: name 'sleep' is not defined"
    assert project.run("shell", "-c", "app.tasks['shop.sleep']()").stdout == "'other'\n"


def test_an_error_of_the_line_shows_the_line_and_nothing_of_umbel(project: Project) -> None:
    done = project.run("shell", "-c", "1/0")
    wrong = project.run("shell", "-c", "add(")

    assert (done.returncode, wrong.returncode) == (1, 1)
    assert done.stderr.startswith('Traceback (most recent call last):\n  File "-c", line 1, in <module>\n    1/0\n')
    assert "umbel" not in done.stderr
    assert wrong.stderr.startswith('  File "-c", line 1\n    add(\n')


def test_a_script_on_standard_input_is_run(project: Project) -> None:
    done = project.run("shell", answer="for n in range(2):\n    print(add(n, n))\nadd(1, 1)\n")

    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n2\n", "")


def test_nothing_is_connected_to_at_the_start(project: Project) -> None:
    done = project.run("shell", "-c", "add(1, 1)", "--set", "broker_url=amqp://nobody@nowhere.invalid//")

    assert (done.returncode, done.stdout) == (0, "2\n")
    assert not (project.folder / ".umbel").exists()


def test_a_conversation_begins_with_what_is_there_and_ends_at_the_end_of_input(project: Project) -> None:
    with terminal(project.command("shell", "--prompt", "python"), project.folder, project.environment()) as prompt:
        assert "app: tasks:app\r\ntasks: add, echo, fail, sleep\r\n" in prompt.see(">>> ")
        prompt.type("add(40, 2)\n")
        prompt.see("\n42")
        prompt.see(">>> ")
        prompt.type("\x04")

        assert prompt.end() == 0


def test_a_prompt_that_is_installed_is_begun_with_the_names(project: Project) -> None:
    fake = "def start_ipython(argv, user_ns):\n    print('IPython', argv, user_ns['add'](4, 4))\n"
    project.write("IPython.py", fake)
    project.write("bpython.py", "def embed(locals_, banner):\n    print('bpython', locals_['add'](4, 4), banner)\n")

    for arguments, said in (([], "IPython ['--no-banner'] 8"), (["--prompt", "bpython"], "bpython 8 umbel ")):
        with terminal(project.command("shell", *arguments), project.folder, project.environment()) as prompt:
            prompt.see(said)
            assert prompt.end() == 0


@pytest.mark.parametrize("prompt", ["ipython", "bpython"])
def test_a_prompt_that_is_not_installed_is_a_line(project: Project, prompt: str) -> None:
    module = {"ipython": "IPython"}.get(prompt, prompt)
    project.write("sitecustomize.py", f"import sys, importlib.machinery\nsys.modules['{module}'] = None\n")

    done = project.run("shell", "--prompt", prompt)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"umbel: error: {prompt} is not installed: pip install {prompt}, or leave --prompt out\n"
