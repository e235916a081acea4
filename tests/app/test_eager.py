"""Tests of calls that run in their caller: eager mode."""

from __future__ import annotations

import asyncio
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

from umbel import current
from umbel.app import Umbel
from umbel.eager import MOST, EagerResult
from umbel.errors import EncodeError, Ignore, NoResultBackend, NotRegistered, Reject, TaskFailed, UmbelError
from umbel.result import AsyncResult
from umbel.task import Task


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "broker" / "shop.db"


@pytest.fixture
def app(file: Path) -> Umbel:
    return Umbel("shop", broker=f"sqlite:///{file}", task_always_eager=True, set_as_current=False)


def declare(app: Umbel, body: Any, **options: Any) -> Task[..., Any]:
    make: Any = app.task(name=f"shop.{body.__name__}", **options)
    task: Task[..., Any] = make(body)
    return task


def add(x: int, y: int) -> int:
    return x + y


def fail() -> None:
    raise ValueError("no")


def test_every_way_of_sending_runs_the_task_here_and_nothing_is_written(app: Umbel, file: Path) -> None:
    task = declare(app, add)
    results: list[AsyncResult[Any]] = [
        task.delay(2, 2),
        task.apply_async((2, 2), countdown=3600),
        task.options(queue="far").delay(2, 2),
        app.send_task("shop.add", (2, 2)),
        *task.delay_many([(2, 2), (2, 2)]),
        *task.options(priority=1).delay_many([(2, 2)]),
    ]
    assert [(result.get(), result.state, result.ready()) for result in results] == [(4, "SUCCESS", True)] * 7
    assert all(isinstance(result, EagerResult) for result in results)
    assert len({result.id for result in results}) == 7
    assert not file.exists()


def test_the_mode_can_be_switched_at_any_time(app: Umbel) -> None:
    task = declare(app, add)
    assert task.delay(1, 1).ready()
    app.conf.task_always_eager = False
    assert not task.delay(1, 1).ready()
    app.conf.task_always_eager = True
    assert task.delay(1, 1).ready()


def test_what_is_not_known_here_cannot_run_here(app: Umbel) -> None:
    with pytest.raises(NotRegistered, match=r"task_always_eager is on .*'shop\.unknown'"):
        app.send_task("shop.unknown")


def test_arguments_are_checked_and_written_as_if_they_were_sent(app: Umbel) -> None:
    task = declare(app, add)
    with pytest.raises(TypeError, match="missing"):
        task.delay(1)
    with pytest.raises(EncodeError):
        task.delay(1, object())


def test_a_result_makes_the_way_through_its_serializer(app: Umbel) -> None:
    def pair() -> Any:
        return (1, 2)

    def odd() -> Any:
        return object()

    assert declare(app, pair).delay().get() == [1, 2]
    result = declare(app, odd).delay()
    assert result.failed()
    with pytest.raises(EncodeError, match=r"the result of shop\.odd cannot be stored"):
        result.get()
    app.conf.task_ignore_result = True
    assert type(app.tasks["shop.odd"].delay().result) is object


def test_an_exception_stays_in_the_result_unless_it_is_to_be_raised(app: Umbel) -> None:
    task = declare(app, fail)
    result = task.delay()
    assert (result.state, result.failed(), result.successful()) == ("FAILURE", True, False)
    assert "ValueError: no" in str(result.traceback)
    with pytest.raises(ValueError, match="no"):
        result.get()
    app.conf.task_eager_propagates = True
    for call in (task.delay, task.apply):
        with pytest.raises(ValueError, match="no"):
            call()
    assert task.apply(throw=False).failed()


def test_what_would_end_the_caller_is_wrapped(app: Umbel) -> None:
    def leave() -> None:
        raise SystemExit(3)

    result = declare(app, leave).delay()
    with pytest.raises(TaskFailed, match="SystemExit"):
        result.get()
    assert isinstance(result.get(propagate=False), SystemExit)


def test_results_are_kept_when_asked_for(app: Umbel) -> None:
    app.conf.task_store_eager_result = True
    good, bad = declare(app, add).delay(1, 1), declare(app, fail).delay()
    kept = app.result(good.id)
    assert (kept.get(), kept.name, kept.retries) == (2, "shop.add", 0)
    assert kept.date_done is not None
    with pytest.raises(ValueError, match="no"):
        app.result(bad.id).get()
    ignored = app.tasks["shop.add"].options(ignore_result=True).delay(1, 1)
    assert not app.result(ignored.id).exists()
    good.forget()
    assert not app.result(good.id).exists()
    assert good.get() == 2


def test_results_that_are_to_be_kept_need_a_place(app: Umbel) -> None:
    app.conf.update(task_store_eager_result=True, result_backend=None)
    with pytest.raises(NoResultBackend):
        declare(app, add).delay(1, 1)


@pytest.mark.parametrize(("error", "state"), [(Ignore(), "IGNORED"), (Reject("x"), "REJECTED")])
def test_an_end_without_a_result_is_kept_nowhere(app: Umbel, error: Exception, state: str) -> None:
    def end() -> None:
        raise error

    app.conf.task_store_eager_result = True
    result = declare(app, end).delay()
    assert (result.state, result.ready()) == (state, True)
    assert not app.result(result.id).exists()


def test_states_of_a_tasks_own_reach_the_store_only_if_results_do(app: Umbel, file: Path) -> None:
    seen: list[str] = []

    def half(self: Task[..., Any]) -> None:
        self.update_state(state="HALF", meta={"done": 1})
        if file.exists():
            seen.append(app.result(str(self.request.id)).state)

    task = declare(app, half, bind=True)
    task.delay()
    assert not file.exists()
    app.conf.task_store_eager_result = True
    task.delay()
    assert seen == ["HALF"]


def test_a_task_knows_that_it_runs_in_its_caller_and_what_it_calls_does_too(app: Umbel) -> None:
    seen: list[Any] = []

    def inner(self: Task[..., Any]) -> None:
        seen.append((self.request.is_eager, self.request.parent_id, self.request.root_id))

    def outer(self: Task[..., Any]) -> None:
        app.tasks["shop.inner"].delay()
        seen.append((self.request.is_eager, self.request.id))

    declare(app, inner, bind=True)
    result = declare(app, outer, bind=True).delay()
    assert seen == [(True, result.id, result.id), (True, result.id)]
    assert result.children == []
    assert current.request.get() is None
    app.conf.task_store_eager_result = True
    result = app.tasks["shop.outer"].delay()
    assert [child.state for child in result.children] == ["SUCCESS"]
    assert app.result(result.id).children == result.children


def test_retries_follow_at_once_with_arguments_that_made_the_way_too(app: Umbel) -> None:
    tried: list[Any] = []

    def again(self: Task[..., Any], value: Any) -> int:
        tried.append(value)
        if self.request.retries < 2:
            raise self.retry(args=((1, 2),), countdown=3600)
        return self.request.retries

    result = declare(app, again, bind=True).delay("first")
    assert (result.get(), result.retries) == (2, 2)
    assert tried == ["first", [1, 2], [1, 2]]


def test_a_retry_that_cannot_be_sent_is_a_failure(app: Umbel) -> None:
    def again(self: Task[..., Any], value: Any) -> None:
        raise self.retry(args=(object(),), countdown=0)

    with pytest.raises(EncodeError, match=r"the retry of shop\.again cannot be sent"):
        declare(app, again, bind=True).delay(1).get()


def test_retries_without_end_end(app: Umbel) -> None:
    def again(self: Task[..., Any]) -> None:
        raise self.retry(countdown=1)

    with pytest.raises(UmbelError, match=rf"shop\.again\[.*was tried {MOST} times"):
        declare(app, again, bind=True, max_retries=None).delay()


def test_get_is_refused_where_a_sent_calls_would_be(app: Umbel) -> None:
    def outer() -> Any:
        return app.tasks["shop.add"].delay(1, 1).get()

    def fine() -> Any:
        return app.tasks["shop.add"].apply((1, 1)).get()

    declare(app, add)
    with pytest.raises(UmbelError, match=r"get\(\) inside the task shop\.outer"):
        declare(app, outer).delay().get()
    assert declare(app, fine).delay().get() == 2


async def test_coroutines_run_in_a_caller_that_has_a_loop(app: Umbel) -> None:
    async def where(self: Task[..., Any]) -> list[Any]:
        await asyncio.sleep(0)
        return [self.request.id, threading.current_thread() is threading.main_thread()]

    result = declare(app, where, bind=True).delay()
    assert result.result == [result.id, False]


def test_coroutines_run_in_a_caller_that_has_none(app: Umbel) -> None:
    async def where() -> bool:
        await asyncio.sleep(0)
        return threading.current_thread() is threading.main_thread()

    assert declare(app, where).delay().get()


def test_a_result_outlives_its_trip_through_pickle(app: Umbel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current, "_current", app)
    result = declare(app, add).delay(1, 1)
    again = pickle.loads(pickle.dumps(result))
    assert (again, again.get()) == (result, 2)
    assert repr(again) == f"<EagerResult: {result.id}>"


def test_what_has_ended_can_be_revoked_and_forgotten_without_a_store(app: Umbel, file: Path) -> None:
    result = declare(app, add).delay(1, 1)
    result.revoke(terminate=True)
    result.forget()
    assert (result.get(), file.exists()) == (2, False)
