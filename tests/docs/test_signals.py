"""Holds the tables of docs/signals.md against the signals that there are."""

from __future__ import annotations

from pathlib import Path

from tests.docs.pages import quoted, sections, tables
from umbel import signals
from umbel.app import Umbel
from umbel.declared import Declared
from umbel.signals import Signal


def test_every_signal_is_told_of_with_its_arguments(root: Path) -> None:
    page = (root / "docs" / "signals.md").read_text()
    told = {
        quoted(row[0])[0]: frozenset(quoted(row[1]))
        for table in tables(page)
        if table[0] == ["signal", "arguments", "where"]
        for row in table[1:]
    }
    app = Umbel("doc", broker="memory://signals-page", set_as_current=False)
    own = [app.on_configure, app.on_after_configure, app.on_after_finalize, app.on_after_fork]
    every = [*(each for each in vars(signals).values() if isinstance(each, Signal)), *own]
    assert told == {each.name: each.arguments for each in every}
    assert all(getattr(signals, each.name) is each for each in every if each not in own)


def test_every_handler_is_told_of(root: Path) -> None:
    page = (root / "docs" / "signals.md").read_text()
    (table,) = tables(sections(page)["Handlers"])
    handlers = {quoted(row[0])[0].partition("(")[0] for row in table[1:]}
    prefixes = ("before_", "on_", "after_")
    assert handlers == {name for name in vars(Declared) if name.startswith(prefixes)}
