"""A block in which a test runs its app's tasks by itself."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.testing.shop import add, declare
from umbel import testing
from umbel.app import Umbel
from umbel.errors import (
    ConfigurationError,
    NoResultBackend,
    TaskRevokedError,
    UmbelError,
    UnknownOption,
)
from umbel.result import AsyncResult
from umbel.signals import worker_process_init, worker_process_shutdown
from umbel.task import Task
from umbel.testing import running

# -- the block


def test_what_is_sent_runs_when_the_test_says_so(app: Umbel) -> None:
    task = declare(app, add)
    with running(app) as t:
        result = task.delay(2, 2)
        assert not result.ready()
        assert t.drain() == 1
        assert (result.state, result.get()) == ("SUCCESS", 4)


def test_nothing_reaches_the_apps_own_broker_and_it_has_it_again_afterwards(app: Umbel, file: Path) -> None:
    task = declare(app, add)
    before = (app.broker, app.backend, app.clock, app.conf.broker_url)
    with running(app) as t:
        task.delay(1, 1)
        t.drain()
        assert app.conf.origin("broker_url") == "running(app)"
    assert (app.broker, app.backend, app.clock, app.conf.broker_url) == before
    assert app.rehearsal is None
    assert not file.exists()
    kept = task.delay(1, 1)
    assert file.exists()
    with running(app):
        assert not app.result(kept.id).exists()


def test_the_environment_does_not_win_over_the_block(app: Umbel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UMBEL_BROKER_URL", "redis://nobody.invalid")
    with running(app) as t:
        declare(app, add).delay(1, 1)
        assert t.drain() == 1


def test_a_block_inside_a_block_is_refused_and_one_after_it_is_not(app: Umbel) -> None:
    with running(app):
        with pytest.raises(ConfigurationError, match="inside such a block already"), running(app):
            pass
        with running(Umbel("other", broker="memory://other", set_as_current=False)) as t:
            assert t.drain() == 0
    with running(app) as t:
        assert t.drain() == 0


def test_a_block_that_raises_gives_the_app_back(app: Umbel) -> None:
    with pytest.raises(ZeroDivisionError), running(app):
        raise ZeroDivisionError
    assert app.conf.broker_url.startswith("sqlite:")
    with running(app):
        pass


def test_settings_hold_for_the_block_and_what_is_written_in_it_counts_and_stays(app: Umbel) -> None:
    task = declare(app, add)
    with running(app, task_default_queue="slow") as t:
        task.delay(1, 1)
        assert [waiting.queue for waiting in t.pending] == ["slow"]
        app.conf.task_ignore_result = True
        t.drain()
    assert app.conf.task_default_queue != "slow"
    assert app.conf.task_ignore_result


def test_settings_that_do_not_exist_or_are_the_blocks_own_are_refused(app: Umbel) -> None:
    with pytest.raises(UnknownOption, match="task_acks_late"), running(app, task_ack_late=True):
        pass
    with pytest.raises(ConfigurationError, match="chooses broker_url itself"), running(app, broker_url="memory://"):
        pass
    with pytest.raises(ConfigurationError, match="needs a time zone"):
        running(app, now=datetime(2030, 1, 1))  # noqa: DTZ001  that it has none is the point
    with running(app):
        pass


def test_eager_mode_is_off_in_the_block(app: Umbel) -> None:
    app.conf.task_always_eager = True
    task = declare(app, add)
    with running(app) as t:
        task.delay(1, 1)
        assert len(t.pending) == 1


def test_results_that_the_app_does_not_keep_are_not_kept_here(app: Umbel) -> None:
    app.conf.result_backend = None
    task = declare(app, add)
    with running(app) as t:
        result = task.delay(1, 1)
        assert t.drain() == 1
        with pytest.raises(NoResultBackend):
            result.get()
        assert [(end.state, end.value) for end in t.results] == [("SUCCESS", 2)]


def test_names_that_do_not_exist_are_no_attributes() -> None:
    assert all(getattr(testing, name) for name in testing.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = testing.nothing


def test_outside_of_its_block_it_says_so(app: Umbel) -> None:
    with running(app) as t:
        pass
    for use in (t.drain, t.advance, lambda: t.pending, t.crash_worker):
        with pytest.raises(UmbelError, match="is over"):
            use()


def test_the_modules_of_the_app_are_imported_as_a_worker_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "depot_of_tasks.py").write_text("loaded = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    with running(Umbel("depot", include=["depot_of_tasks"], broker="memory://depot", set_as_current=False)):
        import depot_of_tasks  # type: ignore[import-not-found]

        assert depot_of_tasks.loaded


# -- time


def test_a_call_waits_for_its_time_by_the_clock_of_the_block(app: Umbel) -> None:
    task = declare(app, add)
    start = datetime(2030, 1, 1, tzinfo=UTC)
    with running(app, now=start) as t:
        task.apply_async((2, 2), countdown=7200)
        assert t.drain() == 0
        assert [waiting.due for waiting in t.pending] == [start + timedelta(hours=2)]
        t.advance(hours=1, minutes=59, seconds=59)
        assert t.drain() == 0
        assert t.advance(1) == t.now == start + timedelta(hours=2)
        assert t.drain() == 1
        assert t.results[0].at == t.now


def test_the_clock_goes_forwards_only(app: Umbel) -> None:
    with running(app) as t:
        with pytest.raises(ConfigurationError, match="forwards"):
            t.advance(seconds=-1)
        assert t.advance(timedelta(days=1), hours=1) == t.now


def test_results_expire_by_the_clock_of_the_block(app: Umbel) -> None:
    task = declare(app, add)
    with running(app, result_expires=3600) as t:
        result = task.delay(1, 1)
        t.drain()
        t.advance(minutes=59)
        assert result.exists()
        result = app.result(result.id)
        t.advance(minutes=1)
        assert not result.exists()


def test_an_expired_call_is_revoked(app: Umbel) -> None:
    task = declare(app, add)
    with running(app) as t:
        late = task.options(expires=60).delay(1, 1)
        t.advance(seconds=60)
        assert t.drain() == 1
        with pytest.raises(TaskRevokedError, match="expired"):
            late.get()


def test_waiting_drains_to_the_last_follow_up_whenever_it_is_due(app: Umbel) -> None:
    def again(self: Task[..., Any]) -> int:
        if self.request.retries < 3:
            raise self.retry(countdown=600)
        return self.request.retries

    task = declare(app, again, bind=True)
    with running(app) as t:
        start = t.now
        result = task.delay()
        assert t.drain() == 1
        assert result.state == "RETRY"
        assert t.drain(wait=True) == 3
        assert t.now - start == timedelta(minutes=30)
        assert [end.state for end in t.results] == ["RETRY", "RETRY", "RETRY", "SUCCESS"]
        assert result.get() == 3


# -- running


def test_follow_ups_run_in_the_same_drain_and_steps_run_one(app: Umbel) -> None:
    task = declare(app, add)

    def three() -> None:
        for number in range(3):
            task.delay(number, number)

    many = declare(app, three)
    with running(app) as t:
        many.delay()
        first = t.step()
        assert first is not None
        assert (first.task, first.state) == ("shop.three", "SUCCESS")
        assert len(t.pending) == 3
        assert t.drain() == 3
        assert t.step() is None


def test_a_task_runs_in_the_thread_of_the_test(app: Umbel) -> None:
    def thread() -> str:
        return threading.current_thread().name

    task = declare(app, thread)
    with running(app) as t:
        result = task.delay()
        t.drain()
        assert result.get() == threading.current_thread().name


def test_endless_retries_end_with_the_name_of_the_task(app: Umbel) -> None:
    def stuck(self: Task[..., Any]) -> None:
        raise self.retry(countdown=0)

    task = declare(app, stuck, bind=True, max_retries=None)
    with running(app) as t:
        declare(app, add).delay(1, 1)
        task.delay()
        with pytest.raises(UmbelError, match=r"shop\.stuck ran \d+ times") as caught:
            t.drain(limit=50)
        assert "limit=" in str(caught.value)
        assert len(t.results) == 50


def test_as_many_tasks_as_the_limit_are_no_error(app: Umbel) -> None:
    task = declare(app, add)
    with running(app) as t:
        task.delay_many([(n, n) for n in range(20)])
        task.options(countdown=60).delay(1, 1)
        assert t.drain(limit=20) == 20
        task.delay_many([(n, n) for n in range(2)])
        with pytest.raises(UmbelError, match=r"2 tasks were run and 1 more"):
            t.drain(wait=True, limit=2)


def test_arguments_make_the_way_through_the_serializer(app: Umbel) -> None:
    def kind(value: Any) -> str:
        return type(value).__name__

    def odd() -> object:
        return object()

    with running(app) as t:
        result = declare(app, kind).delay((1, 2))
        unwritable = declare(app, odd).delay()
        t.drain()
        assert result.get() == "list"
        assert unwritable.failed()
        assert t.results[1].state == "FAILURE"
        assert "cannot be stored" in str(t.results[1].value)


def test_messages_are_signed_and_sealed_as_ever(app: Umbel) -> None:
    app.conf.security_signing_keys = ["k" * 32]
    task = declare(app, add)
    with running(app) as t:
        assert task.delay(1, 2).get() == 3
        task.delay(1, 2)
        t.advance(days=2)
        t.drain()
        assert "SignatureError" in t.dead[0].reason


def test_nobody_runs_a_task_inside_a_task(app: Umbel) -> None:
    with running(app) as t:

        def inner() -> None:
            t.drain()

        result = declare(app, inner).delay()
        t.drain()
        with pytest.raises(UmbelError, match=r"drain\(\) inside the task shop\.inner"):
            result.get()


def test_states_of_a_tasks_own_are_seen(app: Umbel) -> None:
    seen: list[tuple[str, Any]] = []

    def half(self: Task[..., Any]) -> None:
        self.update_state(state="HALF", meta={"done": 1})
        result: AsyncResult[Any] = app.result(str(self.request.id))
        seen.append((result.state, result.info))

    with running(app) as t:
        declare(app, half, bind=True, track_started=True).delay()
        t.drain()
    assert seen == [("HALF", {"done": 1})]


def test_the_block_is_a_process_of_a_worker_to_whoever_hears_of_those(app: Umbel) -> None:
    heard: list[str] = []

    def begun(**arguments: Any) -> None:
        heard.append("begun")

    def ended(**arguments: Any) -> None:
        heard.append(f"ended {arguments['exitcode']}")

    def tell() -> None:
        heard.append("ran")

    task = declare(app, tell)
    worker_process_init.connect(begun)
    worker_process_shutdown.connect(ended)
    try:
        with running(app) as t:
            task.delay()
            t.drain()
    finally:
        worker_process_init.disconnect(begun)
        worker_process_shutdown.disconnect(ended)
    assert heard == ["begun", "ran", "ended 0"]
