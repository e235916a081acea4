"""Tests of processes that die: runners, the node, the whole tree."""

import os
import signal
import time

import pytest

from tests.worker.process import EVERYWHERE, POOLS, Shop, alive, children, twin, wait_until
from umbel.errors import WorkerLostError

pytestmark = pytest.mark.brokers(*EVERYWHERE)


@pytest.mark.parametrize("pool", POOLS)
def test_a_killed_runners_task_runs_again_at_once_on_another(shop: Shop, pool: str) -> None:
    shop.worker("-P", pool, "-c", "2")
    result = shop.send(twin("hold", pool), "a")
    victim = shop.pid_of("a")
    os.kill(victim, signal.SIGKILL)
    shop.wait_for_note("start a", 2)
    assert shop.pid_of("a") != victim
    shop.go()
    assert shop.get(result) == "a"
    assert (shop.count("start a"), shop.count("end a")) == (2, 1)


@pytest.mark.parametrize("pool", POOLS)
def test_a_task_acknowledged_early_fails_with_its_runner_and_is_not_run_again(shop: Shop, pool: str) -> None:
    shop.worker("-P", pool, "-c", "2")
    result = shop.send(twin("hold_early", pool), "a")
    others = [shop.send("add", n, 0) for n in range(10)]
    os.kill(shop.pid_of("a"), signal.SIGKILL)
    with pytest.raises(WorkerLostError, match="SIGKILL"):
        shop.get(result)
    assert [shop.get(other) for other in others] == list(range(10))
    assert shop.count("start a") == 1


@pytest.mark.parametrize("pool", POOLS)
def test_a_task_that_must_not_run_again_fails_with_its_runner(shop: Shop, pool: str) -> None:
    shop.worker("-P", pool, "-c", "2")
    result = shop.send(twin("hold_once", pool), "a")
    os.kill(shop.pid_of("a"), signal.SIGKILL)
    with pytest.raises(WorkerLostError, match="reject_on_worker_lost"):
        shop.get(result)
    assert shop.count("start a") == 1


@pytest.mark.parametrize("pool", POOLS)
def test_runners_leave_when_their_node_is_killed_and_start_nothing_more(shop: Shop, pool: str) -> None:
    worker = shop.worker("-P", pool, "-c", "2")
    results = [shop.send(twin("hold", pool), f"t{n}") for n in range(6)]
    shop.wait_for_note("start", 2)
    runners = [pid for pid in worker.tree() if pid != worker.process.pid]
    os.kill(worker.process.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(alive, runners)), "the runners' end")
    assert shop.count("start") == 2
    shop.worker("-P", pool, "-c", "2")
    shop.go()
    assert [shop.get(result) for result in results] == [f"t{n}" for n in range(6)]
    assert shop.count("end") == 6
    assert shop.count("start") == 8


@pytest.mark.brokers("sqlite", "redis")  # RabbitMQ hands on what was claimed when the node's connection ends
def test_a_runner_that_holds_the_interpreter_keeps_its_claim_until_it_leaves(shop: Shop) -> None:
    worker = shop.worker("-c", "1")
    result = shop.send("grip")
    runner = shop.pid_of("grip")
    other = shop.worker("-c", "1")
    held = shop.send("hold", "a")
    shop.wait_for_note("start a")
    os.kill(worker.process.pid, signal.SIGKILL)
    other.kill_tree()
    shop.worker("-c", "2")
    if shop.url.startswith("sqlite:"):  # on Redis, what any of the dead ones held comes when its lease is over
        shop.wait_for_note("start a", 2)
    assert shop.get(shop.send("add", 1, 1)) == 2
    assert alive(runner)
    assert shop.count("start grip") == 1, "nobody starts it while the first process may still be at it"
    shop.let_go()
    wait_until(lambda: not alive(runner), "the gripping runner's end")
    shop.go()
    assert [shop.get(result), shop.get(held)] == ["let go", "a"]
    assert shop.count("start grip") == 2


@pytest.mark.parametrize("pool", POOLS)
def test_after_killing_everything_a_new_worker_does_every_task(shop: Shop, pool: str) -> None:
    worker = shop.worker("-P", pool, "-c", "2")
    results = [shop.send(twin("hold", pool), f"t{n}") for n in range(100)]
    shop.wait_for_note("start", 2)
    worker.kill_tree()
    began = time.monotonic()
    shop.go()
    shop.worker("-P", pool, "-c", "2")
    assert [shop.get(result) for result in results] == [f"t{n}" for n in range(100)]
    assert time.monotonic() - began < 30, "the promise: a lease at most"
    assert shop.count("start") == 102


def test_another_worker_takes_over_at_once(shop: Shop) -> None:
    first = shop.worker("-c", "1")
    result = shop.send("hold", "a")
    shop.wait_for_note("start a")
    shop.worker("-c", "1")
    first.kill_tree()
    shop.wait_for_note("start a", 2)
    shop.go()
    assert shop.get(result) == "a"


def test_a_killed_fork_server_is_replaced_when_it_is_needed(shop: Shop) -> None:
    worker = shop.worker("-c", "2")
    shop.get(shop.send("add", 0, 0))
    server = next(pid for pid in children(worker.process.pid) if "forkserver" in command(pid) and children(pid))
    os.kill(server, signal.SIGKILL)
    result = shop.send("hold", "a")
    os.kill(shop.pid_of("a"), signal.SIGKILL)
    shop.go()
    assert shop.get(result) == "a"
    assert shop.get(shop.send("add", 1, 1)) == 2


def test_what_a_killed_task_had_started_goes_with_it(shop: Shop) -> None:
    shop.worker("-c", "1")
    shop.send("spawns")
    child = int(shop.wait_for_note("child")[0].split()[1])
    runner = next(pid for pid in shop.workers[0].tree() if child in children(pid) and "forkserver" in command(pid))
    assert alive(child)
    runners = [pid for pid in shop.workers[0].tree() if children(pid) == [child]]
    assert runner
    os.kill(runners[0], signal.SIGKILL)
    wait_until(lambda: not alive(child), "the end of the task's subprocess")


@pytest.mark.parametrize("pool", POOLS)
def test_a_handler_that_kills_every_runner_does_not_keep_the_record_from_being_written(shop: Shop, pool: str) -> None:
    worker = shop.worker("-P", pool, "-c", "2")
    result = shop.send("fatal")
    with pytest.raises(WorkerLostError, match="task_max_starts=3"):
        shop.get(result)
    assert (shop.count("start fatal"), shop.count("on_failure")) == (3, 2)
    assert "settled by the node itself" not in worker.text()
    assert shop.get(shop.send("add", 1, 1)) == 2


def test_neighbours_of_a_stopped_runner_are_done_by_others(shop: Shop) -> None:
    shop.worker("-c", "2")
    for result in [shop.send("nothing") for _ in range(300)]:
        shop.get(result)
    stuck = shop.send("hold", "a")
    stopped = shop.pid_of("a")
    os.kill(stopped, signal.SIGSTOP)
    try:
        for result in [shop.send("add", n, 0) for n in range(50)]:
            shop.get(result)
    finally:
        os.kill(stopped, signal.SIGCONT)
    shop.go()
    assert shop.get(stuck) == "a"
    assert shop.count("start a") == 1


def command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read()
    except OSError:
        return ""
