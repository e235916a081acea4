"""Holds docs/commands.md against the commands that there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.docs.pages import quoted, sections, tables
from umbel.cli.program import program

SHARED = "Every command"
GROUP = "umbel"


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every command by its whole name; of a group that only holds commands, those alone."""
    if name == GROUP or not isinstance(command, click.Group):
        yield name, command
    if isinstance(command, click.Group):
        for part, below in command.commands.items():
            yield from commands(below, f"{name} {part}")


def flags(command: click.Command) -> set[str]:
    """The options of a command as they are typed, ``--help`` too."""
    with click.Context(command, info_name=command.name, help_option_names=["-h", "--help"]) as context:
        options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
    return {flag for each in options for flag in (*each.opts, *each.secondary_opts)}


def documented(text: str) -> set[str]:
    """The options in the first column of a section's tables."""
    cells = [row[0] for table in tables(text) for row in table[1:]]
    return {words.split()[0] for cell in cells for words in quoted(cell)}


COMMANDS = dict(commands(program, GROUP))


@pytest.fixture(scope="module")
def page(root: Path) -> dict[str, str]:
    return sections((root / "docs" / "commands.md").read_text())


def test_every_command_has_its_section_and_every_section_its_command(page: dict[str, str]) -> None:
    assert set(page) == {SHARED, *(f"`{name}`" for name in COMMANDS)}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_of_a_command_are_those_of_its_section(page: dict[str, str], name: str) -> None:
    shared = documented(page[SHARED])
    assert shared <= flags(COMMANDS[name])
    assert documented(page[f"`{name}`"]) == flags(COMMANDS[name]) - shared
