"""Workers on Redis that are killed in part and in whole, by others and by their own tasks; and what is left behind."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.checker import Account
from tests.faults.on_redis import OnRedis
from tests.faults.site import Killer, Supervisor, until
from tests.faults.test_kills import GOOD, HOWS, KILLS, LATE, PATIENT, ended, enough
from tools.redis_server import RedisServer
from umbel.errors import WorkerLostError

pytestmark = [pytest.mark.server, pytest.mark.slow]

TASKS = 200
MOST = 8
"""Kills: after one that takes the node, what it held comes back when its lease is over."""

LEASE = 4.0

Enter = Callable[[Account], None]


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
    ledger.send_mixed(site.app, seed, TASKS)
    site.witness()
    supervisor = Supervisor(site, "-c", "2", *PATIENT)
    killer = Killer(ledger, supervisor, random.Random(seed), HOWS)

    def kill() -> None:
        if ledger.killed < MOST:
            killer.look()

    until(ended(ledger, site, KILLS), supervisor.look, kill, enough(ledger, site), what=ledger.account)
    enter(ledger.account())
    ledger.check(may_repeat=LATE)
    assert site.written_twice() == []


def test_two_workers_do_what_either_leaves_behind(make_site: Callable[..., OnRedis], enter: Enter) -> None:
    site = make_site()
    ledger = site.ledger("Redis, kills, two workers")
    ledger.send_mixed(site.app, 77, TASKS)
    site.witness()
    supervisors = [Supervisor(site, "-c", "1", *PATIENT) for _ in range(2)]
    killers = [Killer(ledger, each, random.Random(at), ["whole", "node"]) for at, each in enumerate(supervisors)]

    def kill() -> None:
        for killer in killers:
            if ledger.killed < MOST:
                killer.look()

    looks = [each.look for each in supervisors]
    until(ended(ledger, site, KILLS), *looks, kill, enough(ledger, site), what=ledger.account)
    enter(ledger.account())
    ledger.check(may_repeat=LATE)
    assert site.written_twice() == []


def test_without_a_kill_everything_is_run_exactly_once_and_nothing_is_left_behind(
    make_site: Callable[..., OnRedis], enter: Enter
) -> None:
    site = make_site()
    ledger = site.ledger("Redis, no kills")
    ledger.send_mixed(site.app, 78, TASKS)
    site.witness()
    worker = site.worker("-c", "2")
    until(ended(ledger, site), what=ledger.account)
    enter(ledger.account())
    ledger.check()
    assert site.written_twice() == []
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
    ledger = site.ledger("Redis, poison, worker")
    ledger.send_mixed(site.app, 80, 25, GOOD)
    poison = site.app.send_task("poison.worker")
    ledger.send_mixed(site.app, 81, 25, GOOD)
    site.witness()
    supervisor = Supervisor(site, "-c", "2", "--set", "worker_prefetch_multiplier=60")
    until(lambda: poison.ready() and ended(ledger, site)(), supervisor.look, what=ledger.account)
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


def test_a_task_may_take_longer_than_any_lease_with_its_runner_stopped_or_holding_the_interpreter(
    make_site: Callable[..., OnRedis], tmp_path: Path
) -> None:
    import os
    import signal

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
