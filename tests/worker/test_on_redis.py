"""Real workers on a real Redis server: what runs, what is lost, what comes twice."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.proxy import Proxy
from tests.worker.process import Shop, wait_until
from tools.rabbitmq import RabbitMQ
from tools.redis_server import RedisServer
from umbel.app import Umbel
from umbel.errors import PublishError, TaskRevokedError

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def queue() -> str:
    return f"shop-{uuid.uuid4().hex}"


@pytest.fixture
def shop(tmp_path: Path, redis: RedisServer, queue: str) -> Iterator[Shop]:
    """Tasks and workers on keys of their own."""
    made = Shop(tmp_path, f"{redis.url}?global_keyprefix={queue}:")
    yield made
    made.close()


def test_a_refused_login_ends_a_worker_at_once(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "server", "--requirepass", "right")
    server.start()
    try:
        shop = Shop(tmp_path, server.url.replace("redis://", "redis://:hidden@"))
        worker = shop.worker("-c", "1", ready=False)
        assert worker.wait() == 1
        assert "login refused: the user or the password is wrong" in worker.text()
        assert "Traceback" not in worker.text()
        assert "hidden" not in worker.text()
    finally:
        server.close()


def test_a_server_that_is_killed_and_started_again_loses_nothing(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "server", "--appendfsync", "always")
    server.start()
    (tmp_path / "shop").mkdir()
    shop = Shop(tmp_path / "shop", server.url)
    try:
        worker = shop.worker("-c", "2")
        before = [shop.send("add", n, 0) for n in range(50)]
        held = shop.send("hold", "a")
        shop.wait_for_note("start a")
        server.kill()
        server.start()
        shop.go()
        after = [shop.send("add", n, 0) for n in range(50)]
        assert [shop.get(result) for result in [*before, *after]] == [*range(50), *range(50)]
        assert shop.get(held) == "a"
        assert shop.count("start a") == 1
        assert worker.process.poll() is None
    finally:
        shop.close()
        server.close()


def test_what_other_programs_have_put_into_a_queue_becomes_dead_letters(shop: Shop, redis: RedisServer) -> None:
    prefix = shop.url.partition("=")[2]
    shop.worker("-c", "2")
    strange = ["foreign", "{}", "[1, 2]", '{"body": "", "headers": null, "properties": {}}', "\x01\x7f", '"text"']
    for entry in strange:
        redis.command("LPUSH", f"{prefix}celery", entry)
    assert shop.get(shop.send("add", 1, 1)) == 2
    wait_until(lambda: len(shop.app.dead.list()) == len(strange))
    assert all(letter.reason for letter in shop.app.dead.list())
    assert redis.command("HLEN", f"{prefix}unacked") == "0"
    assert shop.get(shop.send("add", 2, 2)) == 4


def test_a_key_that_is_something_else_is_told_until_it_is_gone(shop: Shop, redis: RedisServer) -> None:
    prefix = shop.url.partition("=")[2]
    redis.command("SET", f"{prefix}celery", "text")
    worker = shop.worker("-c", "1")
    worker.wait_for_line(f"the key '{prefix}celery' is a string and should be a list")
    with pytest.raises(PublishError, match="is a string and should be a list"):
        shop.send("add", 1, 1)
    redis.command("DEL", f"{prefix}celery")
    assert shop.get(shop.send("add", 1, 1)) == 2
    assert "Traceback" not in worker.text()


@pytest.mark.parametrize("countdown", [None, 0.3], ids=["ready", "for later"])
def test_a_call_that_was_sent_twice_because_an_answer_was_lost_is_run_once(
    shop: Shop, redis: RedisServer, countdown: float | None
) -> None:
    prefix = shop.url.partition("=")[2]

    def there() -> int:
        waiting = redis.command("ZCOUNT", f"{prefix}umbel.due.celery", "-inf", redis.command("TIME").split()[0])
        return int(redis.command("LLEN", f"{prefix}celery")) + int(waiting)

    shop.go()
    with (
        Proxy(redis.port) as proxy,
        Umbel("caller", broker=proxy.url(shop.url), set_as_current=False) as caller,
    ):
        caller.conf.broker_publish_timeout = 60
        caller.send_task("shop.add", (1, 1), queue="other", countdown=60)  # it is connected, and its script is known
        proxy.answer_no_more()
        options = {} if countdown is None else {"countdown": countdown}
        sender = threading.Thread(target=caller.send_task, args=("shop.hold", ["a"]), kwargs=options)
        sender.start()
        wait_until(lambda: there() == 1)
        proxy.cut()
        sender.join()
    assert there() == 2
    shop.worker("-c", "2")
    wait_until(lambda: there() + int(redis.command("HLEN", f"{prefix}unacked")) == 0)
    assert shop.count("start a") == 1


def test_what_is_taken_back_is_not_run_or_stopped_and_stays_so(shop: Shop) -> None:
    waiting, delayed = shop.send("add", 1, 1), shop.send("add", 2, 2, countdown=3600)
    for result in (waiting, delayed):
        result.revoke()
        assert result.state == "REVOKED"
    first = shop.worker("-c", "2")
    running = shop.send("hold", "a", "never")
    shop.wait_for_note("start a")
    running.revoke(terminate=True)
    with pytest.raises(TaskRevokedError, match="terminated"):
        shop.get(running)
    shop.app.revoke("my-own-id")
    first.kill_tree()
    shop.worker("-c", "1")
    with pytest.raises(TaskRevokedError, match="revoked"):
        shop.get(shop.send("add", 3, 3, task_id="my-own-id"))
    assert shop.count("add") == 0


def test_results_may_be_kept_beside_rabbitmq(
    tmp_path: Path, rabbitmq: RabbitMQ, redis: RedisServer, queue: str
) -> None:
    shop = Shop(tmp_path, rabbitmq.url, f"{redis.url}?global_keyprefix={queue}:")
    shop.environ["UMBEL_TASK_DEFAULT_QUEUE"] = shop.app.conf.task_default_queue = queue
    try:
        worker = shop.worker("-c", "2")
        results = [shop.send("add", n, n) for n in range(50)]
        assert [shop.get(result) for result in results] == [2 * n for n in range(50)]
        held = shop.send("hold", "a")
        revoked = shop.send("add", 1, 1, countdown=3)
        shop.wait_for_note("start a")
        revoked.revoke()
        worker.kill_tree()
        shop.go()
        shop.worker("-c", "2")
        assert shop.get(held) == "a"
        with pytest.raises(TaskRevokedError):
            shop.get(revoked)
    finally:
        shop.close()
