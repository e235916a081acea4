"""Workers that are stopped in order, again and again, as deployments do."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.faults.checker import Account, Diary
from tests.faults.mill import KINDS
from tests.faults.site import Site, until

pytestmark = pytest.mark.slow

RESTARTS = 30
PER_ROUND = 10
PLAIN = ("plain", "brief", "waits", "again", "early", "later", "tells", "fails")


def more_in(diary: Diary, lines: int) -> Callable[[], bool]:
    """Whether so many more lines have come than there are now."""
    goal = diary.read() + lines
    return lambda: diary.read() >= goal


def test_thirty_restarts_in_a_row_run_nothing_twice_and_nobody_dies_of_them(
    site: Site, enter: Callable[[Account], None]
) -> None:
    assert set(PLAIN) <= set(KINDS)
    ledger = site.ledger(f"{RESTARTS} restarts")
    ledger.send_mixed(site.app, 5, RESTARTS * PER_ROUND, PLAIN)
    site.witness()
    left = []
    for round_ in range(RESTARTS):
        ledger.send_mixed(site.app, 100 + round_, PER_ROUND, PLAIN)  # it may outrun who restarts it
        done = more_in(ledger.diary, PER_ROUND)
        worker = site.worker("-c", "2", "--set", "worker_prefetch_multiplier=20")
        until(done, what=ledger.account)
        for pid in [worker.process.pid] if round_ % 2 else worker.tree():
            with suppress(ProcessLookupError):  # one that has left with the node already
                os.kill(pid, signal.SIGTERM)
        assert worker.wait() == 0
        left.append(site.left())
    assert any(left), "there was something to give back"
    site.worker("-c", "2")
    ledger.wait(lambda: not site.left())
    enter(ledger.account(RESTARTS))
    ledger.check()
    assert site.written_twice() == []
