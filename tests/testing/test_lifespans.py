"""Tests of what lives as long as a runner, in the tests of users."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from umbel.app import Umbel
from umbel.errors import UmbelError
from umbel.testing import running


@pytest.fixture
def app() -> Umbel:
    return Umbel("t", broker="memory://", set_as_current=False)


def declare(app: Umbel, told: list[str]) -> None:
    """A lifespan of either kind, and a task that needs both."""

    @app.lifespan
    def files() -> Iterator[None]:
        told.append("files begin")
        yield
        told.append("files end")

    @app.lifespan
    async def talks() -> AsyncIterator[None]:
        told.append(f"talks begin {id(asyncio.get_running_loop())}")
        yield
        told.append("talks end")

    @app.task(name="t.ask")
    async def ask() -> int:
        told.append("ask")
        return id(asyncio.get_running_loop())


def test_they_begin_before_the_first_task_and_end_after_the_last(app: Umbel) -> None:
    told: list[str] = []
    declare(app, told)
    with running(app) as t:
        result = app.send_task("t.ask")
        t.drain()
        loop = result.get()
        assert told == ["files begin", f"talks begin {loop}", "ask"]
    assert told[3:] == ["talks end", "files end"]


async def test_in_a_test_on_a_loop_they_live_on_that_loop(app: Umbel) -> None:
    told: list[str] = []
    declare(app, told)
    async with running(app) as t:
        result = await app.tasks["t.ask"].adelay()
        await t.adrain()
        assert await result == id(asyncio.get_running_loop())
        assert told == ["files begin", f"talks begin {id(asyncio.get_running_loop())}", "ask"]
    assert told[3:] == ["talks end", "files end"]


def test_one_that_cannot_begin_is_told_and_the_app_is_as_it_was(app: Umbel) -> None:
    @app.lifespan
    def broken() -> Iterator[None]:
        raise OSError("no room")
        yield

    with pytest.raises(UmbelError, match=r"the lifespan .*broken could not begin: OSError: no room"), running(app):
        pass
    assert app.rehearsal is None
