"""Tests of what a worker does with tasks, on real processes and the embedded broker."""

import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.worker.process import POOLS, Shop, wait_until
from umbel.errors import EncodeError, NotRegistered, TaskRevokedError, TimeoutError, WorkerLostError


@pytest.mark.parametrize("pool", [*POOLS, "solo"])
def test_a_call_comes_back_as_a_result(shop: Shop, pool: str) -> None:
    result = shop.send("add", 4, 4)
    assert (result.state, result.ready(), result.result) == ("PENDING", False, None)
    shop.worker("-P", pool)
    assert shop.get(result) == 8
    assert (result.state, result.successful(), result.failed(), result.traceback) == ("SUCCESS", True, False, None)
    assert result.date_done is not None
    assert (result.name, result.queue, result.retries) == ("shop.add", "celery", 0)
    assert shop.get(shop.app.result(result.id)) == 8


def test_get_gives_up_in_time_and_the_task_goes_on(shop: Shop) -> None:
    shop.worker()
    result = shop.send("hold", "a")
    with pytest.raises(TimeoutError, match="no result of"):
        result.get(timeout=0.05)
    shop.go()
    assert shop.get(result) == "a"


def test_a_forgotten_result_is_unknown(shop: Shop) -> None:
    shop.worker()
    result = shop.send("add", 1, 1)
    shop.get(result)
    assert result.exists()
    result.forget()
    assert not shop.app.result(result.id).exists()


@pytest.mark.parametrize(
    ("pool", "name", "kind", "shown"),
    [
        ("processes", "raises", "exit", "SystemExit"),
        ("processes", "raises", "interrupt", "KeyboardInterrupt"),
        ("processes", "raises", "memory", "MemoryError"),
        ("processes", "araises", "interrupt", "KeyboardInterrupt"),
        ("threads", "raises", "exit", "SystemExit"),
        ("threads", "araises", "interrupt", "KeyboardInterrupt"),
        ("async", "raises", "interrupt", "KeyboardInterrupt"),
        ("async", "araises", "exit", "SystemExit"),
    ],
)
def test_a_task_may_raise_what_it_likes_and_the_worker_lives(
    shop: Shop, pool: str, name: str, kind: str, shown: str
) -> None:
    worker = shop.worker("-P", pool, "-c", "1" if pool == "processes" else "2")
    result = shop.send(name, kind)
    wait_until(result.ready)
    assert result.state == "FAILURE"
    assert shown in str(result.traceback)
    assert shop.get(shop.send("add", 1, 2)) == 3
    assert "raised unexpected" in worker.text()


@pytest.mark.parametrize("kind", ["local", "deep"])
def test_an_exception_that_cannot_travel_still_says_what_it_was(shop: Shop, kind: str) -> None:
    shop.worker("-c", "1")
    result = shop.send("raises", kind)
    wait_until(result.ready)
    assert result.state == "FAILURE"
    assert type(result.result).__name__ == {"local": "Local", "deep": "RecursionError"}[kind]
    assert shop.get(shop.send("add", 1, 2)) == 3


def test_a_result_that_cannot_be_written_is_a_failure_that_names_its_type(shop: Shop) -> None:
    shop.worker()
    result = shop.send("returns", "object")
    with pytest.raises(EncodeError, match="object"):
        shop.get(result)


def test_bytes_and_other_typed_values_come_back(shop: Shop) -> None:
    shop.worker()
    assert shop.get(shop.send("returns", "bytes")) == b"\xff\x00"


@pytest.mark.parametrize("pool", POOLS)
def test_a_task_that_asks_for_it_leaves_no_record(shop: Shop, pool: str) -> None:
    shop.worker("-P", pool, "-c", "1")
    ignored = shop.send("ignores")
    assert shop.get(shop.send("add", 1, 1)) == 2
    assert not ignored.exists()


@pytest.mark.parametrize("pool", POOLS)
def test_a_rejected_message_comes_back_once_or_is_a_dead_letter(shop: Shop, pool: str) -> None:
    shop.worker("-P", pool, "-c", "1")
    assert shop.get(shop.send("rejects", True)) == "second time"
    dropped = shop.send("rejects", False)
    shop.wait_for_note("reject", 3)
    assert shop.get(shop.send("add", 1, 1)) == 2
    assert not dropped.exists()
    assert shop.count("reject") == 3


@pytest.mark.parametrize("pool", POOLS)
def test_custom_states_are_seen_while_the_task_runs(shop: Shop, pool: str) -> None:
    shop.worker("-P", pool)
    result = shop.send("reports")
    wait_until(lambda: result.state == "HALFWAY")
    assert result.info == {"done": 5}
    shop.go()
    assert shop.get(result) == "done"


@pytest.mark.parametrize("pool", POOLS)
def test_a_tracked_task_shows_that_it_has_started(shop: Shop, pool: str) -> None:
    shop.worker("-P", pool)
    result = shop.send("tracked")
    wait_until(lambda: result.state == "STARTED")
    assert result.info["hostname"].startswith("umbel@")
    shop.go()
    assert shop.get(result) == "done"


@pytest.mark.parametrize("pool", [*POOLS, "solo"])
def test_async_tasks_share_one_loop_that_lives_on(shop: Shop, pool: str) -> None:
    shop.worker("-P", pool, *(["-c", "1"] if pool == "processes" else []))
    loops = {shop.get(shop.send("fetch", "x")).split()[1] for _ in range(3)}
    assert len(loops) == 1


def test_a_task_sees_its_request(shop: Shop) -> None:
    shop.worker("-n", "w1@here", "-Q", "special", "-c", "1")
    options: dict[str, Any] = {"queue": "special", "priority": 7, "headers": {"tenant": "a"}, "task_id": "my-own-id"}
    seen = shop.get(shop.send("who", **options))
    assert seen == {
        "id": "my-own-id",
        "args": [],
        "retries": 0,
        "hostname": "w1@here",
        "root_id": "my-own-id",
        "parent_id": None,
        "headers": {"tenant": "a"},
        "queue": "special",
        "priority": 7,
    }


def test_a_task_that_sends_is_the_parent(shop: Shop) -> None:
    shop.worker()
    sender = shop.send("sends")
    child = shop.get(shop.app.result(shop.get(sender)))
    assert (child["parent_id"], child["root_id"]) == (sender.id, sender.id)
    assert [value for _, value in sender.collect(timeout=60)] == [child["id"], child]


def test_a_task_without_a_trail_names_no_children(shop: Shop) -> None:
    shop.worker()
    sender = shop.send("sends_unseen")
    shop.get(sender)
    assert sender.children == []


@pytest.mark.parametrize("pool", POOLS)
def test_handlers_run_in_order_and_their_failures_change_nothing(shop: Shop, pool: str) -> None:
    worker = shop.worker("-P", pool)
    assert shop.get(shop.send("handled", False)) == "value"
    with pytest.raises(ValueError, match="as told"):
        shop.get(shop.send("handled", True))
    assert shop.diary() == [
        "before_start",
        "run",
        "on_success value",
        "after_return SUCCESS",
        "before_start",
        "run",
        "on_failure ValueError('as told')",
        "after_return FAILURE",
    ]
    assert "on_success raised" in worker.text()


def test_an_expired_call_is_revoked_and_not_run(shop: Shop) -> None:
    result = shop.send("add", 1, 1, expires=0.001)
    later = shop.send("add", 2, 2)
    shop.worker("-c", "1")
    assert shop.get(later) == 4
    with pytest.raises(TaskRevokedError, match="expired"):
        shop.get(result)
    assert shop.count("add 1 1") == 0


def test_a_call_for_later_holds_no_slot_and_comes_in_time(shop: Shop) -> None:
    shop.worker("-c", "1")
    far = shop.send("add", 9, 9, countdown=3600)
    assert shop.get(shop.send("add", 1, 1)) == 2
    sent = time.monotonic()
    assert shop.get(shop.send("add", 2, 2, countdown=0.3)) == 4
    assert time.monotonic() - sent > 0.25
    assert far.state == "PENDING"
    assert shop.diary() == ["add 1 1", "add 2 2"]


def test_the_more_urgent_runs_first(shop: Shop) -> None:
    shop.send("hold", "first", priority=9)
    for priority in (0, 5, 9, 5):
        last = shop.send("add", priority, 0, priority=priority)
        del last
    shop.worker("-c", "1")
    shop.wait_for_note("start first")
    shop.go()
    shop.wait_for_note("add", 4)
    assert [line for line in shop.diary() if line.startswith("add")] == ["add 9 0", "add 5 0", "add 5 0", "add 0 0"]


def test_a_task_that_nobody_knows_waits_for_a_worker_that_does(shop: Shop) -> None:
    worker = shop.worker("-c", "1")
    result = shop.send("deployed_later", 1)
    worker.wait_for_line("waits for a worker that knows it")
    assert shop.get(shop.send("add", 1, 1)) == 2
    module = shop.folder / "shop.py"
    module.write_text(module.read_text() + "\n\n@app.task\ndef deployed_later(x):\n    return x + 1\n")
    shop.worker("-c", "1")
    assert shop.get(result) == 2
    assert worker.text().count("waits for a worker that knows it") == 1


def test_a_task_that_nobody_knows_in_time_is_a_dead_letter_and_a_failure(shop: Shop) -> None:
    worker = shop.worker("--set", "task_unknown_grace=1.5")
    result = shop.send("no_such_task")
    with pytest.raises(NotRegistered):
        shop.get(result)
    assert shop.get(shop.send("add", 1, 1)) == 2
    assert "is a dead letter" in worker.text()


def test_many_calls_in_one_write_all_come_back(shop: Shop) -> None:
    from umbel import Umbel

    app = Umbel("client", broker=shop.url, set_as_current=False)

    @app.task(name="shop.add")
    def add(x: int, y: int) -> int:
        raise AssertionError("runs in the worker only")

    results = add.delay_many([(n, n) for n in range(500)])
    shop.worker()
    assert [shop.get(result) for result in results] == [2 * n for n in range(500)]
    assert shop.count("add") == 500
    with pytest.raises(TypeError, match="missing 1 required"):
        add.delay_many([(1, 2), (3,)])


def test_no_task_waits_behind_a_long_one(shop: Shop) -> None:
    shop.worker("-c", "2")
    for result in [shop.send("nothing") for _ in range(300)]:
        shop.get(result)  # the worker has learnt that tasks are short, and keeps many ready
    long = shop.send("hold", "long")
    short = [shop.send("add", n, 0) for n in range(50)]
    for result in short:
        shop.get(result)
    assert not long.ready()
    shop.go()
    assert shop.get(long) == "long"


def test_no_task_waits_behind_one_that_holds_the_interpreter(shop: Shop) -> None:
    shop.worker("-c", "2")
    for result in [shop.send("nothing") for _ in range(300)]:
        shop.get(result)
    grip = shop.send("grip")
    short = [shop.send("add", n, 0) for n in range(50)]
    for result in short:
        shop.get(result)
    assert shop.pid_of("grip")
    assert not grip.ready()
    shop.let_go()
    assert shop.get(grip) == "let go"


def test_a_worker_leaves_the_root_logger_alone(shop: Shop) -> None:
    assert logging.getLogger("umbel").parent is logging.getLogger()
    worker = shop.worker("-P", "solo")
    shop.get(shop.send("add", 1, 1))
    text = worker.text()
    assert "Task shop.add[" in text
    assert "received" in text
    assert "succeeded in" in text


@pytest.mark.parametrize(
    ("pool", "poison", "why"),
    [
        ("processes", "exit_process", "exit status 3"),
        ("processes", "read_nowhere", "SIGSEGV"),
        ("processes", "overflow", "SIGSEGV"),
        ("threads", "exit_process", "exit status 3"),
        ("async", "exit_process", "exit status 3"),
    ],
)
def test_losing_a_process_for_good_is_bounded(shop: Shop, pool: str, poison: str, why: str) -> None:
    worker = shop.worker("-P", pool, "-c", "2")
    neighbours = [shop.send("add", n, 0) for n in range(20)]
    result = shop.send(poison)
    with pytest.raises(WorkerLostError, match=why):
        shop.get(result)
    assert shop.count("start exit") == 3
    assert [shop.get(neighbour) for neighbour in neighbours] == list(range(20))
    assert shop.get(shop.send("add", 1, 1)) == 2
    assert "task_max_starts=3" in worker.text()


def test_results_can_live_in_another_file_than_messages(shop: Shop, tmp_path: Path) -> None:
    shop.environ["UMBEL_RESULT_BACKEND"] = f"sqlite:///{tmp_path}/results.db"
    shop.app.conf.result_backend = f"sqlite:///{tmp_path}/results.db"
    shop.worker()
    assert shop.get(shop.send("add", 2, 3)) == 5
    assert os.path.exists(tmp_path / "results.db")
