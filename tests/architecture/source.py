"""Reads the Python files of a checkout for the rules beside it."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CODE = ("umbel", "tests", "tools", "examples", "bench")
"""Folders whose Python the rules of form hold for."""


class Source(NamedTuple):
    """One Python file; ``place`` is its path below the checkout, with slashes."""

    place: str
    text: str
    tree: ast.Module

    @property
    def module(self) -> str:
        """The dotted name under which it is imported."""
        parts = self.place.removesuffix(".py").split("/")
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(root: Path, *folders: str) -> Iterator[Source]:
    """Every Python file below these folders of ``root``, in the order of their names; absent folders have none."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            text = path.read_text()
            yield Source(path.relative_to(root).as_posix(), text, ast.parse(text, str(path)))


def tracked(root: Path) -> list[Path]:
    """The files that git tracks and that are there, links left out."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    paths = [root / name for name in listing.split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]
