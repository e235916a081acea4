"""Tests of dead letters on real workers: what dies is replayed into a new life."""

import pytest

from tests.worker.process import Shop, wait_until
from umbel.errors import NotRegistered, TaskRevokedError, WorkerLostError

SKILL = """

@app.task
def no_such_task(x: int) -> int:
    note(f"skilled {x}")
    return 2 * x


@app.task(bind=True)
def learns(self: Task[..., Any], x: int) -> int:
    self.update_state(state="LEARNING", meta={"x": x})
    wait_for("go")
    return 2 * x
"""


def learn(shop: Shop) -> None:
    """A deploy that brings the tasks which were missing."""
    module = shop.folder / "shop.py"
    module.write_text(module.read_text() + SKILL)


@pytest.fixture
def impatient(shop: Shop) -> Shop:
    """A shop whose workers bury at once what they do not know."""
    shop.environ["UMBEL_TASK_UNKNOWN_GRACE"] = "0"
    return shop


def test_what_no_worker_knew_is_replayed_to_one_that_does(impatient: Shop) -> None:
    shop = impatient
    ignorant = shop.worker("-c", "1")
    result = shop.send("no_such_task", 4)
    with pytest.raises(NotRegistered):
        shop.get(result)
    ignorant.kill_tree()
    (letter,) = shop.app.dead.list()
    assert (letter.id, letter.task, letter.queue, letter.life) == (result.id, "shop.no_such_task", "celery", 0)
    assert "NotRegistered" in letter.reason
    learn(shop)
    assert shop.app.dead.replay(letter.number) == 1
    again = shop.app.result(result.id)
    assert again.state == "FAILURE", "the old life is what is known until the new one has something to say"
    shop.worker("-c", "1")
    wait_until(lambda: shop.app.result(result.id).state == "SUCCESS")
    assert shop.get(shop.app.result(result.id)) == 8
    assert shop.app.dead.list() == []


def test_states_of_the_new_life_are_seen_and_a_second_death_is_its_own(impatient: Shop) -> None:
    shop = impatient
    shop.worker("-c", "1")
    result = shop.send("learns", 4)
    with pytest.raises(NotRegistered):
        shop.get(result)
    assert shop.app.dead.replay() == 1
    wait_until(lambda: [letter.life for letter in shop.app.dead.list()] == [1])
    shop.workers[0].kill_tree()
    learn(shop)
    shop.worker("-c", "1")
    assert shop.app.dead.replay() == 1
    wait_until(lambda: shop.app.result(result.id).state == "LEARNING")
    shop.go()
    wait_until(lambda: shop.app.result(result.id).state == "SUCCESS")


def test_poison_begins_its_count_anew_with_each_life(shop: Shop) -> None:
    shop.worker("-c", "1")
    result = shop.send("exit_process")
    with pytest.raises(WorkerLostError):
        shop.get(result)
    assert shop.count("start exit") == 3
    assert shop.app.dead.replay() == 1
    wait_until(lambda: [letter.life for letter in shop.app.dead.list()] == [1])
    assert shop.count("start exit") == 6
    assert shop.get(shop.send("add", 1, 1)) == 2


def test_a_replayed_call_that_waits_is_revoked_in_its_new_life(impatient: Shop) -> None:
    shop = impatient
    worker = shop.worker("-c", "1")
    result = shop.send("no_such_task", 4)
    with pytest.raises(NotRegistered):
        shop.get(result)
    worker.kill_tree()
    assert shop.app.dead.replay() == 1
    shop.app.revoke(result.id)
    again = shop.app.result(result.id)
    assert again.state == "REVOKED"
    with pytest.raises(TaskRevokedError):
        again.get(timeout=1)


def test_a_replayed_call_can_be_revoked_by_the_worker_that_gets_it(shop: Shop) -> None:
    worker = shop.worker("-c", "1")
    result = shop.send("exit_process")
    with pytest.raises(WorkerLostError):
        shop.get(result)
    worker.kill_tree()
    result.revoke()
    assert shop.app.dead.replay() == 1
    shop.worker("-c", "1")
    wait_until(lambda: shop.app.result(result.id).state == "REVOKED")
    with pytest.raises(TaskRevokedError):
        shop.get(shop.app.result(result.id))
    assert shop.count("start exit") == 3
