"""Tests of calling from coroutines: sending, waiting, and what refuses to hold up a loop."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from umbel import bridge, current, publisher
from umbel.app import Umbel
from umbel.errors import NoResultBackend, TaskRevokedError, TimeoutError, UmbelError
from umbel.model import Message, Record
from umbel.request import Request
from umbel.result import AsyncResult
from umbel.task import Task
from umbel.wire import results


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Umbel]:
    """An app, on each of the stores."""
    url = f"memory://{tmp_path.name}" if request.param == "memory" else f"sqlite:///{tmp_path}/umbel.db"
    with Umbel("shop", broker=url, set_as_current=False) as app:
        yield app


@pytest.fixture
def add(app: Umbel) -> Task[[int, int], int]:
    @app.task(name="shop.add")
    def add(x: int, y: int) -> int:
        return x + y

    return add


def finish(app: Umbel, id: str, value: Any, state: str = "SUCCESS") -> None:
    """Store how a task ended, as a worker would."""
    bridge.get().run(app.backend.store([results.seal(Record(id=id, state=state, value=value))]))


async def sizes(app: Umbel) -> int:
    return await app.broker.size("celery")


async def test_every_way_to_send_has_an_async_twin(app: Umbel, add: Task[[int, int], int]) -> None:
    sent = [
        await add.adelay(1, 2),
        await add.options(priority=3).adelay(1, 2),
        await add.aapply_async((1,), {"y": 2}, priority=4),
        *await add.adelay_many((n, n) for n in range(3)),
        *await add.options(priority=5).adelay_many([(1, 1)]),
    ]
    assert len({result.id for result in sent}) == 7
    assert await sizes(app) == 7


async def test_what_does_not_fit_is_refused_as_by_the_plain_call(app: Umbel, add: Task[..., int]) -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        await add.adelay(1)
    with pytest.raises(TypeError, match="a tuple of arguments"):
        await add.adelay_many([1])  # type: ignore[list-item]
    assert await sizes(app) == 0


async def test_the_loop_goes_on_while_a_call_is_sent(
    app: Umbel, add: Task[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store answers only once the loop has run something else: it would wait for ever if that were held up."""
    gone_on = threading.Event()
    publish = app.broker.publish_now  # type: ignore[attr-defined]

    def patient(pairs: Any) -> None:
        assert gone_on.wait(60)
        publish(pairs)

    monkeypatch.setattr(app.broker, "publish_now", patient)
    sending = asyncio.ensure_future(add.adelay(1, 2))
    await asyncio.sleep(0)
    gone_on.set()
    await sending
    assert await sizes(app) == 1


async def test_what_is_sent_inside_a_task_knows_its_parent(app: Umbel, add: Task[..., int]) -> None:
    request = Request(Message(task="shop.outer", id="outer", root_id="root"))
    token = current.request.set(request)
    try:
        result = await add.adelay(1, 2)
    finally:
        current.request.reset(token)
    assert request.children == [result.id]


async def test_a_plain_call_on_a_loop_works_and_warns_once(
    app: Umbel, add: Task[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "_warned", False)
    with pytest.warns(RuntimeWarning, match="await task.adelay") as warned:
        add.delay(1, 2)
    assert [each.filename for each in warned] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        add.delay(1, 2)
    assert await sizes(app) == 2


async def test_a_result_can_be_awaited_again_and_again(app: Umbel) -> None:
    finish(app, "done", 42)
    result = app.result("done")
    assert [await result, await result, await app.result("done").aget(timeout=60)] == [42, 42, 42]


async def test_an_awaited_failure_is_raised_or_given(app: Umbel) -> None:
    finish(app, "failed", ValueError("no"), state="FAILURE")
    with pytest.raises(ValueError, match="no"):
        await app.result("failed")
    assert isinstance(await app.result("failed").aget(propagate=False), ValueError)


async def test_waiting_for_too_long_says_how_far_the_task_is(app: Umbel) -> None:
    finish(app, "half", {"done": 1}, state="HALF")
    result = app.result("half")
    with pytest.raises(TimeoutError, match=r"no result of half within 0.01 s \(state HALF\)"):
        await result.aget(timeout=0.01)
    known = await result.arecord()
    assert known is not None
    assert (await result.astate(), known.state, known.value) == ("HALF", "HALF", {"done": 1})
    assert (await app.result("never").astate(), await app.result("never").arecord()) == ("PENDING", None)


async def test_cancelling_a_waiter_leaves_the_others_and_the_task_alone(app: Umbel) -> None:
    result: AsyncResult[int] = app.result("slow")
    first, second = asyncio.ensure_future(result.aget()), asyncio.ensure_future(result.aget())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.to_thread(finish, app, "slow", 1)
    assert await second == await result == 1


async def test_a_call_is_taken_back_without_holding_up_the_loop(app: Umbel, add: Task[..., int]) -> None:
    result = await add.adelay(1, 2)
    await result.arevoke()
    with pytest.raises(TaskRevokedError):
        await result
    assert await sizes(app) == 0


async def test_waiting_inside_a_task_is_refused(app: Umbel) -> None:
    token = current.request.set(Request(Message(task="shop.outer", id="outer")))
    try:
        with pytest.raises(UmbelError, match="would hold a worker slot"):
            await app.result("x")
        with pytest.raises(UmbelError, match="would hold a worker slot"):
            [each async for each in app.as_completed(["x"])]
    finally:
        current.request.reset(token)


def test_many_results_come_in_the_order_of_their_ends(app: Umbel) -> None:
    ids = ["a", "b", "c"]
    finish(app, "b", 2)
    given: list[AsyncResult[Any]] = []
    for result in app.as_completed([*ids, "b"], timeout=60):
        given.append(result)
        if len(given) < 3:
            finish(app, {1: "c", 2: "a"}[len(given)], len(given))
    assert [result.id for result in given] == ["b", "c", "a"]
    assert [result.get() for result in given] == [2, 1, 2]
    assert [result.id for result in app.as_completed(given)] == ["b", "c", "a"]


async def test_many_results_can_be_awaited(app: Umbel) -> None:
    finish(app, "a", ValueError("no"), state="FAILURE")

    async def end_the_other() -> None:
        await asyncio.to_thread(finish, app, "b", 2)

    given = []
    ending: list[asyncio.Future[None]] = []
    async for result in app.as_completed(["a", "b"], timeout=60):
        given.append(await result.aget(propagate=False))
        ending.append(asyncio.ensure_future(end_the_other()))
    await asyncio.gather(*ending)
    assert [type(value) for value in given] == [ValueError, int]
    again = [result.id async for result in app.as_completed([app.result("a"), "b"])]
    assert sorted(again) == ["a", "b"]


async def test_results_that_do_not_come_in_time_are_counted(app: Umbel) -> None:
    finish(app, "a", 1)
    waiting = app.as_completed(["a", "b", "c"], timeout=0.05)
    with pytest.raises(TimeoutError, match=r"2 of the results were not there within 0.05 s"):
        [each async for each in waiting]
    with pytest.raises(TimeoutError, match=r"2 of the results"):
        await asyncio.to_thread(list, waiting)


async def test_a_plain_loop_over_results_is_refused_on_an_event_loop(app: Umbel) -> None:
    with pytest.raises(UmbelError, match="use `async for`"):
        list(app.as_completed(["a"]))
    nothing: list[str] = []
    assert [each async for each in app.as_completed(nothing)] == []


def test_results_of_which_nothing_is_kept_are_refused_before_the_wait(app: Umbel, add: Task[..., int]) -> None:
    with pytest.raises(NoResultBackend, match="ignore_result=True"):
        app.as_completed([add.options(ignore_result=True).delay(1, 2)])
