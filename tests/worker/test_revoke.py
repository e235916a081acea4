"""Tests of calls that are taken back, on real workers."""

from pathlib import Path

import pytest

from tests.worker.process import EVERYWHERE, Shop, Worker, alive, twin, wait_until
from umbel.errors import ConfigurationError, TaskRevokedError
from umbel.result import AsyncResult

pytestmark = pytest.mark.brokers(*EVERYWHERE)
AT_ONCE = pytest.mark.brokers("sqlite", "redis")  # what waits on RabbitMQ is revoked when its turn comes


def claimed(shop: Shop) -> bool:
    """Whether a worker has taken everything that was sent."""
    return shop.waiting() == 0


def crammed(shop: Shop, slots: int, pool: str = "processes") -> Worker:
    """A worker that takes many messages ahead."""
    shop.environ["UMBEL_WORKER_PREFETCH_MULTIPLIER"] = "100"
    return shop.worker("-P", pool, "-c", str(slots))


def assert_revoked(result: AsyncResult[object]) -> None:
    assert result.state == "REVOKED"
    with pytest.raises(TaskRevokedError, match="revoked"):
        result.get(timeout=1)


@AT_ONCE
def test_a_call_that_waits_is_revoked_at_once_and_not_run(shop: Shop) -> None:
    kept, result = shop.send("add", 1, 1), shop.send("add", 2, 2)
    result.revoke()
    assert_revoked(result)
    shop.worker("-c", "1")
    assert shop.get(kept) == 2
    assert shop.get(shop.send("add", 3, 3)) == 6
    assert shop.diary() == ["add 1 1", "add 3 3"]


@AT_ONCE
def test_a_call_for_later_is_revoked_at_once(shop: Shop) -> None:
    shop.worker("-c", "1")
    result = shop.send("add", 2, 2, countdown=3600)
    shop.app.revoke(result.id)
    assert_revoked(result)
    assert claimed(shop)


@AT_ONCE
def test_a_retry_that_waits_for_its_time_is_revoked_at_once(shop: Shop) -> None:
    shop.worker("-c", "1")
    result = shop.send("waits_to_retry")
    wait_until(lambda: result.state == "RETRY")
    result.revoke()
    assert_revoked(result)
    assert claimed(shop)


@pytest.mark.parametrize("pool", ["processes", "async"])
def test_one_that_a_worker_holds_is_revoked_and_not_run_and_one_that_runs_is_left_alone(shop: Shop, pool: str) -> None:
    crammed(shop, 2, pool)
    long, other = shop.send(twin("hold", pool), "long"), shop.send(twin("hold", pool), "other", "never")
    shop.wait_for_note("start", 2)
    first, result, last = (shop.send("add", n, 0) for n in range(3))
    wait_until(lambda: claimed(shop))
    result.revoke()
    long.revoke()
    other.revoke(terminate=True)  # the worker hears of them in this order
    assert [shop.get(each) for each in (first, last)] == [0, 2]
    with pytest.raises(TaskRevokedError, match="revoked"):
        shop.get(result)
    assert shop.count("add") == 2
    assert_revoked(result)
    shop.go()
    assert shop.get(long) == "long"
    assert shop.count("start long") == 1


def test_one_that_runs_is_killed_with_what_it_started_if_asked_and_its_neighbours_are_done(shop: Shop) -> None:
    crammed(shop, 1)
    result = shop.send("spawns")
    child = int(shop.wait_for_note("child")[0].split()[1])
    neighbours = [shop.send("add", n, 0) for n in range(5)]
    wait_until(lambda: claimed(shop))
    result.revoke(terminate=True)
    with pytest.raises(TaskRevokedError, match="terminated"):
        shop.get(result)
    assert result.state == "REVOKED"
    wait_until(lambda: not alive(child), "the end of the task's subprocess")
    assert [shop.get(neighbour) for neighbour in neighbours] == list(range(5))
    assert (shop.count("child"), shop.count("add")) == (1, 5)


def test_an_id_that_was_revoked_before_it_was_sent_stays_so_whoever_is_restarted(shop: Shop) -> None:
    first = shop.worker("-c", "1")
    shop.app.revoke(["my-own-id", "another-id"])
    first.kill_tree()
    second = shop.worker("-c", "1")
    assert shop.get(shop.send("add", 1, 1)) == 2
    second.kill_tree()
    result = shop.send("add", 2, 2, task_id="my-own-id")
    shop.worker("-c", "1")
    with pytest.raises(TaskRevokedError, match="revoked"):
        shop.get(result)
    with pytest.raises(TaskRevokedError, match="revoked"):
        shop.get(shop.send("add", 2, 2, task_id="another-id"))
    assert shop.diary() == ["add 1 1"]


def test_a_task_that_has_ended_stays_as_it_ended(shop: Shop) -> None:
    shop.worker("-c", "1")
    result = shop.send("add", 1, 1)
    assert shop.get(result) == 2
    result.revoke(terminate=True)
    assert shop.get(shop.send("add", 2, 2)) == 4
    again = shop.app.result(result.id)
    assert (again.state, again.get(timeout=1)) == ("SUCCESS", 2)


def test_many_are_revoked_in_one_call(shop: Shop) -> None:
    results = [shop.send("add", n, 0) for n in range(50)]
    shop.app.revoke([result.id for result in results[::2]])
    shop.worker("-c", "2")
    assert [shop.get(result) for result in results[1::2]] == list(range(1, 50, 2))
    assert [result.state for result in results[::2]] == ["REVOKED"] * 25
    assert shop.count("add") == 25


@AT_ONCE
def test_results_in_another_store_hear_of_it_too(shop: Shop, tmp_path: Path) -> None:
    shop.environ["UMBEL_RESULT_BACKEND"] = f"sqlite:///{tmp_path}/results.db"
    shop.app.conf.result_backend = f"sqlite:///{tmp_path}/results.db"
    result = shop.send("add", 1, 1)
    result.revoke()
    assert_revoked(result)
    shop.worker("-c", "1")
    assert shop.get(shop.send("add", 2, 2)) == 4
    assert shop.diary() == ["add 2 2"]


@pytest.mark.parametrize("wrong", ["", [""], [7]])
def test_what_is_no_id_is_refused(shop: Shop, wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="task ids"):
        shop.app.revoke(wrong)  # type: ignore[arg-type]
