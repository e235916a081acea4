"""Holds docs/from-celery.md against what there is: each name that it quotes of umbel exists."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

import umbel
from tests.docs.pages import quoted, sections, tables
from umbel.app import Umbel
from umbel.call import NAMES
from umbel.cli.program import program
from umbel.plug import has_backend
from umbel.request import Request
from umbel.result import AsyncResult
from umbel.settings.options import OPTIONS
from umbel.task import Task

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "from-celery.md"
OFFERED = {"same", "different"}
STATUSES = OFFERED | {"later", "not offered"}


def rows() -> Iterator[tuple[str, str, str]]:
    for heading, text in sections(PAGE.read_text()).items():
        for table in tables(text):
            assert table[0] == ["in Celery", "here", "how"], heading
            for row in table[1:]:
                assert len(row) == 3, row
                yield row[0], row[1], row[2]


def commands(group: click.Group, before: str = "umbel") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{before} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{before} {name}")


COMMANDS = dict(commands(program))
FLAGS = {flag for command in COMMANDS.values() for each in command.params for flag in each.opts}
KEYWORDS = {
    *NAMES,
    *Task.OPTIONS,
    *inspect.signature(Umbel).parameters,
    *inspect.signature(Umbel.task).parameters,
}
HOLDERS: dict[str, object] = {
    "app": Umbel("page", set_as_current=False),
    "app.conf": Umbel("page", set_as_current=False).conf,
    "task": Task,
    "result": AsyncResult,
    "self.request": Request,
}


def exists(name: str) -> bool:
    """Whether umbel has what the page calls so."""
    if name in OPTIONS or name in COMMANDS or name in FLAGS:
        return True
    if name.endswith("="):
        return name[:-1] in KEYWORDS
    if name.endswith("://"):
        return has_backend(name)
    holder, _, attribute = name.rpartition(".")
    if holder in HOLDERS:
        return hasattr(HOLDERS[holder], attribute)
    if holder == "umbel":
        return attribute in umbel.__all__
    return holder.startswith("umbel.") and hasattr(import_module(holder), attribute)


def test_every_row_says_what_becomes_of_a_feature() -> None:
    found = list(rows())
    assert len(found) > 100
    assert {status for _, status, _ in found} == STATUSES
    assert [name for name, status, how in found if status == "different" and not how] == []


@pytest.mark.parametrize(("feature", "how"), [(name, how) for name, status, how in rows() if status in OFFERED])
def test_what_a_row_says_is_there_is_there(feature: str, how: str) -> None:
    named = [name for name in quoted(how) if not exists(name)]
    assert named == [], feature


def test_a_name_that_does_not_exist_is_noticed() -> None:
    for name in ("app.nothing", "task_nothing", "nothing=", "umbel.Nothing", "umbel.errors.Nothing", "--nothing", "x"):
        assert not exists(name), name
