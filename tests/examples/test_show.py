"""Checks what the demo shows where nobody looks, and that it shows the same without rich."""

from __future__ import annotations

import pytest

from examples import show


def test_progress_outside_a_terminal_is_a_line_for_each_quarter(capsys: pytest.CaptureFixture[str]) -> None:
    with show.progress("Reading", 10) as advance:
        for _ in range(10):
            advance()
    assert capsys.readouterr().out.splitlines() == ["Reading: 10 files", "3 of 10", "5 of 10", "8 of 10", "10 of 10"]


def test_the_plain_bar_fills_and_is_removed(capsys: pytest.CaptureFixture[str]) -> None:
    with show.plain_bar("Reading", 2) as advance:
        advance()
        half = capsys.readouterr().out
        advance()
        full = capsys.readouterr().out
    assert half.count("#") == half.count(".") == show.BAR // 2
    assert full.count("#") == show.BAR
    assert capsys.readouterr().out.endswith("\x1b[2K")


def test_failures_are_grouped_by_kind_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    show.failed([("/a/one.py", OSError("no\nmore")), ("/a/two.py", OSError("none")), ("/a/x.py", ValueError("y" * 99))])
    lines = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines() if line]
    assert ["OSError", "2", "two.py: none"] in lines
    assert lines[-1][:2] == ["ValueError", "1"]
    assert len(lines[-1][2]) == show.WIDEST


def test_both_kinds_of_table_hold_the_same_words(capsys: pytest.CaptureFixture[str]) -> None:
    head, rows = ("module", "times"), [("os", "1,234"), ("[bold]", "5")]
    show.table("Title", head, rows)
    plain = capsys.readouterr().out.split()
    show.rich_table("Title", head, rows)
    rich = [word for word in capsys.readouterr().out.split() if "─" not in word]
    assert plain == rich == ["Title", "module", "times", "os", "1,234", "[bold]", "5"]


def test_the_summary_counts_both_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    show.summary(done=1990, failed=10, seconds=2.0)
    assert capsys.readouterr().out == "1,990 files counted, 10 failed, in 2.0 s: 1,000 tasks a second.\n"
