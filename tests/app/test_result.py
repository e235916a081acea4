"""Tests of what a caller is told of a task that was sent."""

from typing import Any

import pytest

from umbel import bridge, current
from umbel.app import Umbel
from umbel.errors import DecodeError, TimeoutError
from umbel.model import Message, Record
from umbel.request import Request
from umbel.result import AsyncResult
from umbel.wire import results


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Umbel:
    return Umbel("shop", broker=f"memory://{request.node.name}", set_as_current=False)


def keep(app: Umbel, *records: Record) -> None:
    bridge.get().run(app.backend.store([results.seal(record) for record in records]))


def ended(id: str, value: Any, *children: str) -> Record:
    return Record(id=id, state="SUCCESS", value=value, children=results.result_tuples(children))


def test_one_read_answers_for_all_parts(app: Umbel) -> None:
    result = app.result("x")
    assert result.record() is None
    keep(app, Record(id="x", state="HALF", value={"done": 1}, name="shop.add", args=[1], kwargs={"y": 2}))
    known = result.record()
    keep(app, ended("x", 3))
    assert known is not None
    assert (known.state, known.value, known.name) == ("HALF", {"done": 1}, "shop.add")
    later = result.record()
    assert later is not None
    assert (later.state, later.value) == ("SUCCESS", 3)


def test_the_arguments_are_known_with_the_name(app: Umbel) -> None:
    assert (app.result("x").args, app.result("x").kwargs) == (None, None)
    keep(app, Record(id="x", state="STARTED", name="shop.add", args=[1], kwargs={"y": 2}))
    result = app.result("x")
    assert (result.name, result.args, result.kwargs) == ("shop.add", [1], {"y": 2})


def test_what_a_task_sent_is_noted_unless_its_result_is_not_kept(app: Umbel) -> None:
    @app.task(name="shop.child")
    def child(x: int) -> None: ...

    request = Request(Message(task="shop.outer", id="outer"))
    token = current.request.set(request)
    try:
        first, unknown = child.delay(1), app.send_task("shop.elsewhere")
        child.options(ignore_result=True).delay(2)
        many = child.delay_many([(3,), (4,)])
    finally:
        current.request.reset(token)
    assert request.children == [first.id, unknown.id, *(result.id for result in many)]


def test_children_are_results_of_the_same_app(app: Umbel) -> None:
    assert app.result("x").children == []
    keep(app, ended("x", 1, "a", "b"))
    children = app.result("x").children
    assert children == [AsyncResult("a", app), AsyncResult("b", app)]
    assert children[0].app is app


def test_children_in_a_group_are_told_one_by_one(app: Umbel) -> None:
    group = [["g", None], [[["a", None], None], [["b", ["p", None]], None]]]
    keep(app, Record(id="x", state="SUCCESS", children=[group, [["c", None], None]]))
    assert [child.id for child in app.result("x").children] == ["a", "b", "c"]


def test_children_that_nobody_could_mean_are_named(app: Umbel) -> None:
    keep(app, Record(id="x", state="SUCCESS", children=[["flat", None]]))
    with pytest.raises(DecodeError, match="children: one is"):
        _ = app.result("x").children


def test_all_that_came_of_a_task_is_collected_parents_first(app: Umbel) -> None:
    keep(app, ended("x", 1, "a", "b"), ended("a", 2, "c"), ended("b", 3), ended("c", 4))
    assert [(result.id, value) for result, value in app.result("x").collect()] == [
        ("x", 1),
        ("a", 2),
        ("b", 3),
        ("c", 4),
    ]


def test_collecting_waits_no_longer_than_it_is_told(app: Umbel) -> None:
    keep(app, ended("x", 1, "a"))
    result = app.result("x")
    assert result.ready(), "what is known to have ended is not waited for"
    found = result.collect(timeout=0.01)
    assert next(found)[1] == 1
    with pytest.raises(TimeoutError, match="no result of a within"):
        next(found)
