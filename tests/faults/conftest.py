"""A site for real workers, and the table of all scenarios at the end of the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.checker import Account, table
from tests.faults.site import Site

ACCOUNTS: list[Account] = []


@pytest.fixture
def enter() -> Callable[[Account], None]:
    """Puts a scenario's account into the table."""
    return ACCOUNTS.append


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A folder, a broker file, real workers; they are gone afterwards."""
    place = Site(tmp_path)
    yield place
    place.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if ACCOUNTS:
        terminalreporter.section("fault scenarios")
        for line in table(ACCOUNTS):
            terminalreporter.write_line(line)
