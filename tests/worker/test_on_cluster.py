"""Real workers on a Redis Cluster, which has their messages and their results."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.worker.process import Shop, wait_until
from tools.redis_cluster import RedisCluster
from umbel.call import NO_OPTIONS
from umbel.errors import NotRegistered, TaskRevokedError
from umbel.model import Links

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def shop(tmp_path: Path, redis_cluster: RedisCluster) -> Iterator[Shop]:
    """Tasks and workers on keys of their own."""
    made = Shop(tmp_path, f"{redis_cluster.url}?global_keyprefix={uuid.uuid4().hex}:&lease=2")
    yield made
    made.close()


def sig(task: str, *args: Any, **options: Any) -> dict[str, Any]:
    return {"task": f"shop.{task}", "args": list(args), "kwargs": {}, "options": options, "immutable": False}


def chord(body_id: str) -> dict[str, Any]:
    """As a Celery client writes it: three parts, and a body that gets their values."""
    header = [sig("add", n) for n in (10, 20, 30)]
    kwargs = {"header": header, "body": sig("fetch", task_id=body_id), "kwargs": {}}
    return {"task": "celery.chord", "args": [], "kwargs": kwargs, "options": {}, "immutable": False}


def test_tasks_run_their_results_come_and_what_a_killed_worker_held_is_run_again(shop: Shop) -> None:
    worker = shop.worker("-c", "2", "--set", "task_unknown_grace=0.1")
    results = [shop.send("add", n, n) for n in range(50)]
    assert [shop.get(result) for result in results] == [2 * n for n in range(50)]

    unknown = shop.send("nobody_knows_this")
    with pytest.raises(NotRegistered):
        shop.get(unknown)
    wait_until(lambda: [letter.id for letter in shop.app.dead.list()] == [unknown.id])

    route, message = shop.app.publisher.prepare("shop.add", (1, 1), {}, NO_OPTIONS)
    body = uuid.uuid4().hex
    shop.app.publisher.send(route, replace(message, links=Links(chain=[chord(body)])))
    assert shop.get(shop.app.result(body)).startswith("[12, 22, 32] ")

    revoked = shop.send("add", 3, 3, countdown=3600)
    revoked.revoke()
    assert revoked.state == "REVOKED"
    with pytest.raises(TaskRevokedError):
        shop.get(revoked)

    held = shop.send("hold", "a")
    shop.wait_for_note("start a")
    worker.kill_tree()
    waiting = [shop.send("add", n, 1) for n in range(20)]
    shop.go()
    shop.worker("-c", "2")
    assert shop.get(held) == "a"
    assert [shop.get(result) for result in waiting] == [n + 1 for n in range(20)]
    assert shop.count("start a") == 2
    wait_until(lambda: shop.waiting() == 0)
