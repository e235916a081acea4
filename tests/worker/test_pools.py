"""Tests of what the pools do differently: many tasks in one process, on threads or on a loop."""

import os
import signal

import pytest

from tests.worker.process import Shop, alive, twin, wait_until
from umbel.errors import TaskRevokedError, TimeLimitExceeded, WorkerLostError

SHARED = pytest.mark.parametrize("pool", ["threads", "async"])


@SHARED
def test_many_run_at_once_in_one_process_and_each_sees_its_own(shop: Shop, pool: str) -> None:
    shop.worker("-P", pool, "-c", "8")
    name = twin("looks_round", pool)
    for _ in range(2):  # a second task in the same thread or slot sees nothing of the first
        results = {f"t{n}": shop.send(name, f"t{n}") for n in range(8)}
        for task in results:
            shop.wait_for_note(f"looks {task}")
        shop.go()
        for task, result in results.items():
            assert shop.get(result) == ["nobody", [result.id, result.id, task]]
        (shop.folder / "go").unlink()
        (shop.folder / "diary").unlink()


@SHARED
def test_no_more_run_at_once_than_there_are_slots_and_the_rest_follows(shop: Shop, pool: str) -> None:
    shop.worker("-P", pool, "-c", "3")
    results = [shop.send(twin("hold", pool), f"t{n}", "go" if n else "never") for n in range(7)]
    shop.wait_for_note("start", 3)
    assert len({shop.pid_of(f"t{n}") for n in range(3)}) == 1
    assert shop.count("start") == 3
    shop.go()
    assert [shop.get(result) for result in results[1:]] == [f"t{n}" for n in range(1, 7)], (
        "nobody waits behind the first"
    )
    shop.go("never")
    assert shop.get(results[0]) == "t0"


def test_plain_functions_run_one_by_one_and_keep_no_coroutine_waiting(shop: Shop) -> None:
    shop.worker("-P", "async", "-c", "4")
    first, second = shop.send("hold", "first"), shop.send("hold", "second")
    shop.wait_for_note("start")
    for _ in range(5):
        assert shop.get(shop.send("fetch", "x")).startswith("x ")
    assert shop.count("start") == 1
    shop.go()
    assert [shop.get(first), shop.get(second)] == ["first", "second"]
    assert [line.split()[0] for line in shop.diary()] == ["start", "end", "start", "end"]


def test_one_that_waits_for_the_main_thread_is_terminated_without_harm_to_others(shop: Shop) -> None:
    shop.worker("-P", "async", "-c", "4")
    first, second = shop.send("hold", "first"), shop.send("hold", "second")
    pid = shop.pid_of("first")
    shop.app.revoke(second.id, terminate=True)
    with pytest.raises(TaskRevokedError):
        shop.get(second)
    shop.go()
    assert shop.get(first) == "first"
    assert shop.get(shop.send("pid")) == pid
    assert shop.count("start") == 1


def test_a_soft_limit_counts_from_the_start_of_a_plain_function(shop: Shop) -> None:
    shop.worker("-P", "async", "-c", "4")
    first = shop.send("hold", "first")
    shop.wait_for_note("start first")
    late = shop.send("hold", "late", soft_time_limit=0.2)
    assert shop.get(shop.send("asoftly", "caught")) == "tidied up"  # a limit of the same length is over meanwhile
    shop.go()
    assert [shop.get(first), shop.get(late)] == ["first", "late"]


def test_a_coroutine_beyond_its_hard_limit_is_cancelled_and_its_runner_lives(shop: Shop) -> None:
    shop.worker("-P", "async", "-c", "4")
    neighbour = shop.send("ahold", "a")
    pid = shop.pid_of("a")
    with pytest.raises(TimeLimitExceeded, match="hard time limit"):
        shop.get(shop.send("aoverruns", "obeys", time_limit=0.3))
    shop.go()
    assert shop.get(neighbour) == "a"
    assert (shop.count("cancelled"), shop.count("start a ")) == (1, 1)
    assert shop.get(shop.send("pid")) == pid


@pytest.mark.parametrize(
    ("pool", "name", "how"),
    [("threads", "overruns", "grip"), ("async", "overruns", "spin"), ("async", "aoverruns", "refuses")],
)
def test_one_that_cannot_be_cancelled_takes_its_runner_with_it(shop: Shop, pool: str, name: str, how: str) -> None:
    worker = shop.worker("-P", pool, "-c", "4")
    assert shop.get(shop.send("add", 0, 0)) == 0
    limited = shop.send(name, how, time_limit=0.3)
    with pytest.raises(TimeLimitExceeded):
        shop.get(limited)
    assert shop.get(shop.send("add", 1, 1)) == 2
    assert "is killed for task" in worker.text()


def test_neighbours_of_one_that_cannot_be_cancelled_may_end(shop: Shop) -> None:
    worker = shop.worker("-P", "threads", "-c", "4")
    neighbour = shop.send("hold", "a")
    shop.wait_for_note("start a")
    limited = shop.send("overruns", "sleep")
    worker.wait_for_line("1 others in it have up to 10 s to end")
    assert shop.get(shop.send("add", 1, 1)) == 2, "a new runner takes what comes"
    assert not limited.ready()
    shop.go()
    assert shop.get(neighbour) == "a"
    with pytest.raises(TimeLimitExceeded):
        shop.get(limited)
    assert (shop.count("start a"), shop.count("end a")) == (1, 1)


def test_neighbours_that_were_killed_are_run_again_and_not_counted(shop: Shop) -> None:
    shop.environ["UMBEL_TASK_MAX_STARTS"] = "1"
    worker = shop.worker("-P", "threads", "-c", "4")
    neighbour = shop.send("hold", "a")
    shop.wait_for_note("start a")
    with pytest.raises(TimeLimitExceeded):
        shop.get(shop.send("overruns", "sleep"))
    shop.wait_for_note("start a", 2)
    shop.go()
    assert shop.get(neighbour) == "a"
    assert worker.text().count("is killed for task") == 1


@SHARED
def test_one_that_runs_is_terminated_if_asked(shop: Shop, pool: str) -> None:
    shop.worker("-P", pool, "-c", "2")
    result = shop.send(twin("hold", pool), "a", "never")
    pid = shop.pid_of("a")
    result.revoke(terminate=True)
    with pytest.raises(TaskRevokedError, match="terminated"):
        shop.get(result)
    assert result.state == "REVOKED"
    assert shop.get(shop.send("add", 1, 1)) == 2
    assert alive(pid) is (pool == "async"), "a coroutine is cancelled, a thread takes its process with it"
    assert (shop.count("start a"), shop.count("end a")) == (1, 0)


@SHARED
def test_innocents_beside_one_that_kills_its_process_are_done(shop: Shop, pool: str) -> None:
    shop.worker("-P", pool, "-c", "4")
    innocents = [shop.send(twin("hold", pool), f"t{n}") for n in range(3)]
    shop.wait_for_note("start t", 3)
    poison = shop.send("exit_process")
    shop.wait_for_note("start exit", 2)
    shop.go()  # from now on, each that was there both times runs alone
    with pytest.raises(WorkerLostError, match="task_max_starts=3"):
        shop.get(poison)
    assert shop.count("start exit") == 3
    assert [letter.id for letter in shop.app.dead.list()] == [poison.id]
    assert [shop.get(innocent) for innocent in innocents] == ["t0", "t1", "t2"]
    assert shop.get(shop.send("add", 1, 1)) == 2


@SHARED
def test_a_replaced_runner_lets_its_long_task_end_while_another_takes_what_comes(shop: Shop, pool: str) -> None:
    worker = shop.worker("-P", pool, "-c", "2", "--set", "worker_max_tasks_per_child=2")
    long = shop.send(twin("hold", pool), "long")
    first = shop.pid_of("long")
    assert shop.get(shop.send("pid")) == first
    for _ in range(4):
        assert shop.get(shop.send("pid")) != first
    shop.go()
    assert shop.get(long) == "long"
    wait_until(lambda: not alive(first), "the first runner's end")
    assert worker.process.poll() is None


def test_a_stopped_runner_of_many_is_said_and_its_tasks_run_again(shop: Shop) -> None:
    worker = shop.worker("-P", "async", "-c", "3", "--set", "worker_deaf_timeout=1")
    results = [shop.send("ahold", f"t{n}") for n in range(2)]
    shop.wait_for_note("start", 2)
    os.kill(shop.pid_of("t0"), signal.SIGSTOP)
    shop.wait_for_note("start", 4)
    shop.go()
    assert [shop.get(result) for result in results] == ["t0", "t1"]
    assert "worker_deaf_timeout" in worker.text()


@pytest.mark.parametrize(("asked", "pool"), [("gevent", "threads"), ("prefork", "processes")])
def test_pools_of_other_names_are_understood(shop: Shop, asked: str, pool: str) -> None:
    worker = shop.worker("-P", asked, "-c", "2")
    assert shop.get(shop.send("add", 1, 1)) == 2
    assert f"pool     {pool}, 2 tasks at once" in worker.text()
    assert worker.text().count("There is no pool 'gevent': the pool 'threads'") == (asked == "gevent")


def test_an_unknown_pool_is_refused_with_the_nearest(shop: Shop) -> None:
    worker = shop.worker("-P", "thread", ready=False)
    assert worker.wait() != 0
    assert "did you mean 'threads'?" in worker.text()
    assert "Traceback" not in worker.text()
