"""Tests of what a task's handlers and the receivers of its signals are told, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.faults.alone import Worker
from tests.worker.process import wait_until
from umbel import signals
from umbel.app import Umbel
from umbel.errors import DecodeError, Ignore, NotRegistered, Reject, Retry
from umbel.handlers import ended
from umbel.model import Delivery, Envelope, Route
from umbel.signals import Signal
from umbel.stores.memory import MemoryStore
from umbel.task import Task

story: list[str] = []
EVERY = [signal for signal in vars(signals).values() if isinstance(signal, Signal)]


class Minded(Task[..., Any]):
    """Says what it is told."""

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> Any:
        story.append(f"before_start {list(args)}")
        if "before" in args:
            raise ValueError("before")

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> Any:
        story.append(f"on_success {retval}")

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: str | None) -> Any:
        assert einfo is not None
        story.append(f"on_failure {exc!r}")
        raise LookupError("a handler's own")

    def on_retry(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: str | None) -> Any:
        story.append(f"on_retry {type(exc).__name__}")

    def after_return(self, status: str, retval: Any, *rest: Any) -> Any:
        story.append(f"after_return {status} {retval!r}")


class Patient(Minded):
    """The same, with handlers that await."""

    async def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        await asyncio.sleep(0)
        super().before_start(task_id, args, kwargs)

    async def on_success(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        super().on_success(*args, **kwargs)

    async def on_failure(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        super().on_failure(*args, **kwargs)

    async def on_retry(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        super().on_retry(*args, **kwargs)

    async def after_return(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        super().after_return(*args, **kwargs)


def act(word: str, again: list[int]) -> str:
    story.append("run")
    if word == "fail":
        raise ValueError("failed")
    if word == "ignore":
        raise Ignore
    if word == "reject":
        raise Reject("no", requeue=False)
    if word == "retry" and not again:
        again.append(1)
        raise Retry(countdown=0)
    return word


@pytest.fixture
def app() -> Umbel:
    story.clear()
    return Umbel("s", broker="memory://task-signals", set_as_current=False, task_unknown_grace=0)


def declare(app: Umbel, base: type[Task[..., Any]], *, is_async: bool) -> Task[..., Any]:
    again: list[int] = []

    async def awaits(word: str) -> str:
        await asyncio.sleep(0)
        return act(word, again)

    def plain(word: str) -> str:
        return act(word, again)

    make: Any = app.task(name="s.task", base=base)
    task: Task[..., Any] = make(awaits if is_async else plain)
    return task


@contextmanager
def listening(*wanted: Signal) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Everything that these signals said, each by its name; every argument that is promised was there."""
    heard: list[tuple[str, dict[str, Any]]] = []

    def hear(signal: Signal, **arguments: Any) -> None:
        assert set(arguments) - {"sender"} == signal.arguments, signal
        story.append(signal.name)
        heard.append((signal.name, arguments))

    for signal in wanted or EVERY:
        signal.connect(hear)
    try:
        yield heard
    finally:
        for signal in wanted or EVERY:
            signal.disconnect(hear)


ORDERS = {
    "x": "before_start ['x'] · run · on_success x · task_success · after_return SUCCESS 'x'",
    "fail": "before_start ['fail'] · run · on_failure ValueError('failed') · task_failure · "
    "after_return FAILURE ValueError('failed')",
    "before": "before_start ['before'] · on_failure ValueError('before') · task_failure · "
    "after_return FAILURE ValueError('before')",
    "ignore": "before_start ['ignore'] · run",
    "reject": "before_start ['reject'] · run",
    "retry": "before_start ['retry'] · run · on_retry Retry · task_retry · task_postrun · task_prerun · "
    "before_start ['retry'] · run · on_success retry · task_success · after_return SUCCESS 'retry'",
}


@pytest.mark.parametrize("base", [Minded, Patient])
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("word", ORDERS)
def test_handlers_and_signals_of_a_task_come_in_their_order(
    app: Umbel, base: type[Task[..., Any]], is_async: bool, word: str
) -> None:
    task = declare(app, base, is_async=is_async)
    wanted = [signal for signal in EVERY if signal.name.startswith("task_") and signal is not signals.task_received]
    with listening(*wanted):
        task.apply((word,))
    assert " · ".join(story) == f"task_prerun · {ORDERS[word]} · task_postrun"


@pytest.mark.parametrize("word", ["x", "fail"])
def test_handlers_are_called_the_same_way_in_a_worker(app: Umbel, word: str) -> None:
    task = declare(app, Patient, is_async=True)
    with Worker(app):
        result = task.delay(word)
        wait_until(result.ready)
    expected = ORDERS[word].replace(" · task_success", "").replace(" · task_failure", "")
    assert " · ".join(story) == expected


def test_signals_carry_what_there_is_to_say(app: Umbel) -> None:
    task = declare(app, Task, is_async=False)
    with listening() as heard, Worker(app):
        good, bad = task.delay("x"), task.apply_async(("fail",), queue="celery")
        wait_until(bad.ready)
        wait_until(good.ready)
    said = {(name, arguments.get("task_id")): arguments for name, arguments in heard}
    names = [name for name, _ in heard]
    assert names.count("task_received") == names.count("task_prerun") == names.count("task_postrun") == 2
    assert said["task_prerun", good.id]["task"] is task
    assert list(said["task_prerun", good.id]["args"]) == ["x"]
    assert (said["task_postrun", good.id]["state"], said["task_postrun", good.id]["retval"]) == ("SUCCESS", "x")
    assert said["task_postrun", bad.id]["state"] == "FAILURE"
    failure = said["task_failure", bad.id]
    assert failure["exception"].args == ("failed",)
    assert failure["traceback"] is failure["exception"].__traceback__
    assert "ValueError: failed" in failure["einfo"]
    assert failure["sender"] is task
    received = [arguments for name, arguments in heard if name == "task_received"]
    assert {arguments["request"].id for arguments in received} == {good.id, bad.id}
    assert received[0]["sender"] == received[0]["request"].hostname


def test_a_call_that_expired_or_was_revoked_is_told_of_and_was_never_run(app: Umbel) -> None:
    task = declare(app, Minded, is_async=False)
    revoked = task.apply_async(("x",), countdown=0.2)
    revoked.revoke()
    expired = task.apply_async(("x",), expires=-1)
    with listening(signals.task_revoked, signals.task_prerun, signals.task_postrun) as heard, Worker(app):
        wait_until(expired.ready)
    assert [(name, arguments["request"].id) for name, arguments in heard] == [("task_revoked", expired.id)]
    assert (heard[0][1]["expired"], heard[0][1]["terminated"], heard[0][1]["signum"]) == (True, False, None)
    assert story == ["task_revoked"]


def test_messages_that_cannot_be_read_or_are_of_no_known_task_are_told_of(app: Umbel) -> None:
    with listening(signals.task_rejected, signals.task_unknown) as heard, Worker(app):
        unknown = app.send_task("s.nobody", ("x",))
        MemoryStore.named("task-signals").publish([(Route("celery"), Envelope("plain", "bad", b"{", b""))])
        wait_until(lambda: len(heard) == 2)
    said = dict(heard)
    assert (said["task_unknown"]["name"], said["task_unknown"]["id"]) == ("s.nobody", unknown.id)
    assert isinstance(said["task_unknown"]["exc"], NotRegistered)
    assert said["task_unknown"]["message"].args == ["x"]
    assert isinstance(said["task_rejected"]["exc"], DecodeError)
    assert isinstance(said["task_rejected"]["message"], Delivery)
    assert said["task_rejected"]["message"].envelope.id == "bad"


def test_an_error_of_umbel_itself_is_told_of(app: Umbel, monkeypatch: pytest.MonkeyPatch) -> None:
    task = declare(app, Task, is_async=False)

    async def fails(*args: Any, **kwargs: Any) -> None:
        await ended(*args, **kwargs)
        raise RuntimeError("umbel's own")

    with listening(signals.task_internal_error, signals.task_success) as heard, Worker(app):
        monkeypatch.setattr("umbel.handlers.ended", fails)
        result = task.delay("x")
        wait_until(lambda: len(heard) == 2)
    assert heard[1][1]["task_id"] == result.id
    assert "umbel's own" in heard[1][1]["einfo"]


# -- publishing -----------------------------------------------------------------------------------------------------


def test_what_receivers_put_into_headers_and_properties_is_sent(app: Umbel) -> None:
    task = declare(app, Task, is_async=False)

    def trace(sender: Any, headers: dict[str, Any], properties: dict[str, Any], body: Any, **rest: Any) -> None:
        assert (sender, list(body[0]), headers["task"], headers["own"]) == ("s.task", ["x"], "s.task", 1)
        assert properties["correlation_id"] == headers["id"]
        assert (rest["exchange"], rest["routing_key"], rest["declare"]) == ("", "q", [])
        headers["trace"] = "t1"
        properties["app_id"] = "shop"
        headers["task"] = "another"
        headers.pop("id")

    seen: list[Any] = []

    def after(headers: dict[str, Any], **rest: Any) -> None:
        seen.append(headers["trace"])

    signals.before_task_publish.connect(trace, sender=task)
    signals.after_task_publish.connect(after, sender="s.task")
    one = task.options(queue="q", headers={"own": 1}).delay("x")
    many = task.options(queue="q", headers={"own": 1}).delay_many([("x",), ("x",)])
    signals.before_task_publish.disconnect(trace, sender=task)
    assert len(seen) == 3
    sent = {each.id: each for each in arrived("q")}
    assert set(sent) == {one.id, *(each.id for each in many)}
    for message in sent.values():
        assert message.task == "s.task"
        assert message.headers == {"own": 1, "trace": "t1"}
        assert message.properties == {"app_id": "shop"}


def arrived(queue: str) -> list[Any]:
    from umbel.serial import accepted
    from umbel.wire import task_v2

    waiting = MemoryStore.named("task-signals")._ready.get(queue, [])
    return [task_v2.decode(entry[-1].envelope, accept=accepted(("json",))) for entry in waiting]


def test_a_message_that_nobody_changes_is_sent_as_it_was(app: Umbel) -> None:
    task = declare(app, Task, is_async=False)
    task.options(queue="same").delay("x")
    with listening(signals.before_task_publish, signals.after_task_publish):
        task.options(queue="same").delay("x")
    one, other = arrived("same")
    assert (one.headers, one.properties, one.args) == (other.headers, other.properties, other.args)
    assert story == ["before_task_publish", "after_task_publish"]
