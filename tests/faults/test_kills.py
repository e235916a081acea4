"""Real workers that are killed again and again, in part and in whole: nothing that was accepted is lost."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from tests.faults.checker import Account, Ledger
from tests.faults.mill import KINDS
from tests.faults.site import Killer, Site, Supervisor, until
from umbel.errors import WorkerLostError

pytestmark = pytest.mark.slow

TASKS = 300
KILLS = 5
"""There are at least so many."""
MORE = 60
PATIENT = ("--set", "task_max_starts=50")
"""Kills come every few milliseconds: the same task may be hit three times, and is no poison for that."""
HOWS = ["runner"] * 4 + ["node"] * 2 + ["whole"] * 2 + ["server"]
"""What is killed, as often in proportion."""
FATAL = ["whole", "node", "runner"]

GOOD = ("plain", "brief", "waits", "tells", "again")

LATE = [name for name, kind in KINDS.items() if not kind.once]
"""What is settled after its end, and may be run again."""

Enter = Callable[[Account], None]


def enough(ledger: Ledger, site: Site) -> Callable[[], None]:
    """Sends more when little is left and not enough has been killed: a worker may outrun its killer."""
    rounds = itertools.count(1000)

    def look() -> None:
        if ledger.killed < KILLS and site.left() < MORE:
            ledger.send_mixed(site.app, next(rounds), MORE)

    return look


def ended(ledger: Ledger, site: Site, least: int = 0) -> Callable[[], bool]:
    """Whether everything has its end and nothing is left in the queue, after at least so many kills."""

    def look() -> bool:
        ledger.look()
        return ledger.killed >= least and not ledger.open() and not site.left()

    return look


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_lost_however_a_worker_is_killed(seed: int, site: Site, enter: Enter) -> None:
    ledger = site.ledger(f"kills, seed {seed}")
    ledger.send_mixed(site.app, seed, TASKS)
    site.witness()
    supervisor = Supervisor(site, "-c", "2", *PATIENT)
    killer = Killer(ledger, supervisor, random.Random(seed), HOWS)
    until(ended(ledger, site, KILLS), supervisor.look, killer.look, enough(ledger, site), what=ledger.account)
    enter(ledger.account())
    ledger.check(may_repeat=LATE)
    assert site.written_twice() == []


def test_two_workers_do_what_either_leaves_behind(site: Site, enter: Enter) -> None:
    ledger = site.ledger("kills, two workers")
    ledger.send_mixed(site.app, 77, TASKS)
    site.witness()
    supervisors = [Supervisor(site, "-c", "1", *PATIENT) for _ in range(2)]
    killers = [Killer(ledger, each, random.Random(at), FATAL) for at, each in enumerate(supervisors)]
    looks = [each.look for each in supervisors] + [each.look for each in killers]
    until(ended(ledger, site, KILLS), *looks, enough(ledger, site), what=ledger.account)
    enter(ledger.account())
    ledger.check(may_repeat=LATE)
    assert site.written_twice() == []


def test_without_a_kill_everything_is_run_exactly_once(site: Site, enter: Enter) -> None:
    ledger = site.ledger("no kills")
    ledger.send_mixed(site.app, 78, TASKS)
    site.witness()
    site.worker("-c", "2")
    until(ended(ledger, site), what=ledger.account)
    enter(ledger.account())
    ledger.check()
    assert site.written_twice() == []


def test_poison_that_kills_its_runner_is_bounded_and_its_neighbours_live(site: Site, enter: Enter) -> None:
    ledger = site.ledger("poison, runner")
    poison = [site.app.send_task("poison.runner") for _ in range(3)]
    ledger.send_mixed(site.app, 79, 100)
    site.witness()
    worker = site.worker("-c", "2")
    until(ended(ledger, site), what=ledger.account)
    enter(ledger.account())
    for result in poison:
        with pytest.raises(WorkerLostError, match=r"SIGKILL.*3 starts ended without a verdict"):
            site.get(result)
        assert site.count(f"poison {result.id}") == 3
        assert result.id in site.dead()
    ledger.check(may_repeat=LATE)  # what had ended in the runner's last moment was not settled yet
    assert site.written_twice() == []
    assert worker.process.poll() is None


def test_poison_that_kills_the_whole_worker_is_bounded_and_its_neighbours_live(site: Site, enter: Enter) -> None:
    ledger = site.ledger("poison, worker")
    ledger.send_mixed(site.app, 80, 25, GOOD)
    poison = site.app.send_task("poison.worker")
    ledger.send_mixed(site.app, 81, 25, GOOD)
    site.witness()
    supervisor = Supervisor(site, "-c", "2", "--set", "worker_prefetch_multiplier=60")
    until(ended(ledger, site), supervisor.look, what=ledger.account)
    ledger.killed = supervisor.restarts
    enter(ledger.account())
    with pytest.raises(WorkerLostError, match="3 starts ended without a verdict"):
        site.get(poison)
    assert site.count(f"poison {poison.id}") == 3
    assert supervisor.restarts == 3
    assert set(site.dead()) == {poison.id}
    ledger.check(may_repeat=GOOD)
    assert site.written_twice() == []
    assert site.get(site.app.send_task("poison.answer")) == 42
