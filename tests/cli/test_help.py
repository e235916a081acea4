"""Tests what people see who do not know the commands, or mistype them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from tests.cli.project import Project
from umbel._version import __version__
from umbel.cli import main
from umbel.cli.program import program

COMMANDS = {
    (): (
        "worker",
        "dev",
        "shell",
        "call",
        "result",
        "list",
        "dead",
        "config",
        "report",
        "completion",
        "revoke",
        "purge",
        "--version",
    ),
    ("worker",): (
        "--app",
        "--concurrency",
        "--queues",
        "--pool",
        "--hostname",
        "--loglevel",
        "--logfile",
        "--pidfile",
        "--grace",
        "--log-format",
        "--set",
        "--quiet",
        "--reload",
    ),
    ("shell",): ("--command", "--prompt"),
    ("completion",): ("bash|zsh|fish",),
    ("dev",): ("--pool", "--concurrency", "--queues", "--loglevel"),
    ("call",): (
        "NAME [ARGUMENT]...",
        "--args",
        "--kwargs",
        "--countdown",
        "--eta",
        "--expires",
        "--queue",
        "--priority",
        "--serializer",
        "--task-id",
        "--wait",
        "--follow",
        "--json",
    ),
    ("result",): ("ID", "--traceback", "--json", "--wait", "--follow"),
    ("revoke",): ("[ID]...", "--terminate", "--file", "--json"),
    ("list",): ("tasks", "queues"),
    ("list", "tasks"): ("--app", "--json"),
    ("list", "queues"): ("--queues", "--json"),
    ("dead",): ("list", "show", "replay", "purge"),
    ("dead", "list"): ("--task", "--reason", "--queue", "--older-than", "--newer-than", "--limit", "--json"),
    ("dead", "show"): ("NUMBER", "--json"),
    ("dead", "replay"): ("[NUMBER]...", "--task", "--reason", "--queue", "--older-than", "--newer-than", "--force"),
    ("dead", "purge"): ("[NUMBER]...", "--task", "--reason", "--queue", "--older-than", "--newer-than", "--force"),
    ("config",): ("--changed", "--json"),
    ("report",): ("--app", "--json"),
    ("purge",): ("--queues", "--force"),
}


@pytest.mark.parametrize(("command", "words"), COMMANDS.items(), ids=lambda value: "-".join(value) or "umbel")
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_of_a_command_names_its_options_and_shows_examples(
    command: tuple[str, ...], words: tuple[str, ...], flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, flag]) == 0

    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: {' '.join(('umbel', *command))}")
    for word in words:
        assert word in shown
    assert re.search(r"^Examples:\n  .*\bumbel\b", shown, re.MULTILINE)


def every(command: click.Command, *name: str) -> Iterator[tuple[str, ...]]:
    yield name
    if isinstance(command, click.Group):
        for part, below in command.commands.items():
            yield from every(below, *name, part)


@pytest.mark.parametrize("command", [*every(program)], ids=lambda name: "-".join(name) or "umbel")
def test_help_fits_into_80_columns_and_cuts_nothing_off(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    assert main([*command, "--help"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 79 or "RANGE" in line] == []
    assert [line for line in lines[1:] if line.endswith("...")] == []
    titles = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert titles[-2:] == ["Every command:", "Examples:"]


def test_the_program_alone_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0

    assert "Send and ask:" in capsys.readouterr().out


def test_an_app_without_a_command_is_a_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-A", "tasks"]) == 2

    assert "umbel: error: say what to do: worker, dev, demo, shell" in capsys.readouterr().err


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0

    assert capsys.readouterr().out == f"umbel {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["wroker"], "umbel: error: there is no command 'wroker'; did you mean 'worker'?\nTry 'umbel --help'.\n"),
        (["list", "task"], "there is no command 'task'; did you mean 'tasks'?\nTry 'umbel list --help'.\n"),
        (
            ["xyz"],
            "there is no command 'xyz'; there are worker, dev, demo, shell, call, result, list, dead, ",
        ),
        (["worker", "--concurency", "2"], "--concurrency"),
        (["call", "tasks.add", "--contdown", "2"], "there is no option --contdown; did you mean --countdown?\n"),
        (["call", "tasks.add", "-4x"], "there is no option -4x; as an argument of the task: -- -4x\n"),
        (["worker", "--concurrency", "0"], "'-c' / '--concurrency'"),
        (["worker", "--grace", "soon"], "'soon' is not a number of seconds"),
        (["worker", "--loglevel", "LOUD"], "'-l' / '--loglevel'"),
        (["worker", "--queues", ","], "name at least one"),
        (["worker", "--set", "worker_grace"], "write it as key=value, for example --set worker_grace=60"),
        (["call"], "NAME"),
        (["result"], "ID"),
        (["list"], "umbel: error: say which: tasks, queues\nTry 'umbel list --help'.\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_misuse_is_told_in_a_line_and_ends_with_status_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2

    shown = capsys.readouterr()
    assert shown.err.startswith("umbel: error: ")
    assert told in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_the_module_is_the_program(project: Project) -> None:
    done = project.run("--version")

    assert (done.returncode, done.stdout, done.stderr) == (0, f"umbel {__version__}\n", "")
