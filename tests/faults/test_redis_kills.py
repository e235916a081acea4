"""Workers on Redis that are killed in part and in whole, by others and by their own tasks; and what is left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import scenarios
from tests.faults.on_redis import OnRedis
from tests.faults.scenarios import Enter
from tests.faults.site import until
from tools.redis_server import RedisServer

pytestmark = [pytest.mark.server, pytest.mark.slow]

TASKS = 200
MOST = 8
"""Kills: after one that takes the node, what it held comes back when its lease is over."""

LEASE = 4.0


@pytest.fixture
def make_site(tmp_path: Path, redis: RedisServer) -> Iterator[Callable[..., OnRedis]]:
    made: list[OnRedis] = []

    def make(backend: str = "") -> OnRedis:
        made.append(OnRedis(tmp_path, redis, lease=LEASE, backend=backend))
        return made[-1]

    yield make
    for site in made:
        site.close()


@pytest.mark.parametrize("apart", [False, True], ids=["one store", "results apart"])
@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_lost_however_a_worker_is_killed(
    seed: int, apart: bool, make_site: Callable[..., OnRedis], tmp_path: Path, enter: Enter
) -> None:
    site = make_site(f"sqlite:///{tmp_path}/results.db" if apart else "")
    ledger = site.ledger(f"Redis, kills, seed {seed}{', results apart' if apart else ''}")
    scenarios.kill_a_worker(site, ledger, enter, seed, TASKS, MOST)


def test_two_workers_do_what_either_leaves_behind(make_site: Callable[..., OnRedis], enter: Enter) -> None:
    site = make_site()
    kinds = ["whole", "node"]
    scenarios.kill_two_workers(site, site.ledger("Redis, kills, two workers"), enter, TASKS, kinds, MOST)


def test_without_a_kill_everything_is_run_exactly_once_and_nothing_is_left_behind(
    make_site: Callable[..., OnRedis], enter: Enter
) -> None:
    site = make_site()
    worker = scenarios.disturb_nothing(site, site.ledger("Redis, no kills"), enter, TASKS)
    worker.process.terminate()
    worker.wait()
    lasting = {key for key, seconds in site.keys().items() if seconds < 0}
    assert lasting == {"_kombu.binding.celery", "umbel.queues"}


def test_when_every_expiry_has_passed_as_many_keys_are_there_as_before(make_site: Callable[..., OnRedis]) -> None:
    site = make_site()
    site.environ |= {"UMBEL_RESULT_EXPIRES": "2", "UMBEL_DEAD_LETTER_EXPIRES": "2"}
    counts = []
    for round_ in range(2):
        worker = site.worker("-c", "2")
        ledger = site.ledger("Redis, keys")
        ledger.send_mixed(site.app, round_, 60, ("plain", "again", "fails", "refuses", "later", "tells", "ignores"))
        until(lambda ledger=ledger: not site.left() and site.notes.read() > 0, what=ledger.account)  # type: ignore[misc]
        worker.process.terminate()
        worker.wait()
        until(lambda: all(seconds < 0 for seconds in site.keys().values()), what=site.keys)
        counts.append(site.keys())
    assert counts[0] == counts[1]


def test_poison_that_kills_the_whole_worker_is_bounded_and_its_neighbours_live(
    make_site: Callable[..., OnRedis], enter: Enter
) -> None:
    site = make_site()
    supervisor = scenarios.poison_a_worker(site, site.ledger("Redis, poison, worker"), enter)
    assert supervisor.restarts == 3
    assert len(site.dead()) == 1


def test_a_task_may_take_longer_than_any_lease_with_its_runner_stopped(
    make_site: Callable[..., OnRedis], tmp_path: Path
) -> None:
    site = make_site()
    first, second = site.worker("-c", "1"), site.worker("-c", "1")
    held = site.app.send_task("poison.hold", ["go"])
    pid = int(site.wait_for_note("hold")[0].split()[-1])
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    while time.monotonic() - began < 3 * LEASE:
        assert site.count("hold") == 1
        time.sleep(0.1)
    os.kill(pid, signal.SIGCONT)
    site.go()
    assert site.get(held) is None
    assert site.count("hold") == 1
    assert "ended before" not in first.text() + second.text()
