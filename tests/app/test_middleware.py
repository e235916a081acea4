"""Tests of what stands around sending and around running."""

from __future__ import annotations

import asyncio
import contextvars
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.faults.alone import Worker
from tests.faults.checker import PATIENCE
from umbel.app import Umbel
from umbel.errors import ConfigurationError, Ignore, Retry, UmbelError
from umbel.middleware import Middleware, NextRun, NextSend
from umbel.model import Message
from umbel.request import Request
from umbel.stores.memory import MemoryStore
from umbel.task import Task

heard: list[str] = []
said: contextvars.ContextVar[str] = contextvars.ContextVar("said", default="nothing")


class Tracing(Middleware):
    """Says when it is passed; around every kind of task."""

    def __init__(self, name: str = "setting") -> None:
        self.name = name

    def send(self, message: Message, next: NextSend) -> Message:
        heard.append(f"{self.name} sends")
        sent = next(message.with_headers({self.name: "was here"}))
        heard.append(f"{self.name} sent with {sorted(sent.headers or ())}")
        return sent

    async def run(self, request: Request, next: NextRun) -> Any:
        heard.append(f"{self.name} runs")
        try:
            return await next(request)
        finally:
            heard.append(f"{self.name} ran")


class Plain(Middleware):
    """Around plain functions."""

    def run(self, request: Request, next: NextRun) -> Any:
        heard.append("plain runs")
        token = said.set("plain")
        try:
            return f"<{next(request)}>"
        finally:
            said.reset(token)


class Waiting(Middleware):
    """Awaits something of its own."""

    async def run(self, request: Request, next: NextRun) -> Any:
        await asyncio.sleep(0)
        return await next(request)


@pytest.fixture
def app() -> Umbel:
    heard.clear()
    MemoryStore.named("middleware-tests").purge("celery")
    return Umbel("m", broker="memory://middleware-tests", set_as_current=False)


def declare(app: Umbel, body: Any = None, **options: Any) -> Task[..., Any]:
    def echo(text: str = "") -> str:
        heard.append(f"task {text}".strip())
        return text

    make: Any = app.task(name="m.task", **options)
    task: Task[..., Any] = make(body or echo)
    return task


async def later(text: str = "") -> str:
    await asyncio.sleep(0)
    return f"{text} {said.get()}"


def sent(app: Umbel) -> list[Message]:
    """The messages that wait, as they were sent."""
    from umbel.serial import accepted
    from umbel.wire import task_v2

    waiting = MemoryStore.named("middleware-tests")._ready.get("celery", [])
    return [task_v2.decode(entry[-1].envelope, accept=accepted(("json",))) for entry in waiting]


# -- sending --------------------------------------------------------------------------------------------------------


def test_those_of_the_setting_are_outside_those_added_and_each_in_its_order() -> None:
    heard.clear()
    app = Umbel(
        "m",
        broker="memory://middleware-tests",
        set_as_current=False,
        middleware=["tests.app.test_middleware:Tracing"],
    )
    task = declare(app)
    app.add_middleware(Tracing("first"))
    app.add_middleware(lambda: Tracing("second"))
    assert task.apply(("x",)).get() == "x"
    assert heard == [
        "setting sends",
        "first sends",
        "second sends",
        "second sent with ['first', 'second', 'setting']",
        "first sent with ['first', 'second', 'setting']",
        "setting sent with ['first', 'second', 'setting']",
        "setting runs",
        "first runs",
        "second runs",
        "task x",
        "second ran",
        "first ran",
        "setting ran",
    ]


@pytest.mark.parametrize("how", ["delay", "options", "apply_async", "send_task", "delay_many", "adelay"])
def test_every_way_of_sending_passes_the_middlewares(app: Umbel, how: str) -> None:
    task = declare(app)
    app.add_middleware(Tracing("t"))
    calls: dict[str, Any] = {
        "delay": lambda: [task.delay("x")],
        "options": lambda: [task.options(headers={"own": 1}).delay("x")],
        "apply_async": lambda: [task.apply_async(("x",), headers={"own": 1})],
        "send_task": lambda: [app.send_task("m.task", ("x",))],
        "adelay": lambda: [asyncio.run(task.adelay("x"))],
        "delay_many": lambda: task.delay_many([("x",), ("y",), ("z",)]),
    }
    results = calls[how]()
    messages = sent(app)
    assert [message.id for message in messages] == [result.id for result in results]
    assert all(message.headers is not None and message.headers["t"] == "was here" for message in messages)
    assert all(message.root_id == message.id for message in messages)
    assert heard.count("t sends") == len(messages) == (3 if how == "delay_many" else 1)
    if how in ("options", "apply_async"):
        assert messages[0].headers == {"own": 1, "t": "was here"}


class Changing(Middleware):
    """Changes whatever a message says of its call."""

    def send(self, message: Message, next: NextSend) -> Message:
        return next(
            replace(message, priority=7, eta=datetime(2100, 1, 1, tzinfo=UTC), time_limit=3.0, ignore_result=True)
        )


def test_a_middleware_may_change_what_the_message_says_of_its_call(app: Umbel) -> None:
    task = declare(app)
    app.add_middleware(Changing)
    route, message = app.publisher.prepare(task.name, (), {}, task.options(priority=1)._options)
    assert (route.priority, message.priority, message.time_limit) == (7, 7, 3.0)
    assert route.due == datetime(2100, 1, 1, tzinfo=UTC).timestamp()
    with pytest.raises(UmbelError, match="ignore_result"):
        task.delay().get(timeout=1)


class Refusing(Middleware):
    """Lets nothing beyond "y" pass."""

    def send(self, message: Message, next: NextSend) -> Message:
        if message.args[0] > "y":
            raise PermissionError(f"not {message.args[0]}")
        return next(message)


def test_a_middleware_that_refuses_raises_in_the_caller_and_nothing_is_sent(app: Umbel) -> None:
    task = declare(app)
    app.add_middleware(Refusing())
    with pytest.raises(PermissionError, match="not z"):
        task.delay("z")
    with pytest.raises(PermissionError, match="not z"):
        task.delay_many([("x",), ("y",), ("z",)])
    assert sent(app) == []
    task.delay_many([("x",), ("y",)])
    assert [message.args for message in sent(app)] == [["x"], ["y"]]
    assert task.delay_many([]) == []


class Forgetful(Middleware):
    """Gives nothing back."""

    def send(self, message: Message, next: NextSend) -> Message:
        next(message)
        return None  # type: ignore[return-value]


class Renaming(Middleware):
    """Gives the message another id."""

    def send(self, message: Message, next: NextSend) -> Message:
        return replace(next(message), id="other")


@pytest.mark.parametrize("wrong", [Forgetful, Renaming])
def test_a_middleware_that_gives_no_message_is_told_how_to(app: Umbel, wrong: type[Middleware]) -> None:
    task = declare(app)
    app.add_middleware(wrong)
    with pytest.raises(ConfigurationError, match=rf"{wrong.__name__}.send must give the message.*return next"):
        task.delay("x")
    assert sent(app) == []


# -- running --------------------------------------------------------------------------------------------------------


def test_plain_and_async_middlewares_stand_around_a_plain_function_together(app: Umbel) -> None:
    task = declare(app, lambda text: f"{text} {said.get()}")
    for middleware in (Tracing("a"), Plain(), Tracing("b"), Plain()):
        app.add_middleware(middleware)
    with Worker(app):
        assert task.delay("x").get(timeout=PATIENCE) == "<<x plain>>"
    assert [line for line in heard if "sen" not in line] == [
        "a runs",
        "plain runs",
        "b runs",
        "plain runs",
        "b ran",
        "a ran",
    ]
    assert said.get() == "nothing"


def test_a_middleware_of_an_async_task_may_await(app: Umbel) -> None:
    task = declare(app, later)
    for middleware in (Tracing("a"), Waiting()):
        app.add_middleware(middleware)
    with Worker(app):
        assert task.delay("x").get(timeout=PATIENCE) == "x nothing"
    assert heard[-2:] == ["a runs", "a ran"]
    assert task.apply(("y",)).get() == "y nothing"


def test_a_plain_middleware_around_an_async_task_is_refused_before_the_worker_starts(app: Umbel) -> None:
    task = declare(app, later)
    app.add_middleware(Plain)
    with (
        pytest.raises(
            ConfigurationError, match=r"Plain.run is a plain function, and the task m.task is an 'async def'"
        ),
        Worker(app),
    ):
        pass
    with pytest.raises(ConfigurationError, match=r"Plain\.run"):
        task.apply(throw=True)


def test_a_middleware_that_waits_for_a_loop_around_a_plain_function_is_told_so(app: Umbel) -> None:
    task = declare(app)
    app.add_middleware(Waiting())
    with pytest.raises(RuntimeError, match=r"Waiting.run waited for something beside next\(request\).*m\.task"):
        task.apply(throw=True)
    assert heard == []


class Broken(Middleware):
    """Fails after the function."""

    def run(self, request: Request, next: NextRun) -> Any:
        next(request)
        raise LookupError("broken middleware")


def test_what_a_middleware_raises_is_the_tasks_failure_with_its_own_traceback(app: Umbel) -> None:
    failures = []

    class Minded(Task[..., Any]):
        def on_failure(self, exc: BaseException, *args: Any) -> None:
            failures.append(exc)

    task = declare(app, base=Minded)
    app.add_middleware(Broken)
    with Worker(app):
        result = task.delay("x")
        with pytest.raises(LookupError, match="broken middleware"):
            result.get(timeout=PATIENCE)
    assert heard == ["task x"]
    trace = str(result.traceback)
    assert 'raise LookupError("broken middleware")' in trace
    assert trace.splitlines()[1].endswith("in run")
    assert "attempt.py" not in trace
    assert [str(failure) for failure in failures] == ["broken middleware"]


class Choosing(Middleware):
    """Ends a task as its argument says, without calling it."""

    def run(self, request: Request, next: NextRun) -> Any:
        word = request.args[0]
        if word == "skip":
            raise Ignore
        return {"short": "instead"}.get(word) or next(request)


def test_a_middleware_may_end_a_task_without_calling_it(app: Umbel) -> None:
    task = declare(app)
    app.add_middleware(Choosing)
    assert task.apply(("short",)).get() == "instead"
    assert task.apply(("skip",)).state == "IGNORED"
    assert heard == []
    assert task.apply(("x",)).get() == "x"


class Counting(Middleware):
    """Notes in the message how often it was tried."""

    def send(self, message: Message, next: NextSend) -> Message:
        heard.append("sent")
        return next(message.with_headers({"from": "the web"}))

    def run(self, request: Request, next: NextRun) -> Any:
        request.add_headers({"tries": (request.headers or {}).get("tries", 0) + 1})
        return next(request)


def test_headers_of_a_middleware_survive_retries_which_are_not_sent_again(app: Umbel) -> None:
    def stubborn(self: Task[..., Any]) -> Any:
        if self.request.retries < 2:
            raise Retry(countdown=0)
        return self.request.headers

    task = declare(app, stubborn, bind=True)
    app.add_middleware(Counting)
    with Worker(app):
        assert task.delay().get(timeout=PATIENCE) == {"from": "the web", "tries": 3}
    assert heard == ["sent"]
    assert task.apply().get() == {"from": "the web", "tries": 3}


def test_headers_cannot_be_added_where_there_is_no_message() -> None:
    with pytest.raises(UmbelError, match="called directly"):
        Request().add_headers({"a": 1})


# -- what is one ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("tests.app.test_middleware", "is not of the form 'module:Class'"),
        ("no_such_module:Tracing", "there is no module 'no_such_module'"),
        ("tests.app.test_middleware:Nothing", "the module 'tests.app.test_middleware' has no 'Nothing'"),
        ("tests.app.test_middleware:declare", "missing 1 required positional argument"),
        ("tests.app.test_middleware:said", "is no middleware: it has no method 'send'"),
        (object, "is no middleware: it has no method 'send'"),
        (7, "7 is no middleware"),
    ],
)
def test_what_is_no_middleware_is_refused_where_it_is_named(given: Any, complaint: str) -> None:
    app = Umbel("m", broker="memory://middleware-tests", set_as_current=False)
    with pytest.raises((ConfigurationError, TypeError), match=re.escape(complaint)):
        app.add_middleware(given)
    if isinstance(given, str):
        app.conf.middleware = [given]
        with pytest.raises((ConfigurationError, TypeError), match=re.escape(complaint)):
            declare(app).delay("x")


def test_a_change_of_the_setting_counts_from_the_next_call_on(app: Umbel) -> None:
    task = declare(app)
    task.delay("x")
    app.conf.middleware = ["tests.app.test_middleware:Tracing"]
    task.delay("y")
    app.conf.middleware = []
    task.delay("z")
    assert [message.headers for message in sent(app)] == [None, {"setting": "was here"}, None]
