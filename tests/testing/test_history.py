"""What a block tells of what ran, what waits and what died."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testing.shop import add, declare
from umbel.app import Umbel
from umbel.errors import (
    Ignore,
    Reject,
    TimeoutError,
)
from umbel.task import Task
from umbel.testing import running


def test_get_runs_what_is_due_until_the_result_is_there(app: Umbel) -> None:
    task = declare(app, add)
    with running(app) as t:
        first, second, third = (task.delay(n, n) for n in range(3))
        assert second.get() == 2
        assert first.ready()
        assert not third.ready()
        assert len(t.results) == 2


def test_get_on_what_does_not_end_says_why_and_does_not_hang(app: Umbel) -> None:
    def refuse() -> None:
        raise Reject("never")

    def nothing() -> None:
        raise Ignore

    with running(app) as t:
        later = declare(app, add).options(countdown=90).delay(1, 1)
        with pytest.raises(TimeoutError, match=r"due in 90 s.*t\.advance\(seconds=90\)"):
            later.get()
        with pytest.raises(TimeoutError, match=r"dead letter.*never"):
            declare(app, refuse).delay().get()
        with pytest.raises(TimeoutError, match="ended as IGNORED"):
            declare(app, nothing).delay().get()
        with pytest.raises(TimeoutError, match="not sent inside this block"):
            app.result("unknown").get(timeout=5)
        t.advance(seconds=90)
        assert later.get() == 2


def test_the_history_tells_every_end(app: Umbel) -> None:
    def fail(x: int) -> None:
        raise ValueError(f"no {x}")

    task = declare(app, fail, queue="depot")
    with running(app) as t:
        result = task.apply_async((7,))
        t.drain()
        (end,) = t.results
        assert (end.task, end.id, end.args, end.kwargs, end.queue) == ("shop.fail", result.id, (7,), {}, "depot")
        assert (end.state, repr(end.value), end.retries, end.redelivered) == ("FAILURE", "ValueError('no 7')", 0, False)
        assert "ValueError: no 7" in str(end.traceback)
        with pytest.raises(ValueError, match="no 7"):
            result.get()


@pytest.mark.parametrize(
    ("error", "state", "value"),
    [(Ignore(), "IGNORED", None), (Reject("x"), "REJECTED", "x"), (ValueError("x"), "FAILURE", ValueError)],
)
def test_the_history_tells_ends_without_a_result(app: Umbel, error: Exception, state: str, value: Any) -> None:
    def end() -> None:
        raise error

    task = declare(app, end, ignore_result=True)
    with running(app) as t:
        task.delay()
        t.drain()
        assert t.results[0].state == state
        assert t.results[0].value == value or isinstance(t.results[0].value, value)


def test_a_retry_without_a_result_is_told_too(app: Umbel) -> None:
    def again(self: Task[..., Any]) -> None:
        raise self.retry(exc=ValueError("x"), countdown=0, max_retries=1)

    task = declare(app, again, bind=True, ignore_result=True)
    with running(app) as t:
        task.delay()
        t.drain()
        assert [end.state for end in t.results] == ["RETRY", "FAILURE"]
        assert "in 0" in str(t.results[0].value)


def test_dead_letters_are_there_to_look_at_and_to_replay(app: Umbel) -> None:
    refuse = [True]

    def picky() -> int:
        if refuse:
            raise Reject("broken")
        return 1

    with running(app) as t:
        result = declare(app, picky).delay()
        t.drain()
        assert [(letter.task, letter.reason) for letter in t.dead] == [("shop.picky", "broken")]
        refuse.clear()
        assert app.dead.replay() == 1
        assert t.drain() == 1
        assert result.get() == 1
        assert t.dead == []


def test_what_no_worker_knows_waits_and_is_told_as_postponed(app: Umbel) -> None:
    with running(app, task_unknown_grace=5) as t:
        app.send_task("shop.unheard_of", ("x",))
        assert t.drain() == 1
        assert t.results[0].state == "POSTPONED"
        assert [(waiting.task, waiting.args) for waiting in t.pending] == [("shop.unheard_of", ("x",))]
        t.drain(wait=True)
        assert t.results[-1].state == "FAILURE"
        assert [letter.task for letter in t.dead] == ["shop.unheard_of"]


def test_a_message_that_cannot_be_read_is_seen_with_what_it_tells(app: Umbel) -> None:
    task = declare(app, add)
    with running(app, accept_content=["json"], task_message_max_size=300) as t:
        task.apply_async((1, 1), argsrepr="x" * 500)
        assert [waiting.task for waiting in t.pending] == ["shop.add"]
        assert t.drain() == 1
        assert (t.results[0].task, t.results[0].state) == ("shop.add", "FAILURE")


def test_a_revoked_call_does_not_run(app: Umbel) -> None:
    task = declare(app, add)
    with running(app) as t:
        result = task.options(countdown=60).delay(1, 1)
        result.revoke()
        app.revoke("to-come")
        task.apply_async((1, 1), task_id="to-come")
        assert t.drain(wait=True) == 1
        assert (t.results[0].state, result.state, app.result("to-come").state) == ("REVOKED",) * 3


def test_waiting_for_many_results_runs_what_is_due_too(app: Umbel) -> None:
    task = declare(app, add)
    with running(app) as t:
        results = [*task.delay_many([(n, n) for n in range(3)]), task.options(countdown=5).delay(9, 9)]
        completed = iter(app.as_completed(results))
        assert [next(completed).get() for _ in range(3)] == [0, 2, 4]
        with pytest.raises(TimeoutError, match="due in 5 s"):
            next(completed)
        t.advance(5)
        assert [result.get() for result in app.as_completed(results)][-1] == 18
