"""Real workers that are killed again and again, in part and in whole: nothing that was accepted is lost."""

from __future__ import annotations

import math

import pytest

from tests.faults import scenarios
from tests.faults.scenarios import LATE, Enter, ended
from tests.faults.site import Site, until
from umbel.errors import WorkerLostError

pytestmark = pytest.mark.slow

TASKS = 300


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_lost_however_a_worker_is_killed(seed: int, site: Site, enter: Enter) -> None:
    scenarios.kill_a_worker(site, site.ledger(f"kills, seed {seed}"), enter, seed, TASKS, math.inf)


def test_two_workers_do_what_either_leaves_behind(site: Site, enter: Enter) -> None:
    kinds = ["whole", "node", "runner"]
    scenarios.kill_two_workers(site, site.ledger("kills, two workers"), enter, TASKS, kinds, math.inf)


def test_without_a_kill_everything_is_run_exactly_once(site: Site, enter: Enter) -> None:
    scenarios.disturb_nothing(site, site.ledger("no kills"), enter, TASKS)


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
    supervisor = scenarios.poison_a_worker(site, site.ledger("poison, worker"), enter)
    assert supervisor.restarts == 3
    assert len(site.dead()) == 1
