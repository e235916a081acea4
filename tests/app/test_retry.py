"""Tests of when a task is tried again, and with what message."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.app import Umbel
from umbel.errors import ConfigurationError, MaxRetriesExceededError, QueueNotFound, Retry, UnknownOption
from umbel.model import Message
from umbel.retry import Backoff
from umbel.retrying import exceeded, next_message, wanted
from umbel.task import Task

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def declare(body: Any = None, **options: Any) -> Task[..., Any]:
    app = Umbel("retry", broker="memory://retry-tests", set_as_current=False)

    def nothing(*args: Any) -> None: ...

    make: Any = app.task(name="retry.task", **options)
    task: Task[..., Any] = make(body or nothing)
    return task


@given(st.floats(0, 1e6), st.floats(0, 100), st.floats(0, 1e6), st.integers(0, 10_000))
def test_no_delay_is_negative_or_beyond_the_most(first: float, factor: float, most: float, retries: int) -> None:
    backoff = Backoff(first=first, factor=factor, most=most, jitter=False)
    assert 0 <= backoff.delay(retries) <= most
    assert 0 <= Backoff(first=first, factor=factor, most=most).delay(retries) <= most


def test_the_delay_grows_by_its_factor_and_jitter_picks_below_it() -> None:
    assert [Backoff(first=2, jitter=False).delay(n) for n in range(4)] == [2, 4, 8, 16]
    assert Backoff(first=2).delay(3, chance=lambda low, high: (low + high) / 2) == 8


@pytest.mark.parametrize(
    "wrong",
    [
        {"first": -1},
        {"factor": float("nan")},
        {"most": float("inf")},
        {"times": -1},
        {"times": 1.5},
        {"on": ValueError},
        {"unless": ("x",)},
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Backoff(**wrong)


def test_a_policy_covers_its_exceptions_less_the_excluded() -> None:
    policy = Backoff(on=(OSError,), unless=(FileNotFoundError,))
    assert policy.covers(ConnectionError())
    assert not policy.covers(FileNotFoundError())
    assert not policy.covers(ValueError())


def test_the_separate_attributes_make_the_same_policy() -> None:
    task = declare(
        autoretry_for=(OSError,),
        dont_autoretry_for=(FileNotFoundError,),
        retry_backoff=5,
        retry_backoff_max=100.0,
        retry_jitter=False,
        max_retries=7,
    )
    assert task.retry_policy == Backoff(
        first=5, most=100, jitter=False, times=7, on=(OSError,), unless=(FileNotFoundError,)
    )


def test_without_backoff_the_delay_is_always_the_same() -> None:
    policy = declare(autoretry_for=(OSError,), retry_kwargs={"countdown": 4, "max_retries": 2}).retry_policy
    assert policy is not None
    assert ([policy.delay(n) for n in range(3)], policy.times) == ([4, 4, 4], 2)


def test_an_error_that_the_policy_covers_asks_for_a_retry() -> None:
    task = declare(retry=Backoff(first=3, jitter=False, on=(OSError,)))
    message = Message(task=task.name, id="1", retries=2)
    error = ConnectionError("gone")
    retry = wanted(task, message, error)
    assert retry is not None
    assert (retry.exc, retry.countdown) == (error, 12)
    assert wanted(task, message, ValueError()) is None
    own = Retry(countdown=1)
    assert wanted(task, message, own) is own


def test_the_reason_is_what_it_fails_with_in_the_end() -> None:
    task = declare(max_retries=2)
    error = ConnectionError("gone")
    assert exceeded(task, Message(task=task.name, id="1", retries=1), Retry(exc=error)) is None
    assert exceeded(task, Message(task=task.name, id="1", retries=2), Retry(exc=error)) is error
    bare = exceeded(task, Message(task=task.name, id="1", retries=2), Retry())
    assert isinstance(bare, MaxRetriesExceededError)
    assert "tried 3 times" in str(bare)
    assert exceeded(task, Message(task=task.name, id="1", retries=2), Retry(max_retries=5)) is None
    assert exceeded(declare(max_retries=None), Message(task="t", id="1", retries=10**6), Retry()) is None


def test_the_next_message_keeps_everything_but_its_number_and_time() -> None:
    message = Message(task="retry.task", id="1", args=(1,), root_id="r", parent_id="p", priority=7, reply_to="q")
    after = next_message(declare(), message, Retry(countdown=2.5), NOW.timestamp())
    assert (after.id, after.args, after.root_id, after.parent_id, after.priority, after.reply_to) == (
        "1",
        (1,),
        "r",
        "p",
        7,
        "q",
    )
    assert (after.retries, after.eta) == (1, NOW + timedelta(seconds=2.5))
    changed = next_message(declare(), message, Retry(args=(2,), options={"priority": 1}), NOW.timestamp())
    assert (changed.args, changed.priority, changed.eta) == ((2,), 1, NOW + timedelta(seconds=180))


def test_a_retry_takes_only_options_that_make_sense() -> None:
    message = Message(task="retry.task", id="1")
    with pytest.raises(UnknownOption, match="task_id"):
        next_message(declare(), message, Retry(options={"task_id": "2"}), NOW.timestamp())
    with pytest.raises(ConfigurationError, match="priority"):
        next_message(declare(), message, Retry(options={"priority": 99}), NOW.timestamp())


def test_a_retry_goes_to_no_queue_that_a_call_could_not_go_to() -> None:
    task, again = declare(), Retry(options={"queue": "mial"})
    message = Message(task="retry.task", id="1")
    assert next_message(task, message, again, NOW.timestamp()).retries == 1
    task.app.conf.update(task_queues=["mail"], task_create_missing_queues=False)
    with pytest.raises(QueueNotFound, match="did you mean 'mail'"):
        next_message(task, message, again, NOW.timestamp())


def test_called_directly_retry_raises_the_reason() -> None:
    def body(self: Task[..., Any]) -> None:
        try:
            raise ConnectionError("gone")
        except ConnectionError as error:
            raise self.retry(exc=error) from None

    with pytest.raises(ConnectionError, match="gone"):
        declare(body, bind=True)()


def test_apply_tries_again_at_once_until_it_works_or_the_retries_are_used_up() -> None:
    tried: list[int] = []

    def body(self: Task[..., Any], works_at: int) -> int:
        tried.append(self.request.retries)
        if self.request.retries < works_at:
            raise self.retry(exc=ConnectionError("gone"), countdown=3600)
        return self.request.retries

    task = declare(body, bind=True, max_retries=3)
    assert task.apply((2,)).get() == 2
    assert tried == [0, 1, 2]
    with pytest.raises(ConnectionError, match="gone"):
        task.apply((9,)).get()


def test_a_retry_that_must_not_be_thrown_is_handed_back() -> None:
    def body(self: Task[..., Any]) -> str:
        if self.request.retries:
            return "second"
        raise self.retry(countdown=0, throw=False)

    assert declare(body, bind=True).apply().get() == "second"
