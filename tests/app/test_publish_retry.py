"""Tests of messages that the broker refuses."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from umbel import offer, publisher
from umbel.app import Umbel
from umbel.errors import (
    ConfigurationError,
    PublishError,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreUnsuitable,
    UnknownOption,
)
from umbel.retry import PublishRetry


class Moody:
    """Stands where the broker takes messages, and refuses the first ``refusals``."""

    def __init__(self, app: Umbel, refusals: int, error: StoreError) -> None:
        self.left = refusals
        self.error = error
        self.taken: list[Any] = []
        self.asked = 0
        app.broker.publish_now = self  # type: ignore[attr-defined]

    def __call__(self, pairs: Any) -> None:
        self.asked += 1
        if self.left:
            self.left -= 1
            raise self.error
        self.taken += pairs


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, by a clock that only waiting moves."""
    pauses: list[float] = []
    monkeypatch.setattr(publisher, "sleep", pauses.append)
    for module in (offer, publisher):
        monkeypatch.setattr(module, "monotonic", lambda: sum(pauses))
    return pauses


Make = Callable[..., tuple[Umbel, Moody]]


@pytest.fixture
def make() -> Make:
    def made(refusals: int, error: StoreError | None = None, **settings: Any) -> tuple[Umbel, Moody]:
        app = Umbel("shop", broker=f"memory://{uuid.uuid4().hex}", set_as_current=False, **settings)
        return app, Moody(app, refusals, error or StoreFull("no room"))

    return made


def test_a_message_is_offered_again_until_the_broker_takes_it(make: Make, pauses: list[float]) -> None:
    app, broker = make(3)
    app.send_task("a")
    assert (len(broker.taken), pauses) == (1, [0.0, 0.2, 0.4])


def test_after_the_last_refusal_the_caller_is_told(make: Make, pauses: list[float]) -> None:
    app, broker = make(9)
    with pytest.raises(PublishError, match="did not take the message: no room"):
        app.send_task("a")
    assert broker.asked == 4


@pytest.mark.parametrize("kind", [StoreError, StoreBusy, StoreDamaged, StoreUnsuitable])
def test_what_time_does_not_mend_or_may_have_been_taken_is_told_at_once(
    make: Make, pauses: list[float], kind: type[StoreError]
) -> None:
    app, broker = make(1, kind("hopeless"))
    with pytest.raises(PublishError, match="hopeless"):
        app.send_task("a")
    assert broker.asked == 1


def test_no_offer_is_made_after_the_time_to_publish_is_over(make: Make, pauses: list[float]) -> None:
    app, broker = make(99, broker_publish_timeout=3, task_publish_retry_policy={"max_retries": None})
    with pytest.raises(PublishError):
        app.send_task("a")
    assert sum(pauses) <= 3 < sum(pauses) + 1
    assert broker.taken == []


def test_the_settings_and_the_call_say_how_often(make: Make, pauses: list[float]) -> None:
    app, broker = make(99, task_publish_retry=False)
    task = app.task(name="b")(lambda: None)
    for send, offers in (
        (lambda: app.send_task("a"), 1),
        (lambda: app.send_task("a", retry=True), 4),
        (lambda: task.delay(), 1),
        (lambda: task.apply_async(retry_policy={"max_retries": 1}), 2),
        (lambda: task.options(retry_policy={"max_retries": 2, "interval_step": 1}).delay_many([()]), 3),
        (lambda: task.options(retry=False, retry_policy={"max_retries": 2}).delay(), 1),
    ):
        broker.asked = 0
        with pytest.raises(PublishError):
            send()
        assert broker.asked == offers


def test_a_policy_that_cannot_be_meant_is_refused(make: Make) -> None:
    with pytest.raises(UnknownOption, match="retry_policy: unknown name 'max_retry'; did you mean 'max_retries'"):
        PublishRetry.of({"max_retry": 3})
    for wrong in ({"max_retries": -1}, {"interval_step": -1}, {"interval_start": True}, {"interval_max": float("inf")}):
        with pytest.raises(ConfigurationError, match=f"retry_policy: {next(iter(wrong))} must be"):
            PublishRetry.of(wrong)
    app, _ = make(0)
    for options in ({"retry_policy": 3}, {"retry": "no"}):
        with pytest.raises(ConfigurationError, match="retry"):
            app.send_task("a", **options)
    with pytest.raises(ConfigurationError, match="task_publish_retry_policy: expected a mapping"):
        app.conf.task_publish_retry_policy = {"times": 3}
