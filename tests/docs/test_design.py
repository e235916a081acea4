"""Holds the floors in docs/design.md against the contract in pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.docs.pages import quoted, tables


def contract(root: Path) -> list[set[str]]:
    """The floors of the contract from top to bottom, with the modules that exist."""
    with (root / "pyproject.toml").open("rb") as file:
        (floors,) = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    package = root / "umbel"
    there = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    there |= {path.name for path in package.iterdir() if path.is_dir()}
    kept = [there.intersection(re.findall(r"\w+", floor)) for floor in floors["layers"]]
    return [floor for floor in kept if floor]


def test_the_floors_are_those_of_the_contract_in_their_order(root: Path) -> None:
    page = (root / "docs" / "design.md").read_text()
    (table,) = (table for table in tables(page) if table[0] == ["floor", "modules"])
    drawn = [set(quoted(modules)) for _, modules in table[1:]]
    assert drawn == contract(root), "the table of floors in docs/design.md has to follow the contract"


def test_the_threads_have_the_names_that_the_page_gives_them(root: Path) -> None:
    named = set(re.findall(r'"(umbel-\w+)"', (root / "docs" / "design.md").read_text()))
    code = "".join(path.read_text() for path in (root / "umbel").rglob("*.py"))
    assert {name for name in named if f'"{name}' not in code} == set()
    assert len(named) >= 5
