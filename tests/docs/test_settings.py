"""Holds docs/settings.md against the declarations of the settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import quoted, tables
from tools.settings_page import BEGIN, END, PAGE, page
from umbel.settings.options import OPTIONS


def test_the_page_has_the_table_of_the_declarations() -> None:
    text = PAGE.read_text()
    assert text == page(text), "write it anew: python -m tools.settings_page --write"


def test_every_setting_has_a_row_with_four_cells() -> None:
    (table,) = tables(page(f"{BEGIN}{END}"))
    assert [quoted(name) for name, _, _, _ in table[1:]] == [[name] for name in OPTIONS]
    assert all(all(row) for row in table)


def test_an_old_table_is_replaced_and_what_stands_around_it_stays() -> None:
    text = page(f"before\n{BEGIN}\n| old |\n{END}\nafter\n")
    assert text.startswith(f"before\n{BEGIN}\n\n| setting |")
    assert text.endswith(f"|\n\n{END}\nafter\n")
    assert "old" not in text.splitlines()


def test_a_page_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="has lost a mark"):
        page(f"{BEGIN}\n")


def test_the_tool_prints_the_page_and_refuses_other_words(root: Path) -> None:
    tool = [sys.executable, "-m", "tools.settings_page"]
    shown = subprocess.run(tool, cwd=root, capture_output=True, text=True, check=True).stdout
    assert shown == page(PAGE.read_text())
    refused = subprocess.run([*tool, "--wrte"], cwd=root, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "--write" in refused.stderr
