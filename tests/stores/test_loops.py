"""Tests of what an adapter has of each loop."""

from __future__ import annotations

import asyncio
import os

import pytest

from umbel.stores.loops import PerLoop
from umbel.testing.conformance.harness import on_another_loop


async def test_each_loop_has_its_own_until_it_leaves_as_often_as_it_entered() -> None:
    values = PerLoop(object)
    values.enter()
    mine = values.here

    async def elsewhere() -> None:
        assert values.known is None
        values.enter()
        theirs = values.here
        assert theirs is not mine
        assert set(values.all) == {mine, theirs}
        assert values.leave() is theirs

    await on_another_loop(elsewhere)
    values.enter()
    assert values.here is mine
    assert values.leave() is None
    assert values.all == [mine]
    assert values.leave() is mine
    assert values.all == []
    assert values.leave() is None


async def test_who_has_not_entered_is_told() -> None:
    values = PerLoop(object)
    with pytest.raises(AssertionError, match="entered before it is used"):
        _ = values.here
    values.enter()
    assert values.here is values.known


def test_without_a_loop_there_is_none() -> None:
    assert PerLoop(object).known is None


def test_a_fork_has_none_of_its_parents() -> None:
    values = PerLoop(os.getpid)
    parents = asyncio.new_event_loop()

    async def enter() -> None:
        values.enter()

    parents.run_until_complete(enter())
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(enter())
            os.write(writing, repr(values.all == [os.getpid()]).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with open(reading) as told:
        assert told.read() == "True"
    assert values.all == [os.getpid()]
    parents.close()
