"""A rule on who reads the time of day: only an app's clock, so that a test which turns it turns everything."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.source import Source, sources

READINGS = frozenset({"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"})

MAY_READ = ("umbel/clock.py", "umbel/ids.py", "umbel/testing/conformance/")
"""The clock itself; the stamps in ids, by which nothing comes due; the suites for stores that have their own clocks."""


def wall_clocks(root: Path) -> list[str]:
    """Places in the package that read the time of day by themselves."""
    return [
        f"{source.place}:{line}: reads {reading}; ask the app's clock, or the store's"
        for source in sources(root, "umbel")
        if not source.place.startswith(MAY_READ)
        for line, reading in readings(source)
    ]


def readings(source: Source) -> Iterator[tuple[int, str]]:
    """Every mention of a function that tells the time of day, with its line."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if f"{owner}.{node.attr}" in READINGS:
                yield node.lineno, f"{owner}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            for alias in node.names:
                if f"time.{alias.name}" in READINGS:
                    yield node.lineno, f"time.{alias.name}"
