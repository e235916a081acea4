"""Adapters on the background loop: entered once, left once, whatever those do who wait for them."""

from __future__ import annotations

import asyncio
import threading
from typing import Self

import pytest

from umbel import bridge
from umbel.bridge import Bridge, Passing, Way
from umbel.errors import StoreError, TimeoutError


class Door:
    """An adapter that notes who passes, and opens when it is told to."""

    def __init__(self, fails: int = 0, closed: bool = False) -> None:
        self.notes: list[str] = []
        self._fails = fails
        self._open = threading.Event()
        if not closed:
            self.unlock()

    async def __aenter__(self) -> Self:
        self.notes.append("knock")
        await asyncio.to_thread(self._open.wait, 60)
        if self._fails:
            self._fails -= 1
            raise StoreError("nobody there")
        self.notes.append("in")
        return self

    async def __aexit__(self, *error: object) -> None:
        self.notes.append("out")

    def unlock(self) -> None:
        self._open.set()


async def visit(way: Way, door: Door) -> list[str]:
    return list((await way.entered(door)).notes)


@pytest.fixture
def way() -> Way:
    return bridge.get()


def test_an_adapter_is_entered_once_and_left_once(way: Way) -> None:
    door = Door()
    assert [way.run(visit(way, door)) for _ in range(3)] == [["knock", "in"]] * 3
    for _ in range(2):
        way.run(way.left(door))
    assert door.notes == ["knock", "in", "out"]
    way.run(visit(way, door))
    assert door.notes == ["knock", "in", "out", "knock", "in"]


def test_one_that_could_not_be_entered_is_tried_again(way: Way) -> None:
    door = Door(fails=1)
    with pytest.raises(StoreError, match="nobody there"):
        way.run(visit(way, door))
    assert way.run(visit(way, door)) == ["knock", "knock", "in"]


def test_who_waits_no_longer_leaves_the_opening_to_the_next(way: Way) -> None:
    door = Door(closed=True)
    with pytest.raises(TimeoutError, match=r"no answer within 0.01 s"):
        way.run(visit(way, door), 0.01)
    door.unlock()
    assert way.run(visit(way, door)) == ["knock", "in"]


async def test_one_that_is_being_entered_is_left_afterwards(way: Way) -> None:
    door = Door(closed=True)
    with pytest.raises(TimeoutError):
        await way.cross(visit(way, door), 0.01)
    leaving = asyncio.ensure_future(way.cross(way.left(door)))
    door.unlock()
    await leaving
    assert door.notes == ["knock", "in", "out"]


def test_after_the_end_each_call_enters_and_leaves() -> None:
    way = Passing()
    door = Door()
    assert [way.run(visit(way, door)) for _ in range(2)] == [["knock", "in"], ["knock", "in", "out", "knock", "in"]]
    assert door.notes[-1] == "out"


async def test_after_the_end_a_plain_call_on_a_loop_works_too() -> None:
    way = Passing()
    assert way.run(visit(way, Door())) == ["knock", "in"]


def test_after_the_end_calls_keep_their_deadlines_and_errors() -> None:
    way, door = Passing(), Door(closed=True)
    threading.Timer(0.5, door.unlock).start()  # a loop's end waits for its threads
    with pytest.raises(TimeoutError, match=r"no answer within 0.01 s"):
        way.run(visit(way, door), 0.01)
    with pytest.raises(StoreError):
        way.run(visit(way, Door(fails=1)), 60)
    with pytest.raises(TimeoutError, match="its own"):
        way.run(late(), 60)


async def late() -> None:
    raise TimeoutError("its own")


def test_a_bridge_that_is_closed_leaves_what_was_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "_over", False)
    own, door = Bridge(), Door()
    own.run(visit(own, door))
    own.close()
    assert isinstance(bridge.get(), Passing)
    assert door.notes == ["knock", "in", "out"]


def test_a_loop_that_cannot_be_had_is_an_error_and_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> asyncio.AbstractEventLoop:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio, "new_event_loop", refuse)
    with pytest.raises(StoreError, match=r"background loop cannot be started: .*Too many open files"):
        Bridge()


async def test_work_of_a_caller_that_is_cancelled_goes_on() -> None:
    begun, done = asyncio.Event(), asyncio.Event()
    loop, held = asyncio.get_running_loop(), asyncio.Event()

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(held.wait(), loop).result(60)
        loop.call_soon_threadsafe(done.set)

    waiting = asyncio.ensure_future(bridge.aside(work))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    held.set()
    await asyncio.wait_for(done.wait(), 60)
