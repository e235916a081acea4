"""Real workers on a real RabbitMQ server: what runs, what is lost, what comes twice."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.process import POOLS, Shop
from tools.rabbitmq import RabbitMQ

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def queue() -> str:
    return f"shop-{uuid.uuid4().hex}"


@pytest.fixture
def shop(tmp_path: Path, rabbitmq: RabbitMQ, queue: str) -> Iterator[Shop]:
    """Tasks and workers on a queue of their own, results by rpc."""
    made = Shop(tmp_path, rabbitmq.url, "rpc://")
    made.environ["UMBEL_TASK_DEFAULT_QUEUE"] = made.app.conf.task_default_queue = queue
    yield made
    made.close()


FORKS = """
import os
from shop import add

assert add.delay(1, 1).get(timeout=60) == 2
child = os.fork()
results = [add.delay(n, n) for n in range(50)]
assert [result.get(timeout=60) for result in results] == [2 * n for n in range(50)]
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_caller_that_forks_and_its_child_get_their_own_results(shop: Shop) -> None:
    shop.worker("-c", "1")
    subprocess.run([sys.executable, "-c", FORKS], cwd=shop.folder, env=shop.environ, check=True)


@pytest.mark.parametrize("pool", ["solo", *POOLS])
def test_tasks_that_send_and_ask_disturb_nothing_of_their_worker(rabbitmq: RabbitMQ, tmp_path: Path, pool: str) -> None:
    # Without heartbeats nothing comes to the help of a loop that is not woken.
    (tmp_path / "shop").mkdir()
    shop = Shop(tmp_path / "shop", f"{rabbitmq.url}?heartbeat=0", "rpc://")
    queue, other = (f"shop-{uuid.uuid4().hex}" for _ in range(2))
    shop.environ["UMBEL_TASK_DEFAULT_QUEUE"] = shop.app.conf.task_default_queue = queue
    try:
        shop.worker("-P", pool)
        shop.worker("-P", "solo", "-Q", other)
        for _ in range(3):
            asked = shop.send("asks", other)
            assert shop.get(asked) == asked.id
            assert shop.get(shop.send("stubborn", 1)) == "worked at 1"
            assert shop.get(shop.send("add", 1, 2)) == 3
    finally:
        shop.close()


def test_a_refused_login_ends_a_worker_at_once(tmp_path: Path, rabbitmq: RabbitMQ) -> None:
    shop = Shop(tmp_path, rabbitmq.url.replace("guest:guest", "guest:hidden"), "rpc://")
    worker = shop.worker("-c", "1", ready=False)
    assert worker.wait() == 1
    assert "login refused: user 'guest'" in worker.text()
    assert "Traceback" not in worker.text()
    assert "hidden" not in worker.text()


def test_a_server_that_is_killed_and_started_again_loses_nothing(tmp_path: Path) -> None:
    server = RabbitMQ(tmp_path / "server")
    server.start()
    (tmp_path / "shop").mkdir()
    shop = Shop(tmp_path / "shop", server.url, f"sqlite:///{tmp_path}/results.db")
    try:
        worker = shop.worker("-c", "2")
        before = [shop.send("add", n, 0) for n in range(50)]
        held = shop.send("hold", "a")
        shop.wait_for_note("start a")
        server.kill()
        worker.wait_for_line("was lost and is made again")
        server.start()
        shop.go()
        after = [shop.send("add", n, 0) for n in range(50)]
        assert [shop.get(result) for result in [*before, *after]] == [*range(50), *range(50)]
        assert shop.get(held) == "a"
        assert worker.process.poll() is None
    finally:
        shop.close()
        server.close()
