"""Runs what the pages show: their programs, sessions and commands, page by page in a folder of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import blocks
from tests.docs.reader import Reader

ROOT = Path(__file__).resolve().parent.parent.parent
RUN = ("sh", "python", "pycon")
PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if any(b.language in RUN for b in blocks(page))]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Somebody in an empty project, where ``umbel`` and ``python`` are those of this environment."""
    commands, project = tmp_path / "bin", tmp_path / "project"
    commands.mkdir()
    project.mkdir()
    lines = {
        "umbel": f"'{sys.executable}' -m umbel",
        "python": f"'{sys.executable}'",
        "pytest": f"'{sys.executable}' -m pytest -p umbel.testing.pytest_plugin -p no:cacheprovider",
    }
    for name, line in lines.items():
        (commands / name).write_text(f'#!/bin/sh\nexec {line} "$@"\n')
        (commands / name).chmod(0o755)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("UMBEL_")}
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    own = {"PYTHONPATH": str(ROOT), "PATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    with Reader(project, tmp_path / "notes", {**inherited, **own}) as reader:
        yield reader


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_does_what_it_says(page: Path, reader: Reader) -> None:
    reader.follow(blocks(page))


def test_a_session_that_is_answered_otherwise_is_complained_of(reader: Reader, tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text("```pycon\n>>> 1 + 1\n3\n```\n")
    with pytest.raises(AssertionError, match=r"wrong\.md:1"):
        reader.follow(blocks(page))


def test_a_program_that_raises_is_complained_of(reader: Reader, tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text("<!-- python\nx = 1\n-->\ntext\n```python\nassert x == 2\n```\n")
    with pytest.raises(AssertionError, match=r"wrong\.md:5"):
        reader.follow(blocks(page))


def test_a_command_that_fails_is_complained_of(reader: Reader, tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text("```sh\numbel result nothing -A nowhere\n```\n")
    with pytest.raises(AssertionError, match=r"wrong\.md:1: status 1"):
        reader.follow(blocks(page))


def test_a_worker_that_cannot_start_is_complained_of(reader: Reader, tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text("```sh\numbel -A nowhere worker\n```\n")
    with pytest.raises(AssertionError, match=r"the worker is not ready(.|\n)*no app found"):
        reader.follow(blocks(page))


def test_a_block_that_is_never_closed_is_complained_of(tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text("```sh\nls\n")
    with pytest.raises(AssertionError, match=r"wrong\.md:1: the block is never closed"):
        blocks(page)
