"""Tests of calling tasks: what is refused before anything is sent, what is sent, what runs here."""

from typing import Any

import pytest

from umbel import bridge, current
from umbel.app import Umbel
from umbel.errors import (
    ConfigurationError,
    EncodeError,
    Ignore,
    NoResultBackend,
    Reject,
    TaskFailed,
    UmbelError,
    UnknownOption,
)
from umbel.model import Message, Record, Route
from umbel.request import Request
from umbel.task import Task
from umbel.wire import results


class Caught:
    """Stands where the publisher's last step is, and keeps what would be sent."""

    def __init__(self, app: Umbel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[Route, Message]] = []
        monkeypatch.setattr(app.publisher, "send", lambda route, message: self.sent.append((route, message)))
        monkeypatch.setattr(app.publisher, "send_many", self.sent.extend)


@pytest.fixture
def app() -> Umbel:
    return Umbel("shop", broker="memory://task-tests", set_as_current=False, timezone="UTC")


@pytest.fixture
def caught(app: Umbel, monkeypatch: pytest.MonkeyPatch) -> Caught:
    return Caught(app, monkeypatch)


def declare(app: Umbel, **options: Any) -> Task[..., Any]:
    def add(x: int, y: int = 1) -> int:
        return x + y

    task: Task[..., Any] = app.task(name="shop.add", **options)(add)
    return task


def test_wrong_arguments_are_refused_before_anything_is_sent(app: Umbel, caught: Caught) -> None:
    add = declare(app)
    for call in (add.delay, add.options(queue="q").delay):
        with pytest.raises(TypeError, match=r"add\(\) missing 1 required positional argument: 'x'"):
            call()
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        add.apply_async((1,), {"z": 2})
    with pytest.raises(TypeError, match="missing"):
        app.send_task("shop.add")
    with pytest.raises(TypeError, match="args must be a list or a tuple"):
        add.apply_async("ab")
    with pytest.raises(TypeError, match="kwargs must be a mapping"):
        add.apply_async((1,), [2])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a tuple of arguments for each call"):
        add.delay_many([1])  # type: ignore[list-item]
    assert caught.sent == []


def test_typing_false_leaves_the_check_to_the_worker(app: Umbel, caught: Caught) -> None:
    declare(app, typing=False).delay(1, 2, 3)
    assert caught.sent[0][1].args == (1, 2, 3)


def test_a_calls_options_beat_the_tasks_and_these_the_settings(app: Umbel, caught: Caught) -> None:
    app.conf.task_default_priority = 1
    add = declare(app, queue="math", priority=4, expires=60.0)
    add.delay(1)
    add.options(queue="other").options(priority=9).delay(1)
    app.send_task("shop.unknown")
    routes = [route for route, _ in caught.sent]
    assert [(route.queue, route.priority) for route in routes] == [("math", 4), ("other", 9), ("celery", 1)]
    assert caught.sent[0][1].expires is not None


def test_times_travel_with_the_message_and_delay_its_delivery(app: Umbel, caught: Caught) -> None:
    add = declare(app)
    add.apply_async((1,), countdown=10)
    add.apply_async((1,), countdown=-5)
    (later, message), (now, _) = caught.sent
    assert later.due is not None
    assert message.eta is not None
    assert later.due == pytest.approx(message.eta.timestamp())
    assert now.due is None


def test_what_is_sent_inside_a_task_knows_its_parent(app: Umbel, caught: Caught) -> None:
    add = declare(app)
    request = Request(Message(task="shop.outer", id="outer", root_id="root"))
    token = current.request.set(request)
    try:
        result = add.delay(1)
    finally:
        current.request.reset(token)
    message = caught.sent[0][1]
    assert (message.parent_id, message.root_id) == ("outer", "root")
    assert result.id == message.id


def test_many_calls_cannot_share_one_id(app: Umbel, caught: Caught) -> None:
    add = declare(app)
    with pytest.raises(ConfigurationError, match="task_id names one call"):
        add.options(task_id="x").delay_many([(1,), (2,)])
    assert len({result.id for result in add.delay_many([(n,) for n in range(100)])}) == 100


def test_an_unknown_call_option_is_refused(app: Umbel, caught: Caught) -> None:
    with pytest.raises(UnknownOption, match="did you mean 'queue'"):
        declare(app).options(queu="x")
    with pytest.raises(UnknownOption):
        app.send_task("shop.other", countdwn=1)
    assert caught.sent == []


def test_an_argument_that_cannot_be_written_is_named_and_nothing_is_sent() -> None:
    app = Umbel("shop", broker="memory://task-encode", set_as_current=False)
    with pytest.raises(EncodeError, match="object"):
        declare(app).delay(object())


def test_get_inside_a_task_is_refused(app: Umbel) -> None:
    token = current.request.set(Request(Message(task="shop.outer", id="outer")))
    try:
        with pytest.raises(UmbelError, match="would hold a worker slot"):
            app.result("x").get()
    finally:
        current.request.reset(token)


async def test_get_on_a_running_loop_is_refused(app: Umbel) -> None:
    with pytest.raises(UmbelError, match="use `await result`"):
        app.result("x").get()


def test_an_ignored_result_says_why_there_is_none(app: Umbel, caught: Caught) -> None:
    with pytest.raises(NoResultBackend, match="ignore_result=True"):
        declare(app, ignore_result=True).delay(1).get()


def test_apply_runs_here_through_the_serializer(app: Umbel) -> None:
    @app.task(name="shop.kind")
    def kind(value: Any) -> str:
        return type(value).__name__

    result = kind.apply(((1, 2),))
    assert (result.get(), result.state, result.ready(), result.successful()) == ("list", "SUCCESS", True, True)
    with pytest.raises(TypeError):
        kind.apply(())
    with pytest.raises(EncodeError):
        kind.apply((object(),))


def test_apply_keeps_the_exception_until_it_is_asked_for(app: Umbel) -> None:
    @app.task(name="shop.fail")
    def fail() -> None:
        raise ValueError("no")

    result = fail.apply()
    assert result.failed()
    assert "ValueError: no" in str(result.traceback)
    assert isinstance(result.get(propagate=False), ValueError)
    with pytest.raises(ValueError, match="no"):
        result.get()
    with pytest.raises(ValueError, match="no"):
        fail.apply(throw=True)


@pytest.mark.parametrize(("error", "state"), [(Ignore(), "IGNORED"), (Reject("x"), "REJECTED")])
def test_apply_knows_a_task_that_wants_no_end(app: Umbel, error: Exception, state: str) -> None:
    @app.task(name="shop.end")
    def end() -> None:
        raise error

    assert end.apply().state == state


def test_apply_runs_async_tasks_too(app: Umbel) -> None:
    @app.task(name="shop.wait")
    async def wait() -> int:
        return 3

    value: Any = wait.apply().get()
    assert value == 3


def test_a_state_is_reported_from_a_running_task_alone(app: Umbel) -> None:
    add = declare(app)
    with pytest.raises(UmbelError, match="needs task_id="):
        add.update_state(state="HALF")
    for state in (None, "", "SUCCESS"):
        with pytest.raises(UmbelError, match="a state that is not final"):
            add.update_state("id", state=state)


def test_a_state_given_with_an_id_is_stored_from_anywhere() -> None:
    app = Umbel("shop", broker="memory://task-states", set_as_current=False)
    declare(app).update_state("some-id", state="HALF", meta={"done": 1})
    result = app.result("some-id")
    assert (result.state, result.info) == ("HALF", {"done": 1})


def test_what_would_end_the_caller_is_not_raised_as_it_is() -> None:
    app = Umbel("shop", broker="memory://task-exits", set_as_current=False)
    record = Record(id="gone", state="FAILURE", value=SystemExit("leaving"))
    bridge.get().run(app.backend.store([results.seal(record)]))
    with pytest.raises(TaskFailed, match="SystemExit"):
        app.result("gone").get()
    assert isinstance(app.result("gone").get(propagate=False), SystemExit)
