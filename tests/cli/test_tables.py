"""Tests how tables look, plain and on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess

import click
import pytest

from tests.cli.project import PATIENCE, Project
from umbel.cli.program import program
from umbel.cli.tables import aligned, show_table

BANNER = 'from umbel.cli.banner import Banner, show; show(Banner("umbel [1]", [("app", "x:[b]y")], ["a.b"], ["so"]))'


def on_terminal(project: Project, line: list[str], **environ: str) -> str:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    environment = {**project.environment(), "TERM": "xterm", **environ}
    with subprocess.Popen(line, cwd=project.folder, env=environment, stdout=theirs) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                read = os.read(ours, 65536)
            except OSError:  # how a terminal says that its last writer has gone
                break
            if not read:
                break
            written += read
        assert process.wait(PATIENCE) == 0
    os.close(ours)
    return written.decode()


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert aligned([["a", "bb", "c"], ["aaa", "b", "c\nd"]], "> ") == "> a    bb  c\n> aaa  b   c\\nd"


def test_a_table_that_nobody_looks_at_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("name", "size"), [("mail", "3"), ("reports", "10")])

    assert capsys.readouterr().out == "NAME     SIZE\nmail     3\nreports  10\n"


def test_a_table_on_a_terminal_is_drawn_and_what_looks_like_markup_is_text(project: Project) -> None:
    drawn = on_terminal(project, project.command("config", "--set", "task_default_queue=[bold]q"))

    assert "\x1b[1m" in drawn
    assert "[bold]q" in drawn
    assert "SETTING" not in drawn


def test_a_wide_cell_is_continued_below_and_an_id_stays_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    with click.Context(program, color=True):
        show_table(("id", "reason"), [("0123456789", "one two three four five six seven"), ("1", "")])
        show_table(("id", "reason"), [("0123456789" * 3, "one two three")])
        show_table(("why", "id"), [("one two three four five six seven", "0123456789")], breaking=0)

    assert capsys.readouterr().out.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines() == [
        "id          reason",
        "0123456789  one two three four five six",
        "            seven",
        "1",
        "id                              reason",
        f"{'0123456789' * 3}  one two three",
        "why                          id",
        "one two three four five six  0123456789",
        "seven",
    ]


@pytest.mark.parametrize(
    ("flags", "environ", "coloured"),
    [
        ([], {}, False),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "0"}, False),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (["--color"], {"NO_COLOR": "1"}, True),
        (["--no-color"], {"FORCE_COLOR": "1"}, False),
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_flags_and_the_environment_choose_colours(
    project: Project, flags: list[str], environ: dict[str, str], coloured: bool, before: bool
) -> None:
    project.environ |= environ

    done = project.run(*flags, "config") if before else project.run("config", *flags)

    assert ("\x1b[1m" in done.stdout) is coloured


def test_no_color_makes_a_terminal_plain(project: Project) -> None:
    assert "\x1b" not in on_terminal(project, project.command("config"), NO_COLOR="1")
    assert "\x1b" not in on_terminal(project, project.command("config", "--no-color"))


def test_a_dumb_terminal_gets_plain_text(project: Project) -> None:
    drawn = on_terminal(project, project.command("config"), TERM="dumb")

    assert "\x1b" not in drawn
    assert drawn.startswith("SETTING")


def test_a_banner_on_a_terminal_is_a_box(project: Project) -> None:
    drawn = on_terminal(project, [project.command()[0], "-c", BANNER])

    assert drawn.startswith("╭─ umbel [1] ─")
    assert "app  x:[b]y" in drawn
    assert drawn.rstrip().endswith("╯")


def test_a_long_note_in_the_box_keeps_its_place(project: Project) -> None:
    long = BANNER.replace('"so"', f"'{'so much ' * 20}'")
    lines = on_terminal(project, [project.command()[0], "-c", long], COLUMNS="60").splitlines()

    notes = [line for line in lines if "so much" in line]
    assert len(notes) == 3
    assert all(line.startswith(("│     so much so", "│     much so much")) for line in notes)
    assert {len(line) for line in notes} == {60}
