"""What a test sees when the worker dies with a task."""

from __future__ import annotations

from typing import Any

import pytest

from umbel.app import Umbel
from umbel.errors import ConfigurationError, UmbelError, WorkerLostError
from umbel.task import Task
from umbel.testing import LOST, running


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
def order(app: Umbel, done: list[str]) -> Task[..., Any]:
    @app.task(name="shop.order")
    def order(item: str) -> int:
        done.append(item)
        return len(done)

    return order


def test_what_ran_and_was_not_settled_runs_again(app: Umbel, order: Task[..., Any], done: list[str]) -> None:
    with running(app) as t:
        result = order.delay("tea")
        t.crash_worker()
        assert t.drain() == 2
        assert done == ["tea", "tea"]
        assert [(end.state, end.redelivered) for end in t.results] == [(LOST, False), ("SUCCESS", True)]
        assert result.get() == 2


def test_between_death_and_redelivery_nothing_is_known(app: Umbel, order: Task[..., Any], done: list[str]) -> None:
    with running(app) as t:
        result = order.delay("tea")
        t.crash_worker()
        t.step()
        assert done == ["tea"]
        assert not result.exists()
        assert [waiting.id for waiting in t.pending] == [result.id]


def test_what_was_not_started_has_not_run(app: Umbel, order: Task[..., Any], done: list[str]) -> None:
    with running(app) as t:
        order.delay("tea")
        t.crash_worker("before")
        t.step()
        assert done == []
        assert t.drain() == 1
        assert done == ["tea"]


def test_a_task_can_bring_down_its_own_worker(app: Umbel, done: list[str]) -> None:
    with running(app) as t:

        @app.task(name="shop.fatal")
        def fatal() -> None:
            if not done:
                t.crash_worker()
            done.append("ran")

        fatal.delay()
        assert t.drain() == 2
        assert [end.state for end in t.results] == [LOST, "SUCCESS"]


def test_what_it_had_sent_stands_and_its_retry_does_not(app: Umbel, order: Task[..., Any], done: list[str]) -> None:
    @app.task(name="shop.try_again", bind=True)
    def try_again(self: Task[..., Any]) -> None:
        order.delay("milk")
        raise self.retry(countdown=0, max_retries=1)

    with running(app) as t:
        try_again.delay()
        t.crash_worker()
        t.step()
        assert sorted(str(waiting.task) for waiting in t.pending) == ["shop.order", "shop.try_again"]
        assert all(waiting.retries == 0 for waiting in t.pending)


def test_a_task_that_is_settled_early_is_lost(app: Umbel, done: list[str]) -> None:
    @app.task(name="shop.once", acks_late=False)
    def once() -> None:
        done.append("ran")

    with running(app) as t:
        lost = once.delay()
        t.crash_worker()
        assert t.drain() == 1
        assert (done, t.pending, lost.exists()) == (["ran"], [], False)
        fine = once.delay()
        t.drain()
        assert fine.state == "SUCCESS"
        early = once.delay()
        t.crash_worker("before")
        assert t.drain() == 2
        assert early.state == "SUCCESS"


def test_the_third_death_ends_among_the_dead_letters(app: Umbel, order: Task[..., Any], done: list[str]) -> None:
    with running(app) as t:
        result = order.delay("tea")
        for _ in range(3):
            t.crash_worker()
            t.step()
        assert t.drain() == 1
        assert done == ["tea"] * 3
        assert "task_max_starts=3" in t.dead[0].reason
        with pytest.raises(WorkerLostError):
            result.get()


def test_an_end_clears_the_count_of_deaths(app: Umbel, done: list[str]) -> None:
    from umbel.errors import Reject

    @app.task(name="shop.back")
    def back() -> None:
        done.append("ran")
        if len(done) < 6:
            raise Reject("not yet", requeue=True)

    with running(app) as t:
        back.delay()
        assert t.drain() == 6
        assert t.results[-1].state == "SUCCESS"


def test_a_death_that_meets_no_task_is_an_error(app: Umbel) -> None:
    with pytest.raises(UmbelError, match="no task was run after it"), running(app) as t:
        t.crash_worker()


def test_a_death_that_met_no_task_hides_no_other_error(app: Umbel) -> None:
    def stumble() -> None:
        with running(app) as t:
            t.crash_worker()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stumble()


def test_another_word_for_the_moment_is_refused(app: Umbel) -> None:
    with running(app) as t, pytest.raises(ConfigurationError, match="'before' a task or 'after' it"):
        t.crash_worker("during")  # type: ignore[arg-type]


async def test_a_worker_dies_on_a_loop_too(app: Umbel, done: list[str]) -> None:
    @app.task(name="shop.fetch")
    async def fetch() -> None:
        done.append("ran")

    async with running(app) as t:
        await fetch.adelay()
        t.crash_worker()
        assert await t.adrain() == 2
        assert done == ["ran", "ran"]
