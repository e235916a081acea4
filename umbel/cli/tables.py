"""Writes tables: aligned plain text, fitted to the terminal where somebody looks at one."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence

import click

from umbel import drawn

_NARROWEST = 20
"""Characters below which a column is not broken into lines: the terminal does it then."""


def colored() -> bool:
    """Whether to write for eyes: on a terminal, unless somebody wants colours, or wants none."""
    context = click.get_current_context(silent=True)
    wanted = None if context is None else context.color
    if wanted is not None:
        return wanted
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def fancy() -> bool:
    """Whether to draw with rich: for eyes, where it is installed."""
    return colored() and drawn.available()


def show_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, breaking: int = -1) -> None:
    """Write the rows below their headings. On a narrow terminal only the cells of the column ``breaking``, by default
    the last, are continued below: ids and names can be copied."""
    if not colored():
        click.echo(aligned([[heading.upper() for heading in headings], *rows]))
        return
    first, *rest = aligned([headings, *_fitted(headings, rows, breaking % len(headings))]).splitlines()
    click.echo("\n".join([click.style(first, bold=True), *rest]))


def aligned(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """The rows as lines, each column as wide as its widest cell."""
    cells = [[cell.replace("\n", "\\n") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(f"{indent}{line}".rstrip() for line in lines)


def _fitted(headings: Sequence[str], rows: Sequence[Sequence[str]], breaking: int) -> list[list[str]]:
    """The rows, with what is too wide for the terminal continued in rows below."""
    others = [[*row[:breaking], *row[breaking + 1 :]] for row in (headings, *rows)]
    room = shutil.get_terminal_size().columns - sum(max(map(len, column)) + 2 for column in zip(*others, strict=True))
    fitted: list[list[str]] = []
    for row in rows:
        cell = row[breaking].replace("\n", "\\n")
        parts = textwrap.wrap(cell, room) if room >= _NARROWEST else [cell]
        fitted.append([*row[:breaking], *(parts[:1] or [""]), *row[breaking + 1 :]])
        fitted += [[part if place == breaking else "" for place in range(len(row))] for part in parts[1:]]
    return fitted
