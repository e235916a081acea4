"""Tests of messages that may have taken a whole worker down."""

import signal
from collections.abc import Callable

import pytest

from tests.worker.process import Shop, Worker, wait_until
from umbel.errors import WorkerLostError
from umbel.worker.suspects import PREFIX


def supervise(shop: Shop, done: Callable[[], bool], *flags: str) -> None:
    """Start a worker, and another whenever it has died, as a supervisor does, until ``done``."""
    workers: list[Worker] = []

    def step() -> bool:
        if not workers or workers[-1].process.poll() is not None:
            workers.append(shop.worker(*flags, ready=False))
        return done()

    wait_until(step, "the end of it all")


@pytest.mark.parametrize(("poison", "pool"), [("slay", "processes"), ("exit_process", "solo")])
def test_a_task_that_takes_the_whole_worker_down_is_started_three_times(shop: Shop, poison: str, pool: str) -> None:
    shop.environ["UMBEL_WORKER_PREFETCH_MULTIPLIER"] = "100"
    if pool == "solo":
        shop._soften()
    result = shop.send(poison)
    good = [shop.send("add", n, 0) for n in range(50)]
    supervise(shop, lambda: result.ready() and all(other.ready() for other in good), "-P", pool, "-c", "1")
    with pytest.raises(WorkerLostError, match="3 starts ended without a verdict"):
        result.get(timeout=1)
    assert shop.count("start ") == 3
    (letter,) = shop.app.dead.list()
    assert (letter.id, letter.queue) == (result.id, "celery")
    assert "task_max_starts=3" in letter.reason
    assert [other.get(timeout=1) for other in good] == list(range(50))
    assert shop.count("add") == 50
    marks = shop.app.broker.keeper.marks  # type: ignore[attr-defined]
    wait_until(lambda: not marks.get([PREFIX + other.id for other in [result, *good]]), "every count's end")


def test_an_innocent_that_runs_beside_it_is_done(shop: Shop) -> None:
    shop.environ["UMBEL_WORKER_PREFETCH_MULTIPLIER"] = "100"
    poisons = [shop.send("slay") for _ in range(2)]
    good = [shop.send("add", n, 0) for n in range(10)]
    supervise(shop, lambda: all(result.ready() for result in [*poisons, *good]), "-c", "2")
    assert [result.state for result in poisons] == ["FAILURE", "FAILURE"]
    assert [result.get(timeout=1) for result in good] == list(range(10))
    assert sorted(str(letter.id) for letter in shop.app.dead.list()) == sorted(result.id for result in poisons)


def test_what_was_only_held_when_the_worker_died_loses_no_life(shop: Shop) -> None:
    shop.environ["UMBEL_WORKER_PREFETCH_MULTIPLIER"] = "100"
    long = shop.send("hold", "a")
    held = [shop.send("add", n, 0) for n in range(10)]
    for start in (1, 2):
        worker = shop.worker("-c", "1")
        shop.wait_for_note("start a", start)
        wait_until(lambda: shop.app.broker.keeper.size("celery") == 0)  # type: ignore[attr-defined]
        worker.kill_tree()
    keys = [PREFIX + result.id for result in [long, *held]]
    assert shop.app.broker.keeper.marks.get(keys) == {keys[0]: "1"}  # type: ignore[attr-defined]
    shop.go()
    shop.worker("-c", "1")
    assert shop.get(long) == "a"
    assert [shop.get(result) for result in held] == list(range(10))


def test_what_an_orderly_end_gives_back_is_no_suspect_unless_it_ran(shop: Shop) -> None:
    shop.environ["UMBEL_WORKER_PREFETCH_MULTIPLIER"] = "100"
    long = shop.send("hold", "a")
    held = [shop.send("add", n, 0) for n in range(10)]
    worker = shop.worker("-c", "1", "--grace", "0.2")
    keeper = shop.app.broker.keeper  # type: ignore[attr-defined]
    shop.wait_for_note("start a")
    wait_until(lambda: keeper.size("celery") == 0)
    worker.signal(signal.SIGTERM)
    worker.wait()
    rows = keeper.read(lambda connection: connection.execute("SELECT id, redelivered FROM messages").fetchall())
    assert dict(rows) == {long.id: 1, **{result.id: 0 for result in held}}
