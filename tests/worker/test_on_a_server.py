"""Real workers on a real server of each kind: what runs, what is lost, what comes twice."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.conftest import LEASE
from tests.worker.process import Shop
from tools.ports import free_port
from umbel.errors import NotRegistered, WorkerLostError

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(params=["rabbitmq", "redis"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """Tasks and workers on a queue or on keys of their own; results by rpc, or beside the messages."""
    name, url = f"shop-{uuid.uuid4().hex}", request.getfixturevalue(request.param).url
    if request.param == "rabbitmq":
        made = Shop(tmp_path, url, "rpc://")
        made.environ["UMBEL_TASK_DEFAULT_QUEUE"] = made.app.conf.task_default_queue = name
    else:
        made = Shop(tmp_path, f"{url}?global_keyprefix={name}:&lease={LEASE}")
    yield made
    made.close()


def test_tasks_run_and_their_results_come(shop: Shop) -> None:
    shop.worker("-c", "2")
    results = [shop.send("add", n, n) for n in range(50)]
    assert [shop.get(result) for result in results] == [2 * n for n in range(50)]
    with pytest.raises(MemoryError):
        shop.get(shop.send("raises", "memory"))
    assert shop.get(shop.send("fetch", "async")).startswith("async")


def test_a_retry_waits_on_the_server_and_works_in_the_end(shop: Shop) -> None:
    shop.worker("-c", "1")
    assert shop.get(shop.send("stubborn", 2)) is not None


def test_a_call_for_later_comes_in_time_and_holds_no_slot(shop: Shop) -> None:
    shop.worker("-c", "1")
    far = shop.send("add", 9, 9, countdown=3600)
    assert shop.get(shop.send("add", 2, 2)) == 4
    sent = time.monotonic()
    assert shop.get(shop.send("add", 1, 1, countdown=2)) == 2
    assert time.monotonic() - sent > 1.9
    assert not far.ready()


def test_a_task_that_nobody_knows_in_time_is_a_dead_letter_and_a_failure(shop: Shop) -> None:
    shop.worker("-c", "1", "--set", "task_unknown_grace=0.1")
    result = shop.send("nobody_knows_this")
    with pytest.raises(NotRegistered):
        shop.get(result)
    shop.wait_for_buried(result.id)


def test_a_killed_runners_task_runs_again_at_once_on_another(shop: Shop) -> None:
    shop.worker("-c", "2")
    result = shop.send("hold", "a")
    os.kill(shop.pid_of("a"), signal.SIGKILL)
    shop.wait_for_note("start a", 2)
    shop.go()
    assert shop.get(result) == "a"


def test_losing_a_process_for_good_is_bounded(shop: Shop) -> None:
    shop.worker("-c", "2")
    result = shop.send("exit_process")
    with pytest.raises(WorkerLostError, match="exit status 3"):
        shop.get(result)
    assert shop.count("start exit") == 3
    assert shop.get(shop.send("add", 1, 1)) == 2


def test_after_killing_everything_a_new_worker_does_every_task(shop: Shop) -> None:
    worker = shop.worker("-c", "2")
    held = [shop.send("hold", str(n)) for n in range(4)]
    shop.wait_for_note("start", 2)
    worker.kill_tree()
    shop.go()
    shop.worker("-c", "2")
    assert [shop.get(result) for result in held] == ["0", "1", "2", "3"]


def test_one_signal_lets_running_tasks_end_and_gives_the_rest_back(shop: Shop) -> None:
    worker = shop.worker("-c", "1")
    results = [shop.send("hold", str(n)) for n in range(3)]
    shop.wait_for_note("start 0")
    worker.signal(signal.SIGTERM)
    worker.wait_for_line("Warm shutdown")
    shop.go()
    assert worker.wait() == 0
    assert shop.count("start") == 1
    shop.worker("-c", "1")
    assert [shop.get(result) for result in results] == ["0", "1", "2"]
    assert shop.count("start") == 3


@pytest.mark.parametrize(
    ("url", "backend"),
    [("amqp://guest:hidden@127.0.0.1:{}//", "rpc://"), ("redis://:hidden@127.0.0.1:{}/0", None)],
    ids=["rabbitmq", "redis"],
)
def test_a_worker_waits_for_a_server_that_is_not_there_and_gives_up(
    url: str, backend: str | None, tmp_path: Path
) -> None:
    shop = Shop(tmp_path, url.format(free_port()), backend)
    worker = shop.worker("-c", "1", "--set", "broker_connection_max_retries=2", ready=False)
    assert worker.wait() == 1
    text = worker.text()
    assert text.count("The broker cannot be reached, tried again in") == 2
    assert "Traceback" not in text
    assert "hidden" not in text
