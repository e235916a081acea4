"""Writes tables: aligned plain text, or with rich where that is installed and somebody looks at a terminal."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence

import click


def fancy() -> bool:
    """Whether standard output is a terminal that rich can draw on."""
    terminal = sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return terminal and importlib.util.find_spec("rich") is not None


def show_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write the rows below their headings."""
    if not fancy():
        click.echo(aligned([[heading.upper() for heading in headings], *rows]))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def aligned(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """The rows as lines, each column as wide as its widest cell."""
    cells = [[cell.replace("\n", "\\n") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(f"{indent}{line}".rstrip() for line in lines)
