"""Workers on a Redis Cluster that are killed in part and in whole, while their slot goes from server to server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults import scenarios
from tests.faults.on_redis import OnCluster
from tests.faults.scenarios import Enter
from tools.redis_cluster import RedisCluster

pytestmark = [pytest.mark.server, pytest.mark.slow]

TASKS = 100
MOST = 6
LEASE = 4.0
MOVES = 15
PAUSE = 0.2


@pytest.fixture
def site(tmp_path: Path, redis_cluster: RedisCluster) -> Iterator[OnCluster]:
    made = OnCluster(tmp_path, redis_cluster, LEASE)
    yield made
    made.close()


@contextmanager
def wandering(site: OnCluster) -> Iterator[None]:
    """The slot of the queue goes from server to server, many times in the block."""
    over, cluster, key = threading.Event(), site.cluster, site.layout.claims
    slot, moves = cluster.slot(key), list[int]()

    def wander() -> None:
        while not over.wait(PAUSE) and len(moves) < MOVES:
            giver = cluster.owner(key)
            at = cluster.primaries.index(giver) + 1
            cluster.move(slot, giver, cluster.primaries[at % len(cluster.primaries)])
            moves.append(at)

    thread = threading.Thread(target=wander)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert len(moves) == MOVES


def test_without_a_kill_everything_is_run_exactly_once_and_nothing_is_left_behind(
    site: OnCluster, enter: Enter
) -> None:
    worker = scenarios.disturb_nothing(site, site.ledger("Redis Cluster, no kills"), enter, TASKS)
    worker.process.terminate()
    worker.wait()
    assert {key for key, seconds in site.keys().items() if seconds < 0} == {"umbel.queues"}


def test_nothing_is_lost_however_a_worker_is_killed_while_slots_are_moved(site: OnCluster, enter: Enter) -> None:
    ledger = site.ledger("Redis Cluster, kills, a slot that moves")
    with wandering(site):
        scenarios.kill_a_worker(site, ledger, enter, 1, TASKS, MOST)
