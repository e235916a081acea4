"""Tests what shells are told when they complete a command, and bash itself at the tab key."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from tests.cli.project import PATIENCE, ROOT, Project, wait_until
from tests.cli.terminal import terminal
from umbel.wire.names import DEFAULT_QUEUE


def completed(project: Project, line: str) -> list[str]:
    """What may stand in place of the line's last word."""
    words = shlex.split(line) if not line.endswith(" ") else [*shlex.split(line), ""]
    asking = {"_UMBEL_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        project.command(),
        cwd=project.folder,
        env={**project.environment(), **asking},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [item.partition(",")[2] for item in done.stdout.splitlines() if item]


@pytest.mark.parametrize(
    ("line", "items"),
    [
        ("umbel wo", ["worker"]),
        ("umbel dead re", ["replay"]),
        ("umbel worker --conc", ["--concurrency"]),
        ("umbel call tasks.", ["tasks.add", "tasks.echo", "tasks.fail", "tasks.sleep"]),
        ("umbel call tasks.s", ["tasks.sleep"]),
        ("umbel -A tasks call tasks.s", ["tasks.sleep"]),
        ("umbel worker -Q ", [DEFAULT_QUEUE, "mail"]),
        ("umbel purge -Q mail,", [f"mail,{DEFAULT_QUEUE}", "mail,mail"]),
        ("umbel dead list --task tasks.f", ["tasks.fail"]),
        ("umbel call tasks.add --queue m", ["mail"]),
        ("umbel worker -P s", ["solo"]),
        ("umbel worker -l deb", ["debug"]),
        ("umbel config --set worker_gr", ["worker_grace="]),
        ("umbel completion z", ["zsh"]),
        ("umbel -A nowhere call tasks.", []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_shell_is_told_what_may_stand_there(project: Project, line: str, items: list[str]) -> None:
    told: list[str] = []

    def is_told() -> bool:
        told[:] = completed(project, line)
        return bool(told) or not items

    wait_until(is_told)  # on a busy machine, the moment in which an app must be imported passes now and then
    assert told == items


@pytest.mark.parametrize(
    "module",
    [
        "raise RuntimeError('broken')",
        "raise SystemExit(3)",
        "import sys\nprint('noise')\nprint('noise', file=sys.stderr)\n1/0",
        "import time\ntry:\n    time.sleep(600)\nexcept Exception:\n    time.sleep(600)",
    ],
    ids=["raises", "exits", "prints", "takes long"],
)
def test_an_app_that_cannot_be_imported_in_a_moment_completes_nothing_and_says_nothing(
    project: Project, module: str
) -> None:
    project.write("tasks.py", module)

    assert completed(project, "umbel call tasks.") == []
    assert completed(project, "umbel wo") == ["worker"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_says_how_to_install_it(project: Project, shell: str) -> None:
    done = project.run("completion", shell)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"_UMBEL_COMPLETE={shell}_complete" in done.stdout
    assert "# To install: " in done.stdout.splitlines()[-1]
    assert f"umbel completion {shell}" in done.stdout


def test_a_shell_that_is_not_known_is_a_misuse(project: Project) -> None:
    assert project.run("completion", "tcsh").returncode == 2


def test_bash_completes_at_the_tab_key(project: Project) -> None:
    program = project.write("bin/umbel", f"#!/bin/sh\nexec '{sys.executable}' -m umbel \"$@\"\n")
    program.chmod(0o755)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb", "PS1": "$ "}
    environ["PATH"] = f"{program.parent}{os.pathsep}{environ['PATH']}"
    with terminal(["bash", "--norc", "--noprofile", "-i"], project.folder, environ) as shell:
        shell.see("$ ")
        shell.type('eval "$(umbel completion bash)"; echo installe""d\n')
        shell.see("installed")
        shell.type("umbel wor\t")
        shell.see("umbel worker ")
        shell.type("\x15umbel call tasks.sl")
        shell.see_after("\t", "call tasks.sleep ")
        shell.type("\x15exit\n")

        assert shell.end() == 0
