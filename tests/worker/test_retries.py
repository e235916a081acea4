"""Tests of tasks that are tried again by a real worker."""

import pytest

from tests.worker.process import POOLS, Shop, wait_until


@pytest.mark.parametrize("pool", POOLS)
def test_a_task_is_tried_again_under_its_own_id_until_it_works(shop: Shop, pool: str) -> None:
    worker = shop.worker("-P", pool)
    result = shop.send("stubborn", 2)
    assert shop.get(result) == "worked at 2"
    assert shop.diary() == ["try 0", "try 1", "try 2"]
    assert result.retries == 2
    assert "retry: Retry in 0.05s: ConnectionError('gone')" in worker.text()


def test_when_the_retries_are_used_up_the_reason_is_the_failure(shop: Shop) -> None:
    shop.worker()
    with pytest.raises(ConnectionError, match="gone"):
        shop.get(shop.send("stubborn", 9))
    assert shop.count("try") == 3


def test_a_policy_tries_again_by_itself(shop: Shop) -> None:
    shop.worker()
    with pytest.raises(ConnectionError, match="gone"):
        shop.get(shop.send("flaky"))
    assert shop.count("flaky") == 3


@pytest.mark.parametrize("pool", POOLS)
def test_a_task_acknowledged_early_is_tried_again_too(shop: Shop, pool: str) -> None:
    shop.worker("-P", pool)
    assert shop.get(shop.send("stubborn_early")) == "worked"


def test_while_it_waits_the_state_says_why_and_no_slot_is_held(shop: Shop) -> None:
    worker = shop.worker("-c", "1")
    result = shop.send("waits_to_retry")
    wait_until(lambda: result.state == "RETRY")
    assert isinstance(result.result, ValueError)
    assert not result.ready()
    assert shop.get(shop.send("add", 1, 1)) == 2
    worker.kill_tree()
    assert result.state == "RETRY"


def test_a_retry_keeps_its_queue_and_its_priority(shop: Shop) -> None:
    shop.worker("-Q", "odd", "-c", "1")
    assert shop.get(shop.send("stubborn", 1, queue="odd", priority=3)) == "worked at 1"
