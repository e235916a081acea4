"""Draws on terminals with rich: a box, and a bar that moves."""

from __future__ import annotations

import importlib.util
from typing import Any


def available() -> bool:
    """Whether rich is installed."""
    return importlib.util.find_spec("rich") is not None


def box(title: str, text: str) -> None:
    """Write a box to standard output."""
    from rich.box import ROUNDED
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    console = Console(force_terminal=True, no_color=False)
    console.print(Panel(Text(text), title=Text(title), title_align="left", box=ROUNDED, expand=False))


class Bar:
    """A bar on standard error, with words behind it, until it is closed; then it is gone."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        words = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
        console = Console(stderr=True, force_terminal=True)
        self._progress: Any = Progress(BarColumn(bar_width=30), words, console=console, transient=True)
        self._task = self._progress.add_task("", total=None)
        self._progress.start()

    def show(self, percent: float | None, words: str) -> None:
        """``percent`` None is a bar that only shows that something is going on."""
        total = None if percent is None else 100.0
        self._progress.update(self._task, total=total, completed=percent or 0.0, description=words)
        self._progress.refresh()

    def close(self) -> None:
        """Take it away."""
        self._progress.stop()
