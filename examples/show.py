"""Shows a demo's progress and its findings in a terminal: with rich where it is installed, else in plain lines."""

from __future__ import annotations

import contextlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

BAR = 30
WIDEST = 60

Advance = Callable[[], None]


def progress(label: str, total: int) -> contextlib.AbstractContextManager[Advance]:
    """A bar in a terminal, a line for each quarter elsewhere; the function that it gives moves it on by one."""
    if not sys.stdout.isatty():
        return quarters(label, total)
    return rich_bar(label, total) if find_spec("rich") else plain_bar(label, total)


@contextlib.contextmanager
def rich_bar(label: str, total: int) -> Iterator[Advance]:
    """A coloured bar with the time, removed in the end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda: bar.advance(task)


@contextlib.contextmanager
def plain_bar(label: str, total: int) -> Iterator[Advance]:
    """One line that is written over and over, and removed in the end."""
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        filled = done * BAR // total
        print(f"\r{label} [{'#' * filled}{'.' * (BAR - filled)}] {done:,}/{total:,}", end="", flush=True)

    try:
        yield advance
    finally:
        print("\r\x1b[2K", end="", flush=True)


@contextlib.contextmanager
def quarters(label: str, total: int) -> Iterator[Advance]:
    """A line at the start and at every quarter."""
    done = 0
    print(f"{label}: {total:,} files", flush=True)

    def advance() -> None:
        nonlocal done
        done += 1
        if done * 4 // total > (done - 1) * 4 // total:
            print(f"{done:,} of {total:,}", flush=True)

    yield advance


def most_imported(counts: Sequence[tuple[str, int]]) -> None:
    """The modules and how often they are imported."""
    table("Imported most often", ("module", "times"), [(module, f"{count:,}") for module, count in counts])


def failed(failures: Sequence[tuple[str, Exception]]) -> None:
    """What went wrong: each kind of error with one example."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for path, error in failures:
        kinds[type(error).__name__].append(shortened(f"{Path(path).name}: {error}"))
    rows = [(kind, f"{len(cases):,}", cases[-1]) for kind, cases in sorted(kinds.items())]
    table("Failed, as they should", ("error", "files", "for example"), rows)


def shortened(text: str) -> str:
    """The first line, as far as it fits."""
    line = text.partition("\n")[0]
    return line if len(line) <= WIDEST else f"{line[: WIDEST - 1]}…"


def summary(*, done: int, failed: int, seconds: float) -> None:
    """The last line."""
    rate = (done + failed) / seconds
    print(f"{done:,} files counted, {failed:,} failed, in {seconds:.1f} s: {rate:,.0f} tasks a second.")


def table(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """A small table; the second column holds numbers."""
    if sys.stdout.isatty() and find_spec("rich"):
        rich_table(title, head, rows)
        return
    widths = [max(len(row[index]) for row in (head, *rows)) for index in range(2)]
    print(f"\n{title}\n")
    for first, number, *rest in (head, *rows):
        print(f"  {first:{widths[0]}}  {number:>{widths[1]}}  {' '.join(rest)}".rstrip())
    print()


def rich_table(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """The same with lines and colours."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for index, name in enumerate(head):
        drawn.add_column(name, justify="right" if index == 1 else "left", no_wrap=index < 2)
    for row in rows:
        drawn.add_row(*map(Text, row))
    Console().print(drawn)
