"""Keeps a test run's account: skips that nobody expected, the files that took the longest, and what is to be run again.

A skip or an expected failure is a test that does not run; each one has to stand in ``tests/expected_skips.txt`` with
its reason, or the session fails.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from pathlib import Path

import pytest

SHOWN = 10


def expected_skips(path: Path) -> dict[str, str]:
    """Node id → reason, from lines ``node id  # reason``; raises ``pytest.UsageError`` for a line without a reason."""
    expected = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        node, _, reason = (part.strip() for part in line.partition("  # "))
        if not reason:
            raise pytest.UsageError(f"{path}:{number}: a skip needs its reason: write 'node id  # reason'")
        expected[node] = reason
    return expected


class Ledger:
    """A pytest plugin for one session; ``expected`` is what ``expected_skips`` gives."""

    def __init__(self, expected: dict[str, str]) -> None:
        self.expected = expected
        self.unexpected: dict[str, str] = {}
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid.partition("::")[0]] += report.duration
        self._enter(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._enter(report)

    def _enter(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            self.failed[report.nodeid] = None
        if report.skipped and report.nodeid not in self.expected:
            why = (
                report.longrepr[2]
                if isinstance(report.longrepr, tuple)
                else f"xfail: {getattr(report, 'wasxfail', '')}"
            )
            self.unexpected[report.nodeid] = why

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unexpected and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        write = terminalreporter.write_line
        slowest = sorted(self.seconds.items(), key=lambda item: -item[1])[:SHOWN]
        if len(slowest) == SHOWN:
            terminalreporter.section("ten slowest files")
            for file, seconds in slowest:
                write(f"{seconds:8.2f} s  {file}")
        if self.unexpected:
            terminalreporter.section("unexpected skips: this fails the session", red=True)
            for node, why in self.unexpected.items():
                write(f"{node}: {why}")
        write(f"expected skips: {len(self.expected)}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """The last words after a run of an hour, because the end of its log may be all that one gets to see."""
        if self.failed:
            again = " \\\n  ".join(["python -m pytest", *map(shlex.quote, self.failed)])
            config.get_terminal_writer().line(f"to run what failed again:\n  {again}")
