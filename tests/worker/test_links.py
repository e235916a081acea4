"""What follows a task on a worker: callbacks, error callbacks, the rest of its chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from umbel.app import Umbel
from umbel.call import NO_OPTIONS
from umbel.errors import DecodeError, EncodeError, NoResultBackend, NotRegistered, QueueNotFound, TaskRevokedError
from umbel.middleware import Middleware, NextSend
from umbel.model import Links, Message
from umbel.testing import Rehearsal, running

seen: list[Any] = []


def step(trail: list[Any], name: str = "") -> list[Any]:
    return [*trail, name]


def fails(*args: Any) -> None:
    raise ValueError(*args)


def note(*args: Any) -> None:
    seen.append(args)


def set_of(value: Any) -> set[Any]:
    return {value}


def failed_old(task_id: str) -> None:
    seen.append(task_id)


def failed_new(request: Any, error: BaseException, trace: str, more: int = 0) -> None:
    seen.append((request.id, request.task, repr(error), "ValueError" in trace, more))


async def failed_later(request: Any, error: BaseException, trace: str) -> None:
    seen.append((request.id, repr(error)))


def failed_badly(request: Any, error: BaseException) -> None:
    raise RuntimeError("the callback")


@pytest.fixture
def app() -> Umbel:
    app = Umbel("links", broker="memory://links", set_as_current=False)
    for body in (step, fails, note, set_of, failed_old, failed_new, failed_later, failed_badly):
        declare: Any = app.task(name=body.__name__)
        declare(body)
    return app


@pytest.fixture
def block(app: Umbel) -> Iterator[Rehearsal]:
    seen.clear()
    with running(app) as block:
        yield block


Send = Callable[..., str]


@pytest.fixture
def send(app: Umbel, block: Rehearsal) -> Send:
    """Sends a call with links; gives its id."""

    def send(name: str, *args: Any, options: Any = NO_OPTIONS, marks: Any = None, **links: Any) -> str:
        route, message = app.publisher.prepare(name, args, {}, options)
        app.publisher.send(route, replace(message, links=Links(**links), marks=marks or {}))
        return message.id

    return send


def sig(task: str, *args: Any, immutable: bool = False, kwargs: Any = None, **options: Any) -> dict[str, Any]:
    return {"task": task, "args": list(args), "kwargs": kwargs or {}, "options": options, "immutable": immutable}


def test_a_chain_runs_to_its_end(app: Umbel, block: Rehearsal, send: Send) -> None:
    first = send("step", [], "1", chain=[sig("step", "3", task_id="last"), sig("step", "2")])
    assert app.result("last").get() == ["1", "2", "3"]
    between = block.results[1].id
    assert [child.id for child in app.result(first).children] == [between]
    assert [child.id for child in app.result(between).children] == ["last"]
    assert app.result("last").record().parent_id == between  # type: ignore[union-attr]


def test_callbacks_are_called_with_the_result(app: Umbel, block: Rehearsal, send: Send) -> None:
    first = send("step", [], "1", callbacks=[sig("note", 1), sig("note", 2, immutable=True)])
    block.drain()
    assert seen == [(["1"], 1), (2,)]
    assert len(app.result(first).children) == 2


def test_follow_ups_wait_for_their_time(app: Umbel, block: Rehearsal, send: Send) -> None:
    send("step", [], "1", chain=[sig("note", countdown=60)])
    block.drain()
    assert seen == []
    block.advance(seconds=61)
    block.drain()
    assert seen == [(["1"],)]


def test_follow_ups_pass_the_middlewares_and_the_routes(app: Umbel, block: Rehearsal, send: Send) -> None:
    class Stamp(Middleware):
        def send(self, message: Message, next: NextSend) -> Message:
            return next(message.with_headers({"via": message.task}))

    app.add_middleware(Stamp())
    app.conf.task_routes = {"note": "elsewhere"}
    send("step", [], "1", chain=[sig("note")])
    block.step()
    (waiting,) = block.pending
    assert (waiting.task, waiting.queue) == ("note", "elsewhere")


def test_a_redelivered_task_marks_what_follows_it_as_sent_before(app: Umbel, block: Rehearsal, send: Send) -> None:
    send("step", [], "1", chain=[sig("step", "2", task_id="second"), sig("step", "x")])
    block.crash_worker("after")
    block.step()
    ids = [(ran.id, ran.state) for ran in block.results]
    assert ids[0][1] == "LOST"
    assert app.result("second").get() == ["1", "x", "2"]
    assert [ran.redelivered for ran in block.results] == [False, True, False, False]


class TestFailures:
    def test_a_callback_of_one_argument_is_sent_the_id(self, app: Umbel, block: Rehearsal, send: Send) -> None:
        first = send("fails", 1, errbacks=[sig("failed_old"), sig("nobody", queue="elsewhere")])
        block.step()
        assert [(each.task, each.args) for each in block.pending] == [("failed_old", (first,)), ("nobody", (first,))]
        block.step()
        assert seen == [first]
        assert app.result(first).state == "FAILURE"

    def test_a_callback_of_several_arguments_is_called_in_place(self, block: Rehearsal, send: Send) -> None:
        first = send("fails", 1, errbacks=[sig("failed_new", kwargs={"more": 7}), sig("failed_later")])
        assert block.drain() == 1
        assert seen == [(first, "fails", "ValueError(1)", True, 7), (first, "ValueError(1)")]

    def test_a_callback_that_raises_is_logged_and_changes_nothing(
        self, app: Umbel, block: Rehearsal, send: Send, caplog: pytest.LogCaptureFixture
    ) -> None:
        first = send("fails", 1, errbacks=[sig("failed_badly"), sig("failed_old")])
        block.drain()
        assert f"The error callback failed_badly of fails[{first}] raised" in caplog.text
        assert seen == [first]
        assert isinstance(app.result(first).result, ValueError)

    def test_who_waits_for_the_rest_of_the_chain_is_told(self, app: Umbel, block: Rehearsal, send: Send) -> None:
        send("fails", 1, chain=[sig("step", task_id="3"), sig("step", task_id="2")])
        assert block.drain() == 1
        for task_id in "23":
            with pytest.raises(ValueError, match="1"):
                app.result(task_id).get()

    def test_and_so_they_are_when_it_is_revoked(self, app: Umbel, block: Rehearsal, send: Send) -> None:
        options = NO_OPTIONS.with_(expires=1)
        first = send("step", [], options=options, chain=[sig("step", task_id="2")], errbacks=[sig("failed_old")])
        block.advance(seconds=2)
        block.drain()
        assert (app.result(first).state, seen) == ("REVOKED", [])
        with pytest.raises(TaskRevokedError, match="expired"):
            app.result("2").get()

    def test_and_so_they_are_when_it_is_taken_back_while_it_waits(
        self, app: Umbel, block: Rehearsal, send: Send
    ) -> None:
        chain = [sig("step", task_id="3"), sig("step", task_id="2")]
        first = send("step", [], options=NO_OPTIONS.with_(countdown=60), chain=chain, errbacks=[sig("failed_old")])
        app.revoke(first)
        for task_id in (first, "2", "3"):
            with pytest.raises(TaskRevokedError, match="revoked"):
                app.result(task_id).get()
        assert app.result("2").record().parent_id == first  # type: ignore[union-attr]
        assert not block.pending
        assert seen == []

    def test_a_part_of_a_chord_that_is_taken_back_is_kept_by_a_worker(
        self, app: Umbel, block: Rehearsal, send: Send
    ) -> None:
        first = send("step", [], chain=[sig("step", task_id="2", chord=sig("note"))])
        app.revoke(first)
        assert app.result(first).state == "PENDING"
        block.drain()
        assert [letter.id for letter in block.dead] == [first]
        for task_id in (first, "2"):
            with pytest.raises(TaskRevokedError, match="revoked"):
                app.result(task_id).get()

    def test_what_nobody_here_can_read_is_taken_back_all_the_same(
        self, app: Umbel, block: Rehearsal, send: Send
    ) -> None:
        app.conf.accept_content = ["json", "pickle"]
        first = send("step", [], options=NO_OPTIONS.with_(serializer="pickle"), chain=[sig("step", task_id="2")])
        app.revoke(first)
        assert (app.result(first).state, app.result("2").state) == ("REVOKED", "PENDING")

    def test_a_success_that_nobody_can_send_on_is_a_failure_and_is_kept(
        self, app: Umbel, block: Rehearsal, send: Send
    ) -> None:
        first = send("set_of", 1, chain=[sig("note", task_id="2")], errbacks=[sig("failed_old")])
        block.drain()
        for task_id in (first, "2"):
            with pytest.raises(EncodeError, match="what follows set_of cannot be sent"):
                app.result(task_id).get()
        assert [letter.id for letter in block.dead] == [first]
        assert seen == [first]

    def test_one_that_a_chord_waits_for_is_kept(self, app: Umbel, block: Rehearsal, send: Send) -> None:
        first = send("fails", chain=[sig("step", task_id="2", chord=sig("note"))])
        block.drain()
        (letter,) = block.dead
        assert (letter.id, app.result(first).state) == (first, "FAILURE")
        assert "a chord waits for the end of its chain" in letter.reason


class TestRefusals:
    """Before the task is run, and kept."""

    @pytest.mark.parametrize(
        ("links", "error", "told"),
        [
            ({"chord": sig("note")}, NoResultBackend, "a part of a chord"),
            ({"chain": [sig("")]}, DecodeError, "a task's name"),
            ({"errbacks": [sig("note", priority="high")]}, DecodeError, "a whole number"),
            ({"callbacks": [sig("note", countdown="soon")]}, Exception, "countdown"),
            ({"callbacks": [sig("note", routing_key="nowhere")]}, QueueNotFound, "nowhere"),
        ],
    )
    def test_what_cannot_be_followed_is_not_run(
        self, app: Umbel, block: Rehearsal, send: Send, links: Any, error: type[Exception], told: str
    ) -> None:
        first = send("note", 1, **links)
        block.drain()
        assert seen == []
        with pytest.raises(error, match=told):
            app.result(first).get()
        (letter,) = block.dead
        assert told in letter.reason

    def test_who_waits_for_the_rest_of_the_chain_is_told(self, app: Umbel, block: Rehearsal, send: Send) -> None:
        send("note", 1, chord=sig("note"), chain=[sig("step", task_id="3"), {"options": []}, sig("step", task_id="2")])
        block.drain()
        for task_id in "23":
            with pytest.raises(NoResultBackend, match="a part of a chord"):
                app.result(task_id).get()

    def test_and_so_they_are_when_nobody_knows_the_task(self, app: Umbel, block: Rehearsal, send: Send) -> None:
        app.conf.task_unknown_grace = 0
        send("nobody", 1, chain=[sig("step", task_id="2")])
        block.drain()
        with pytest.raises(NotRegistered):
            app.result("2").get()

    def test_a_dead_part_of_a_chord_can_be_replayed_and_takes_its_links_along(
        self, app: Umbel, block: Rehearsal, send: Send
    ) -> None:
        send("note", 1, chord=sig("note"))
        block.drain()
        assert app.dead.replay(block.dead[0].number) == 1
        block.drain()
        assert "a part of a chord" in block.dead[0].reason


def test_what_follows_a_new_life_lives_as_long(app: Umbel, block: Rehearsal, send: Send) -> None:
    for life in (0, 1):
        options = NO_OPTIONS.with_(task_id="1")
        send("step", [], f"{life}", options=options, marks={"umbel_life": life}, chain=[sig("step", task_id="2")])
        block.drain()
        assert app.result("2").get() == [f"{life}", ""]
