"""Tasks and tests that are coroutines."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tests.testing.shop import add, declare
from umbel.app import Umbel
from umbel.errors import (
    TimeoutError,
    UmbelError,
)
from umbel.task import Task
from umbel.testing import running


def test_coroutines_run_on_a_loop_that_lasts_as_long_as_the_block(app: Umbel) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def look(self: Task[..., Any]) -> str | None:
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())
        return self.request.id

    task = declare(app, look, bind=True)
    with running(app) as t:
        results = [task.delay() for _ in range(2)]
        t.drain()
        assert [result.get() for result in results] == [result.id for result in results]
    assert loops[0] is loops[1]
    assert loops[0].is_closed()


async def test_in_a_test_that_is_a_coroutine_tasks_run_on_its_loop(app: Umbel) -> None:
    async def where() -> bool:
        await asyncio.sleep(0)
        return asyncio.get_running_loop() is test_loop

    def elsewhere(self: Task[..., Any]) -> list[Any]:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return [self.request.id, threading.current_thread() is threading.main_thread()]

    test_loop = asyncio.get_running_loop()
    async with running(app) as t:
        here, there = await declare(app, where).adelay(), await declare(app, elsewhere, bind=True).adelay()
        assert await t.adrain() == 2
        assert here.result is True
        assert there.result == [there.id, False]
        here = await declare(app, where).options(countdown=5).adelay()
        assert await t.astep() is None
        assert await t.adrain(wait=True) == 1


async def test_draining_a_loop_from_itself_is_refused(app: Umbel) -> None:
    async with running(app) as t:
        with pytest.raises(UmbelError, match=r"await t\.adrain\(\)"):
            t.drain()
        with pytest.raises(UmbelError, match=r"await t\.astep\(\)"):
            t.step()
        result = await declare(app, add).adelay(1, 1)
        await t.auntil_done([result.id])
        assert result.state == "SUCCESS"
        with pytest.raises(TimeoutError, match="not sent"):
            await t.auntil_done(["unknown"])
        result = await declare(app, add).adelay(2, 2)
        assert await asyncio.to_thread(result.get) == 4


async def test_drains_side_by_side_share_the_work(app: Umbel) -> None:
    async def doze() -> None:
        await asyncio.sleep(0)

    async with running(app) as t:
        await declare(app, doze).adelay_many([()] * 10)
        assert sum(await asyncio.gather(t.adrain(), t.adrain(), t.adrain())) == 10


async def test_endless_work_on_a_loop_ends_with_the_name_of_the_task(app: Umbel) -> None:
    async def echo() -> None:
        await task.adelay()

    task = declare(app, echo)
    async with running(app) as t:
        await task.adelay()
        with pytest.raises(UmbelError, match=r"shop\.echo ran 20 times"):
            await t.adrain(limit=20)


async def test_a_drain_that_is_cancelled_stops_its_task(app: Umbel) -> None:
    started = asyncio.Event()

    async def hang() -> None:
        started.set()
        await asyncio.Event().wait()

    async with running(app) as t:
        result = await declare(app, hang).adelay()
        drain = asyncio.create_task(t.adrain())
        await started.wait()
        drain.cancel()
        with pytest.raises(asyncio.CancelledError):
            await drain
        assert result.failed()
        assert await t.adrain() == 0


async def test_awaiting_a_result_runs_what_is_due(app: Umbel) -> None:
    task = declare(app, add)
    async with running(app):
        assert await (await task.adelay(1, 2)) == 3
        results = await task.adelay_many([(n, n) for n in range(3)])
        assert sorted([await result async for result in app.as_completed(results)]) == [0, 2, 4]
        with pytest.raises(TimeoutError, match="not sent"):
            await app.result("unknown").aget(timeout=60)
