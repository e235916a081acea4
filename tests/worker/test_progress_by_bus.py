"""Tests of progress over RabbitMQ's bus, where no store keeps it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.process import PATIENCE, Shop
from tools.rabbitmq import RabbitMQ
from umbel.app import Umbel
from umbel.errors import TaskRevokedError
from umbel.progress.snapshot import Snapshot
from umbel.result import AsyncResult

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def shop(tmp_path: Path, rabbitmq: RabbitMQ) -> Iterator[Shop]:
    """Tasks and workers on a queue of their own, results by rpc."""
    made = Shop(tmp_path, rabbitmq.url, "rpc://")
    made.environ["UMBEL_TASK_DEFAULT_QUEUE"] = made.app.conf.task_default_queue = f"shop-{uuid.uuid4().hex}"
    made.app.conf.worker_state_dir = str(tmp_path / ".umbel")
    yield made
    made.close()


async def follow(result: AsyncResult[object], both: asyncio.Barrier, shop: Shop) -> list[Snapshot]:
    """Every snapshot; the task goes on when both have seen it stand at 4."""
    seen = []
    waited = False
    async with asyncio.timeout(PATIENCE):
        async for snap in result.watch():
            seen.append(snap)
            if snap.current == 4 and not waited:
                waited = True
                await both.wait()
                shop.go()
    return seen


def test_the_caller_and_another_process_follow_a_task(shop: Shop) -> None:
    shop.worker("-c", "1")
    stranger = Umbel("stranger", broker=shop.url, set_as_current=False)
    stranger.conf.result_backend = "rpc://"
    result = shop.send("counts", 10, 4)

    async def both() -> tuple[list[Snapshot], list[Snapshot]]:
        met = asyncio.Barrier(2)
        return await asyncio.gather(follow(result, met, shop), follow(stranger.result(result.id), met, shop))

    for seen in asyncio.run(both()):
        assert any(snap.current == 4 and snap.total == 10 and snap.unit == "things" for snap in seen)
        assert (seen[-1].state, seen[-1].final, seen[-1].message) == ("SUCCESS", True, "10 things")
    assert shop.get(result) == 10
    stranger.close()


def test_a_task_that_runs_is_cancelled_over_the_bus(shop: Shop) -> None:
    shop.worker("-c", "1")
    result = shop.send("never_ends", "it")
    shop.wait_for_note("start it")
    result.cancel()
    with pytest.raises(TaskRevokedError, match="cancelled"):
        shop.get(result)
    assert shop.diary() == ["start it", "stopped it"]
