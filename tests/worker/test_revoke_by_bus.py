"""Tests of calls that are taken back over RabbitMQ's bus, where no store keeps what was revoked."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.process import Shop, wait_until
from tools.ports import free_port
from tools.rabbitmq import RabbitMQ
from umbel.errors import StoreUnreachable, TaskRevokedError
from umbel.result import AsyncResult

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def shop(tmp_path: Path, rabbitmq: RabbitMQ) -> Iterator[Shop]:
    """Tasks and workers on a queue of their own, results by rpc, and a folder for the state of them all."""
    made = Shop(tmp_path, rabbitmq.url, "rpc://")
    made.environ["UMBEL_TASK_DEFAULT_QUEUE"] = made.app.conf.task_default_queue = f"shop-{uuid.uuid4().hex}"
    made.app.conf.worker_state_dir = str(tmp_path / ".umbel")
    yield made
    made.close()


def assert_revoked(shop: Shop, result: AsyncResult[object]) -> None:
    with pytest.raises(TaskRevokedError):
        shop.get(result)
    assert result.state == "REVOKED"


def test_one_that_a_worker_holds_is_not_run_and_one_that_runs_is_left_alone(shop: Shop) -> None:
    shop.environ["UMBEL_WORKER_PREFETCH_MULTIPLIER"] = "100"
    shop.worker("-c", "1")
    long = shop.send("hold", "long")
    shop.wait_for_note("start long")
    first, second = shop.send("add", 1, 1), shop.send("add", 2, 2)
    second.revoke()
    long.revoke()
    shop.go()
    assert shop.get(long) == "long"
    assert shop.get(first) == 2
    assert_revoked(shop, second)
    assert shop.count("add") == 1


def test_one_that_runs_is_killed_if_asked(shop: Shop) -> None:
    shop.worker("-c", "1")
    result = shop.send("hold", "a", "never")
    shop.wait_for_note("start a")
    result.revoke(terminate=True)
    assert_revoked(shop, result)
    assert shop.get(shop.send("add", 1, 1)) == 2


def test_an_id_stays_revoked_when_every_worker_is_killed_and_started_again(shop: Shop) -> None:
    first = shop.worker("-c", "1")
    shop.app.revoke(["my-own-id", "another-id"])
    first.kill_tree()
    shop.worker("-c", "1")
    assert_revoked(shop, shop.send("add", 1, 1, task_id="my-own-id"))
    assert_revoked(shop, shop.send("add", 1, 1, task_id="another-id"))
    assert shop.diary() == []


def test_a_worker_that_starts_learns_from_its_peers_what_is_revoked(shop: Shop, tmp_path: Path) -> None:
    elder = shop.worker("-c", "1", "-n", "elder@%h")
    shop.app.revoke("my-own-id")
    shop.worker("-c", "1", "-n", "young@%h", "--state-dir", str(tmp_path / "elsewhere"))
    elder.kill_tree()
    assert_revoked(shop, shop.send("add", 1, 1, task_id="my-own-id"))
    assert shop.diary() == []


def test_what_is_revoked_while_no_worker_lives_is_kept_for_those_that_start_here(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    kept, result = shop.send("add", 1, 1), shop.send("add", 2, 2)
    result.revoke()
    assert "No worker answers: only those that are started here will know" in caplog.text
    shop.worker("-c", "1")
    assert shop.get(kept) == 2
    assert_revoked(shop, result)
    assert shop.diary() == ["add 1 1"]


def test_what_nobody_hears_and_nothing_keeps_is_an_error(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shop.app.conf.worker_state_dir = str(tmp_path / "file")
    with pytest.raises(StoreUnreachable, match="no worker has heard that the tasks are revoked, nor can it be kept"):
        shop.app.revoke("my-own-id")


def test_a_server_that_is_away_is_an_error(tmp_path: Path) -> None:
    shop = Shop(tmp_path, f"amqp://guest@127.0.0.1:{free_port()}//", "rpc://")
    with pytest.raises(StoreUnreachable):
        shop.app.revoke("my-own-id")
    shop.close()


def test_a_state_folder_that_cannot_be_used_is_told_at_once_if_it_was_asked_for(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    worker = shop.worker("-c", "1", "--state-dir", str(tmp_path / "file" / "below"), ready=False)
    assert worker.wait() == 1
    assert f"worker_state_dir={tmp_path}/file/below: nothing can be kept there" in worker.text()
    assert "Traceback" not in worker.text()


def test_a_usual_state_folder_that_cannot_be_used_is_warned_about(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / ".umbel").touch()
    worker = shop.worker("-c", "1")
    assert "What is revoked is forgotten when this worker ends, for it cannot be kept" in worker.text()
    shop.app.revoke("my-own-id")
    assert_revoked(shop, shop.send("add", 1, 1, task_id="my-own-id"))


def test_only_signed_commands_are_heard_where_keys_are(shop: Shop) -> None:
    shop.environ["UMBEL_SECURITY_SIGNING_KEYS"] = "a secret of some length"
    worker = shop.worker("-c", "1")
    stranger = Shop(shop.folder, shop.url, "rpc://")
    stranger.app.conf.worker_state_dir = str(shop.folder / "elsewhere")
    stranger.app.revoke(["my-own-id"])
    stranger.app.revoke(["my-own-id"])
    wait_until(lambda: "A command from the bus is ignored" in worker.text())
    shop.app.conf.security_signing_keys = ["a secret of some length"]
    shop.app.revoke("another-id")
    assert_revoked(shop, shop.send("add", 1, 1, task_id="another-id"))
    assert shop.get(shop.send("add", 1, 1, task_id="my-own-id")) == 2
    assert worker.text().count("A command from the bus is ignored") == 1
    stranger.close()
