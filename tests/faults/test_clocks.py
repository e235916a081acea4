"""The clock on the wall jumps under a running worker: leases do not follow it, times that people mean do."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.faults.alone import Worker
from tests.faults.checker import Account, Ledger
from tests.faults.mill import open_mill
from tests.faults.site import Site, until
from umbel.app import Umbel
from umbel.clock import SystemClock

HOUR = 3600.0
NOT_LATER = ("plain", "brief", "waits", "tells", "fails", "refuses", "early")
"""A retry is for later, too: one that is put off while the clock is wrong is due when that clock says so."""

Enter = Callable[[Account], None]


class JumpingClock(SystemClock):
    """The machine's clocks, the one on the wall wrong by ``offset`` seconds; counts how often leases are looked at."""

    def __init__(self) -> None:
        self.offset = 0.0
        self.leases = 0

    def now(self) -> float:
        return time.time() + self.offset

    def boot(self) -> float:
        self.leases += 1
        return super().boot()


def with_clock(site: Site, clock: JumpingClock) -> Umbel:
    """An app in this process, on the site's file, that lives by this clock."""
    app = open_mill(Umbel("jumping", broker=site.url, set_as_current=False), site.folder / "diary")
    app.clock = clock
    app.broker.keeper.clock = clock  # type: ignore[attr-defined]
    return app


def jump_about(clock: JumpingClock, ledger: Ledger) -> None:
    """Set the clock an hour ahead, an hour behind and right again, while tasks run and leases are looked at."""

    def gone_on(runs: int, leases: int) -> Callable[[], bool]:
        return lambda: ledger.diary.read() >= runs and clock.leases >= leases

    for offset in (HOUR, -HOUR, HOUR, 0.0):
        clock.offset = offset
        until(gone_on(ledger.diary.read() + 20, clock.leases + 20), what=ledger.account)


def test_a_worker_whose_clock_jumps_does_everything_once(site: Site, enter: Enter) -> None:
    clock = JumpingClock()
    app = with_clock(site, clock)
    ledger = site.ledger("clock jumps")
    ledger.send_mixed(site.app, 21, 300, NOT_LATER)
    with Worker(app):
        jump_about(clock, ledger)
        ledger.wait()
    enter(ledger.account(4))
    ledger.check()
    assert not site.left()


@pytest.mark.slow
def test_a_worker_whose_clock_jumps_takes_nothing_from_its_neighbour(site: Site, enter: Enter) -> None:
    site.worker("-c", "1")
    held = site.app.send_task("poison.hold", ["go"])
    site.wait_for_note("hold")
    clock = JumpingClock()
    app = with_clock(site, clock)
    ledger = site.ledger("clock jumps, two workers")
    ledger.send_mixed(site.app, 22, 300, NOT_LATER)
    with Worker(app):
        jump_about(clock, ledger)
        site.go()
        ledger.wait()
    enter(ledger.account(4))
    site.get(held)
    assert site.count("hold") == 1
    ledger.check()


def test_what_is_due_follows_the_clock_on_the_wall(site: Site, enter: Enter) -> None:
    clock = JumpingClock()
    app = with_clock(site, clock)
    ledger = site.ledger("a clock is set forward")
    for _ in range(20):
        ledger.send(site.app, "later", countdown=HOUR / 2)
    with Worker(app):
        ledger.send(site.app, "plain")
        until(lambda: ledger.diary.read() == 1, what=ledger.account)
        clock.offset = HOUR
        ledger.wait()
    enter(ledger.account(1))
    ledger.check()


def test_a_clock_that_is_set_back_holds_nothing_up_that_is_due_now(site: Site, enter: Enter) -> None:
    clock = JumpingClock()
    app = with_clock(site, clock)
    ledger = site.ledger("a clock is set back")
    with Worker(app):
        ledger.send(site.app, "plain")
        ledger.wait()
        clock.offset = -HOUR
        for _ in range(20):
            ledger.send(site.app, "again")
            ledger.send(site.app, "plain")
        ledger.wait()
    enter(ledger.account(1))
    ledger.check()
