"""Tests of time limits and of runners that are replaced after enough work."""

import pytest

from tests.worker.process import EVERYWHERE, POOLS, Shop, alive, twin, wait_until
from umbel.errors import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError

pytestmark = pytest.mark.brokers(*EVERYWHERE)


@pytest.mark.parametrize("how", ["sleep", "spin", "grip", "child"])
def test_a_task_beyond_its_hard_limit_is_killed_with_what_it_started_and_fails(shop: Shop, how: str) -> None:
    shop.worker("-c", "2")
    result = shop.send("overruns", how)
    with pytest.raises(TimeLimitExceeded, match="hard time limit"):
        shop.get(result)
    assert not alive(shop.pid_of("overruns"))
    if how == "child":
        child = int(shop.wait_for_note("child")[0].split()[1])
        wait_until(lambda: not alive(child))
    assert shop.count("start overruns") == 1, "it is not run again"
    assert shop.get(shop.send("add", 1, 1)) == 2


def test_neighbours_of_a_killed_task_run_elsewhere(shop: Shop) -> None:
    shop.worker("-c", "1")
    for result in [shop.send("nothing") for _ in range(200)]:
        shop.get(result)
    limited = shop.send("overruns", "grip")
    others = [shop.send("add", n, 0) for n in range(20)]
    with pytest.raises(TimeLimitExceeded):
        shop.get(limited)
    assert [shop.get(other) for other in others] == list(range(20))
    assert shop.count("add") == 20


def test_a_limit_of_the_call_beats_the_tasks(shop: Shop) -> None:
    shop.worker("-c", "1")
    with pytest.raises(TimeLimitExceeded):
        shop.get(shop.send("hold", "a", time_limit=0.3))
    shop.go()
    assert shop.get(shop.send("hold", "b", time_limit=600)) == "b"


@pytest.mark.parametrize("pool", POOLS)
def test_a_limit_of_the_settings_holds_for_all(shop: Shop, pool: str) -> None:
    shop.worker("-P", pool, "-c", "2", "--set", "task_time_limit=0.3")
    with pytest.raises(TimeLimitExceeded):
        shop.get(shop.send(twin("hold", pool), "a"))


@pytest.mark.parametrize(
    ("pool", "name"),
    [
        ("processes", "softly"),
        ("processes", "asoftly"),
        ("solo", "softly"),
        ("threads", "softly_busy"),
        ("threads", "asoftly"),
        ("async", "softly"),
        ("async", "asoftly"),
    ],
)
def test_a_soft_limit_is_raised_in_the_task_which_may_tidy_up(shop: Shop, pool: str, name: str) -> None:
    shop.worker("-P", pool)
    assert shop.get(shop.send(name, "caught")) == "tidied up"
    with pytest.raises(SoftTimeLimitExceeded, match="soft time limit"):
        shop.get(shop.send(name, "uncaught"))
    assert shop.get(shop.send("add", 1, 1)) == 2


@pytest.mark.parametrize("pool", ["processes", "async"])
def test_a_swallowed_soft_limit_is_followed_by_the_hard_one(shop: Shop, pool: str) -> None:
    shop.worker("-P", pool, "-c", "2")
    with pytest.raises(TimeLimitExceeded):
        shop.get(shop.send(twin("softly", pool), "swallowed", time_limit=0.6))
    assert shop.count("caught") == 1


@pytest.mark.parametrize("pool", POOLS)
def test_a_timed_out_task_runs_again_when_that_was_asked_for(shop: Shop, pool: str) -> None:
    shop.worker("-P", pool, "-c", "2")
    assert shop.get(shop.send(twin("again_after_limit", pool), time_limit=0.3)) == "second time"


def test_one_that_is_never_in_time_is_not_run_for_ever(shop: Shop) -> None:
    shop.worker("-c", "1")
    result = shop.send("never_in_time")
    with pytest.raises(WorkerLostError, match="3 starts ended without a verdict"):
        shop.get(result)
    assert shop.count("start late") == 3
    shop.wait_for_buried(result.id)


def test_one_that_was_settled_before_it_started_cannot_run_again_and_fails(shop: Shop) -> None:
    shop.worker("-c", "1")
    with pytest.raises(TimeLimitExceeded):
        shop.get(shop.send("early_and_never_in_time"))
    assert shop.count("start late") == 1


def test_a_hard_limit_in_the_pool_solo_is_refused_at_the_start(shop: Shop) -> None:
    worker = shop.worker("-P", "solo", ready=False)
    assert worker.wait() == 1
    assert "cannot keep a hard time limit" in worker.text()
    assert "Traceback" not in worker.text()


def test_a_hard_limit_of_a_call_does_not_end_a_solo_worker(shop: Shop) -> None:
    worker = shop.worker("-P", "solo")
    result = shop.send("hold", "a", time_limit=0.05)
    worker.wait_for_line("which the pool solo cannot keep")
    shop.go()
    assert shop.get(result) == "a"


@pytest.mark.parametrize("pool", POOLS)
def test_a_runner_is_replaced_after_so_many_tasks(shop: Shop, pool: str) -> None:
    shop.worker("-P", pool, "-c", "1" if pool == "processes" else "2", "--set", "worker_max_tasks_per_child=3")
    pids = [shop.get(result) for result in [shop.send("pid") for _ in range(9)]]
    assert sorted(pids.count(pid) for pid in set(pids)) == [3, 3, 3]


@pytest.mark.brokers("sqlite")
def test_runners_that_were_replaced_leave_no_files(shop: Shop) -> None:
    shop.worker("-c", "1", "--set", "worker_max_tasks_per_child=1")
    pids = [shop.get(shop.send("pid")) for _ in range(4)]
    wait_until(lambda: len(list((shop.folder / "umbel.db-nodes").iterdir())) == 2, "the node's file and a runner's")
    assert len(set(pids)) == 4


def test_a_runner_that_has_swollen_is_replaced_after_its_task(shop: Shop) -> None:
    shop.worker("-c", "1", "--set", "worker_max_memory_per_child=150000")
    small = shop.get(shop.send("swells", 1))
    assert shop.get(shop.send("swells", 1)) == small
    big = shop.get(shop.send("swells", 200))
    assert big == small
    assert shop.get(shop.send("pid")) != small
