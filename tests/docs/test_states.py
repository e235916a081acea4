"""Holds docs/states.md against the table of transitions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.docs.pages import blocks, quoted, tables
from umbel.model import CUSTOM, FINAL_STATES, TRANSITIONS, may_replace


@pytest.fixture(scope="module")
def page(root: Path) -> Path:
    return root / "docs" / "states.md"


def drawn(page: Path) -> Mapping[str, frozenset[str]]:
    """The transitions in the page's table: a row for the state that is left, a column for each that may follow."""
    head, *rows = next(table for table in tables(page.read_text()) if table[0][0].startswith("from"))
    names = [quoted(cell)[0] for cell in head[1:]]
    return {
        quoted(state)[0]: frozenset(name for name, cell in zip(names, cells, strict=True) if cell == "yes")
        for state, *cells in rows
    }


def test_the_table_is_the_codes_table_both_ways(page: Path) -> None:
    assert drawn(page) == TRANSITIONS


def test_the_diagram_shows_the_transitions_of_the_table(page: Path) -> None:
    (diagram,) = (block.text for block in blocks(page) if block.language == "mermaid")
    groups = {"open": {name for name in TRANSITIONS if TRANSITIONS[name] and name != "PENDING"}, "final": FINAL_STATES}
    arrows = {
        (old, new)
        for left, right in re.findall(r"^ +(\w+) --> (\w+)", diagram, flags=re.MULTILINE)
        for old in groups.get(left, {left})
        for new in groups.get(right, {right})
    }
    assert arrows == {(old, new) for old, states in TRANSITIONS.items() for new in states}


@pytest.mark.parametrize("old", [*TRANSITIONS, "HALFWAY"])
@pytest.mark.parametrize("new", [*TRANSITIONS, "THREE-QUARTERS"])
def test_within_a_life_the_table_decides_and_a_higher_life_always_may(page: Path, old: str, new: str) -> None:
    table = drawn(page)
    key = old if old in table else CUSTOM
    assert may_replace(old, 1, new, 1) is ((new if new in table else CUSTOM) in table[key])
    assert may_replace(old, 1, new, 2)
    assert not may_replace(old, 2, new, 1)
