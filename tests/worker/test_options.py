"""Tests of what the options of tasks and calls mean to the worker that runs them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.worker.process import Shop
from umbel.app import Umbel
from umbel.errors import NoResultBackend, QueueNotFound, Retry, SoftTimeLimitExceeded
from umbel.model import Queue
from umbel.request import Request
from umbel.task import Task
from umbel.testing import running


@pytest.fixture
def app() -> Umbel:
    return Umbel("shop", set_as_current=False)


def declare(app: Umbel, **options: Any) -> Task[..., Any]:
    def work(error: str | None = None) -> str:
        if error is not None:
            raise KeyError(error)
        return "done"

    task: Task[..., Any] = app.task(name="shop.work", **options)(work)
    return task


def test_an_error_that_is_expected_is_a_failure_without_a_traceback_in_the_log(
    app: Umbel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "umbel")
    task = declare(app, throws=(LookupError,))
    with running(app) as t:
        result = task.delay("gone")
        t.drain()
        assert (result.state, "KeyError" in (result.traceback or "")) == ("FAILURE", True)
    (line,) = [record for record in caplog.records if "raised" in record.message]
    assert (line.levelname, line.message) == ("INFO", f"Task shop.work[{result.id}] raised expected: KeyError('gone')")


def test_a_shadow_stands_in_the_log_in_the_place_of_the_name(app: Umbel, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "umbel")
    task = declare(app)
    with running(app) as t:
        result = task.options(shadow="nightly").delay()
        t.drain()
        assert result.name == "shop.work"
    assert f"Task nightly[{result.id}] succeeded" in caplog.text
    assert "shop.work" not in caplog.text


@pytest.mark.parametrize("by", ["the task", "the call", "the settings"])
def test_a_result_that_is_not_wanted_is_not_kept_but_a_failure_may_be(app: Umbel, by: str) -> None:
    if by == "the settings":
        app.conf.update(task_ignore_result=True, task_store_errors_even_if_ignored=True)
    task = declare(app, **({"ignore_result": True, "store_errors_even_if_ignored": True} if by == "the task" else {}))
    if by == "the call":
        app.conf.task_store_errors_even_if_ignored = True
    options: dict[str, Any] = {"ignore_result": True} if by == "the call" else {}
    with running(app) as t:
        good, bad = task.apply_async((), **options), task.apply_async(("gone",), **options)
        t.drain()
        with pytest.raises(NoResultBackend, match="ignore_result=True"):
            good.get()
        assert not app.result(good.id).exists()
        assert app.result(bad.id).state == "FAILURE"


def test_a_call_may_want_a_result_that_its_task_does_not_keep(app: Umbel) -> None:
    task = declare(app, ignore_result=True)
    with running(app) as t:
        result = task.apply_async((), ignore_result=False)
        t.drain()
        assert result.get() == "done"


def test_representations_that_a_call_gives_are_what_the_message_shows(app: Umbel) -> None:
    task = declare(app)
    _, message = app.publisher.prepare("shop.work", (), {}, task.options(argsrepr="(…)", kwargsrepr="{…}")._options)
    assert (message.argsrepr, message.kwargsrepr) == ("(…)", "{…}")


def test_a_task_keeps_the_looks_of_its_function(app: Umbel) -> None:
    @app.task
    def total(prices: list[float], *, tax: float = 0.2) -> float:
        """Add it up."""
        return sum(prices) * (1 + tax)

    looks: Any = total
    assert (looks.__name__, looks.__doc__, looks.__module__) == ("total", "Add it up.", __name__)
    assert looks.__qualname__.endswith("<locals>.total")
    assert looks.__wrapped__.__annotations__ == {"prices": "list[float]", "tax": "float", "return": "float"}


def test_a_route_reaches_the_worker_of_its_queue(app: Umbel) -> None:
    app.conf.task_routes = {"shop.where": {"routing_key": "media.video", "priority": 4, "time_limit": 9.0}}
    app.conf.task_queues = [Queue("video", routing_key="media.video")]

    @app.task(name="shop.where", bind=True)
    def where(self: Task[..., Any]) -> list[Any]:
        request: Request = self.request
        return [request.delivery_info["routing_key"], request.delivery_info["priority"], request.timelimit[0]]

    with running(app) as t:
        result = where.delay()
        t.drain()
        assert result.get() == ["video", 4, 9.0]
        assert result.queue == "video"


def test_a_retry_to_a_queue_that_is_not_declared_fails_the_task(app: Umbel) -> None:
    app.conf.task_create_missing_queues = False

    @app.task(name="shop.strays")
    def strays() -> None:
        raise Retry(countdown=0, options={"queue": "elsewhere"})

    with running(app) as t:
        result = strays.delay()
        t.drain()
        with pytest.raises(QueueNotFound, match="no queue 'elsewhere'"):
            result.get()


def test_what_annotations_say_holds_in_the_processes_of_a_worker(shop: Shop) -> None:
    shop.environ["UMBEL_TASK_ANNOTATIONS"] = '{"shop.hold": {"soft_time_limit": 0.2}}'
    shop.worker("-c", "1")
    with pytest.raises(SoftTimeLimitExceeded):
        shop.get(shop.send("hold", "a", "never"))
