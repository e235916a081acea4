"""Tests of options that are given to tasks from outside."""

from __future__ import annotations

from typing import Any

import pytest

from umbel.annotations import Annotations
from umbel.app import Umbel
from umbel.errors import ConfigurationError, UnknownOption
from umbel.retry import Backoff
from umbel.task import Task


def make_app(**settings: Any) -> Umbel:
    return Umbel("shop", broker="memory://annotations", set_as_current=False, **settings)


def declare(app: Umbel, name: str = "shop.add", **options: Any) -> Task[..., Any]:
    def add(x: int, y: int = 1) -> int:
        return x + y

    task: Task[..., Any] = app.task(name=name, **options)(add)
    return task


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


def test_later_ones_win_and_in_a_mapping_the_plain_name() -> None:
    said = Annotations([{"shop.add": {"a": 1}, "*": {"a": 2, "b": 2}, "shop.*": {"b": 3}}, {"*": {"c": 4}}])
    assert said.of(Named("shop.add")) == {"a": 1, "b": 3, "c": 4}
    assert said.of(Named("other")) == {"a": 2, "b": 2, "c": 4}
    assert Annotations(None).of(Named("x")) == {}


def test_an_object_may_decide() -> None:
    class Slow:
        def annotate(self, task: Any) -> dict[str, Any] | None:
            return {"time_limit": 5.0} if task.name.endswith("slow") else None

    said = Annotations(Slow())
    assert (said.of(Named("a.slow")), said.of(Named("a.fast"))) == ({"time_limit": 5.0}, {})


@pytest.mark.parametrize("wrong", [7, [7], {"*": 7}, {7: {}}, object()])
def test_what_annotates_nothing_is_refused_when_it_is_set(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="task_annotations"):
        make_app(task_annotations=wrong)


def test_what_an_object_gives_is_checked() -> None:
    class Wrong:
        def annotate(self, task: Any) -> int:
            return 7

    with pytest.raises(ConfigurationError, match="expected a mapping of a task's options"):
        Annotations(Wrong()).of(Named("x"))


def test_annotations_win_over_what_was_declared_from_the_first_call_on() -> None:
    app = make_app(task_annotations={"shop.add": {"queue": "mail", "priority": 7}})
    add = declare(app, queue="own", serializer="pickle")
    route, message = app.publisher.prepare("shop.add", (1,), {}, add.resolved(_none()))
    assert (route.queue, route.priority, message.serializer) == ("mail", 7, "pickle")


def _none() -> Any:
    from umbel.call import NO_OPTIONS

    return NO_OPTIONS


def test_a_worker_knows_them_before_it_takes_anything_and_of_late_tasks_too() -> None:
    app = make_app(task_annotations={"*": {"time_limit": 9.0, "acks_late": False}})
    early = declare(app)
    app.import_modules()
    late = declare(app, "shop.late")
    assert (early.time_limit, early.acks_late, late.time_limit) == (9.0, False, 9.0)


def test_annotations_that_are_changed_leave_nothing_behind() -> None:
    app = make_app(task_annotations={"shop.add": {"queue": "mail", "priority": 7}})
    add = declare(app, queue="own")
    assert add.resolved(_none()).queue == "mail"
    app.conf.task_annotations = {"shop.add": {"queue": "other"}}
    assert (add.resolved(_none()).queue, add.resolved(_none()).priority) == ("other", None)
    app.conf.task_annotations = None
    assert (add.resolved(_none()).queue, add.queue) == ("own", "own")


def test_retries_can_be_annotated() -> None:
    app = make_app(
        task_annotations={"a": {"retry": Backoff(times=9, on=(OSError,))}, "b": {"autoretry_for": (OSError,)}}
    )
    a, b, c = (declare(app, name) for name in "abc")
    app.import_modules()
    assert a.retry_policy is not None
    assert a.retry_policy.times == 9
    assert b.retry_policy is not None
    assert b.retry_policy.on == (OSError,)
    assert c.retry_policy is None
    assert callable(a.retry)
    app.conf.task_annotations = None
    app.import_modules()
    assert a.retry_policy is None


def test_the_check_of_arguments_can_be_annotated() -> None:
    app = make_app(task_annotations={"shop.add": {"typing": False}})
    add = declare(app)
    app.import_modules()
    add.check((1, 2, 3), {})


def test_options_that_a_task_has_not_are_refused_with_the_nearest() -> None:
    for wrong in ("time_limt", "run", "_forget"):
        app = make_app(task_annotations={"*": {wrong: 3}})
        declare(app)
        with pytest.raises(UnknownOption, match=f"task_annotations for shop.add: unknown name '{wrong}'"):
            app.import_modules()
    app = make_app(task_annotations={"*": {"priority": 30}})
    with pytest.raises(ConfigurationError, match="priority must be"):
        declare(app).delay(1)


def test_an_attribute_of_a_base_class_can_be_annotated() -> None:
    class Database(Task[..., str]):
        url = "none"

    app = make_app(task_annotations={"shop.where": {"url": "db://x"}})

    @app.task(base=Database, bind=True, name="shop.where")
    def where(self: Database) -> str:
        return self.url

    app.import_modules()
    assert where() == "db://x"
