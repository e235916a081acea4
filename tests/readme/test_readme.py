"""Follows the README in a fresh clone, as a stranger would."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import blocks
from tests.docs.reader import NOT_TYPED, STAYS, Reader


@pytest.fixture
def clone(root: Path, tmp_path: Path) -> Path:
    """A clone of what is committed."""
    subprocess.run(["git", "clone", "--quiet", str(root), str(tmp_path / "clone")], check=True)
    return tmp_path / "clone"


@pytest.fixture
def stranger(clone: Path, tmp_path: Path) -> Iterator[Reader]:
    """Somebody in the clone, with nothing of this process's own environments."""
    own = ("UMBEL_", "PYTHON", "VIRTUAL_ENV", "MAKE")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    with Reader(clone, tmp_path / "notes", environ) as reader:
        yield reader


@pytest.mark.slow
def test_every_command_and_session_does_what_the_readme_says(clone: Path, stranger: Reader) -> None:
    stranger.follow(blocks(clone / "README.md"))


def test_the_readme_shows_what_it_must(root: Path) -> None:
    shell = [block.text for block in blocks(root / "README.md") if block.language == "sh"]
    typed = "".join(shell).splitlines()
    for command in ("make demo", *NOT_TYPED):
        assert command in typed
    assert any(STAYS.search(line) for line in typed)
    assert any("kill -9" in line for line in typed)


def test_nothing_that_the_readme_does_is_hidden(root: Path) -> None:
    assert "<!--" not in (root / "README.md").read_text()
