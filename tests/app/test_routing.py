"""Tests of where calls go: routes, queues, and what wins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from umbel.app import Umbel
from umbel.errors import ConfigurationError, QueueNotFound, UnknownOption
from umbel.model import Message, Queue, Route
from umbel.routing import Queues, Routes
from umbel.task import Task


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Route, Message]]:
    """What the apps of this test would send."""
    from umbel.publisher import Publisher

    sent: list[tuple[Route, Message]] = []
    monkeypatch.setattr(Publisher, "send", lambda self, route, message, retry=None: sent.append((route, message)))
    monkeypatch.setattr(Publisher, "send_many", lambda self, messages, retry=None: sent.extend(messages))
    return sent


def make_app(**settings: Any) -> Umbel:
    return Umbel("shop", broker="memory://routing", set_as_current=False, **settings)


def declare(app: Umbel, name: str = "shop.add", **options: Any) -> Task[..., Any]:
    def add(x: int = 0, y: int = 1) -> int:
        return x + y

    task: Task[..., Any] = app.task(name=name, **options)(add)
    return task


def place(routes: Any, name: str = "shop.mail.send", args: tuple[Any, ...] = ()) -> dict[str, Any]:
    return dict(Routes(routes).find(name, args, {}, {}, None))


# -- the forms of task_routes


@pytest.mark.parametrize(
    "routes",
    [
        {"shop.mail.send": "mail"},
        {"shop.mail.*": "mail"},
        {"shop.*.send": {"queue": "mail"}},
        {re.compile(r"shop\.(mail|post)\."): {"queue": "mail"}},
        [{"other": "x"}, {"shop.mail.*": "mail"}, {"*": "late"}],
        [("shop.mail.*", "mail"), ("*", "late")],
        ([("shop.mail.*", {"queue": "mail"}), ("*", "late")],),
        lambda name, args, kwargs, options, task=None: "mail",
        [lambda *call, task: None, {"*": "mail"}],
    ],
)
def test_every_form_of_routes_finds_the_queue(routes: Any) -> None:
    assert place(routes) == {"queue": "mail"}
    app = make_app(task_routes=routes)
    assert app.publisher.prepare("shop.mail.send", (), {}, _no_options())[0].queue == "mail"


def _no_options() -> Any:
    from umbel.call import NO_OPTIONS

    return NO_OPTIONS


def test_a_plain_name_comes_before_patterns_and_these_in_their_order() -> None:
    routes = {"*": "all", "shop.*": "shop", "shop.mail.send": "mail"}
    assert place(routes) == {"queue": "mail"}
    assert place(routes, "shop.add") == {"queue": "all"}
    assert place(routes, "other") == {"queue": "all"}
    assert place({"shop.*": "shop"}, "other") == {}


def test_a_regular_expression_must_fit_from_the_beginning() -> None:
    assert place({re.compile("mail"): "mail"}) == {}


def test_the_first_router_that_knows_a_call_decides() -> None:
    asked: list[str] = []

    def silent(name: str, args: Any, kwargs: Any, options: Any, task: Any = None) -> None:
        asked.append(name)

    assert place([silent, {"shop.*": "first"}, lambda *call, task: "second"]) == {"queue": "first"}
    assert asked == ["shop.mail.send"]


def test_a_router_sees_the_call_and_its_task(sent: list[tuple[Route, Message]]) -> None:
    seen: list[Any] = []

    def route(name: str, args: Any, kwargs: Any, options: Any, task: Any = None) -> dict[str, Any]:
        seen.append((name, args, kwargs, options, task))
        return {"queue": f"q{args[0]}", "priority": 7}

    app = make_app(task_routes=route)
    add = declare(app, time_limit=9.0)
    add.apply_async((1,), {"y": 2}, headers={"a": "b"})
    app.send_task("shop.unknown", (2,))
    assert seen == [
        ("shop.add", (1,), {"y": 2}, {"headers": {"a": "b"}, "time_limit": 9.0}, add),
        ("shop.unknown", (2,), {}, {}, None),
    ]
    assert [(route.queue, route.priority) for route, _ in sent] == [("q1", 7), ("q2", 7)]


def test_many_calls_go_where_their_arguments_send_them(sent: list[tuple[Route, Message]]) -> None:
    app = make_app(task_routes=lambda name, args, kwargs, options, task: f"q{args[0] % 2}")
    declare(app).delay_many([(n,) for n in range(4)])
    assert [route.queue for route, _ in sent] == ["q0", "q1", "q0", "q1"]


def test_a_router_may_be_named_and_is_imported_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_routers.py").write_text(
        "def by_name(name, args, kwargs, options, task=None):\n    return name.partition('.')[0]\nnot_one = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("my_routers.by_name", "my_routers:by_name"):
        assert place(name) == {"queue": "shop"}
    wrong = make_app(task_routes="my_routers.not_one")
    with pytest.raises(ConfigurationError, match=r"my_routers has no function not_one \('my_routers.not_one'\)"):
        wrong.send_task("a")
    with pytest.raises(ConfigurationError, match="there is no module 'no_such'"):
        make_app(task_routes=["no_such.router"]).send_task("a")


@pytest.mark.parametrize(
    ("routes", "named"),
    [
        (7, "a router is a mapping"),
        ([7], "a router is a mapping"),
        ("no dots", "a router is a mapping"),
        ({"shop.add": 7}, r"task_routes\['shop.add'\]: expected a queue's name"),
        ({"shop.add": {"que": "x"}}, "unknown name 'que'; did you mean 'queue'"),
        ({7: "mail"}, "a task's name is a text or a compiled regular expression of text, not 7"),
        ({re.compile(b"x"): "mail"}, "regular expression of text"),
    ],
)
def test_routes_that_cannot_be_meant_are_refused_when_they_are_set(routes: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        make_app(task_routes=routes)


def test_what_a_router_gives_is_checked(sent: list[tuple[Route, Message]]) -> None:
    app = make_app(task_routes=lambda name, args, kwargs, options, task: args[0])
    with pytest.raises(ConfigurationError, match=r"the router .* for shop\.x: expected a queue's name .* got 7"):
        app.send_task("shop.x", (7,))
    with pytest.raises(UnknownOption, match="did you mean 'priority'"):
        app.send_task("shop.x", ({"priorty": 7},))
    with pytest.raises(ConfigurationError, match="priority must be"):
        app.send_task("shop.x", ({"priority": 70},))
    assert sent == []


def test_routes_are_read_from_text_too(sent: list[tuple[Route, Message]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UMBEL_TASK_ROUTES", '{"shop.*": {"queue": "mail", "priority": 3}}')
    make_app().send_task("shop.x")
    assert sent[0][0][:2] == ("mail", 3)
    monkeypatch.setenv("UMBEL_TASK_ROUTES", "{")
    with pytest.raises(ConfigurationError, match="it is not JSON"):
        make_app().send_task("shop.x")


# -- what wins


def test_a_call_beats_its_task_and_that_the_routes_and_these_the_default(sent: list[tuple[Route, Message]]) -> None:
    app = make_app(task_routes={"routed": {"queue": "route", "priority": 2}, "shop.*": "route"})
    declare(app, "shop.own", queue="own").delay()
    declare(app, "routed").delay()
    app.tasks["routed"].apply_async(queue="call", priority=9)
    app.tasks["routed"].options(priority=5).delay()
    app.send_task("elsewhere")
    places = [(route.queue, route.priority) for route, _ in sent]
    assert places == [("own", None), ("route", 2), ("call", 9), ("route", 5), ("celery", None)]


def test_routes_that_are_changed_are_followed(sent: list[tuple[Route, Message]]) -> None:
    app = make_app()
    app.send_task("a")
    app.conf.task_routes = {"a": "there"}
    app.send_task("a")
    app.conf.task_routes = None
    app.send_task("a")
    assert [route.queue for route, _ in sent] == ["celery", "there", "celery"]


def test_a_route_gives_options_that_the_message_carries(sent: list[tuple[Route, Message]]) -> None:
    app = make_app(task_routes={"*": {"time_limit": 60.0, "serializer": "pickle", "expires": 30}})
    app.send_task("a", time_limit=5.0)
    message = sent[0][1]
    assert (message.time_limit, message.serializer, message.expires is not None) == (5.0, "pickle", True)


# -- queues

VIDEO = Queue("video", exchange="media", routing_key="media.video")
IMAGE = Queue("image", exchange="media", routing_key="media.image")


def test_a_routing_key_names_a_declared_queue(sent: list[tuple[Route, Message]]) -> None:
    app = make_app(task_queues=[VIDEO, IMAGE, "mail"], task_routes={"shop.cut": {"routing_key": "media.video"}})
    app.send_task("shop.cut")
    app.send_task("a", routing_key="media.image", exchange="media")
    app.send_task("a", routing_key="mail")
    app.send_task("shop.cut", queue="mail")
    declare(app, queue="mail").apply_async(routing_key="media.image")
    assert [route.queue for route, _ in sent] == ["video", "image", "mail", "mail", "image"]
    assert sent[0][0][3:] == ("media", "media.video")


def test_a_routing_key_that_no_queue_or_more_than_one_has_is_refused(sent: list[tuple[Route, Message]]) -> None:
    app = make_app(task_queues=[VIDEO, Queue("again", exchange="other", routing_key="media.video")])
    with pytest.raises(QueueNotFound, match=r"has routing_key='media\.vide'; did you mean"):
        app.send_task("a", routing_key="media.vide")
    with pytest.raises(QueueNotFound, match="of exchange='nowhere'"):
        app.send_task("a", routing_key="media.video", exchange="nowhere")
    with pytest.raises(ConfigurationError, match=r"several queues in task_queues have .*: video, again"):
        app.send_task("a", routing_key="media.video")
    app.send_task("a", routing_key="media.video", exchange="other")
    assert [route.queue for route, _ in sent] == ["again"]
    with pytest.raises(QueueNotFound, match="routing_key='x'"):
        make_app().send_task("a", routing_key="x")


def test_queue_and_routing_key_are_not_given_together() -> None:
    app = make_app()
    with pytest.raises(ConfigurationError, match="queue or a routing_key, not both"):
        app.send_task("a", queue="x", routing_key="y")
    with pytest.raises(ConfigurationError, match="give the routing_key too"):
        app.send_task("a", exchange="x")


def test_queues_that_are_not_declared_may_be_refused(sent: list[tuple[Route, Message]]) -> None:
    app = make_app(task_queues=["mail"], task_create_missing_queues=False, task_routes={"wrong": "mial"})
    with pytest.raises(QueueNotFound, match=r"no queue 'mial' in task_queues, .* is off; did you mean 'mail'"):
        app.send_task("a", queue="mial")
    with pytest.raises(QueueNotFound, match="mial"):
        app.send_task("wrong")
    app.send_task("a", queue="mail")
    app.send_task("a")
    assert [route.queue for route, _ in sent] == ["mail", "celery"]


@pytest.mark.parametrize(
    "value",
    [
        [Queue("mail", max_priority=5), "video"],
        [{"name": "mail", "max_priority": 5}, {"name": "video"}],
        {"mail": {"max_priority": 5}, "video": {}},
        {"mail": Queue("mail", max_priority=5), "video": Queue("video")},
    ],
)
def test_every_form_of_queues_declares_the_same(value: Any) -> None:
    app = make_app(task_queues=value)
    assert app.conf.task_queues == (Queue("mail", max_priority=5), Queue("video"))
    assert list(app.queues.declared) == ["mail", "video", "celery"]


def test_queues_are_read_from_text_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UMBEL_TASK_QUEUES", "mail, video")
    assert list(make_app().queues.declared) == ["mail", "video", "celery"]
    monkeypatch.setenv("UMBEL_TASK_QUEUES", '[{"name": "mail", "max_priority": 3}]')
    assert make_app().conf.task_queues == (Queue("mail", max_priority=3),)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("mail", "a list of Queue"),
        ([7], "7 is no queue"),
        (["a", Queue("a")], "'a' is declared twice"),
        ([{"max_priority": 3}], "has no name"),
        ({"mail": {"max_prio": 3}}, "unknown name 'max_prio'; did you mean 'max_priority'"),
        ({"mail": {"max_priority": 300}}, "whole number, 1 to 255"),
    ],
)
def test_queues_that_cannot_be_meant_are_refused(value: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        make_app(task_queues=value)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"name": ""}, "name must be a text"),
        ({"name": "a", "exchange": 7}, "exchange must be a text"),
        ({"name": "a", "routing_key": 7}, "routing_key must be a text"),
        ({"name": "a", "max_priority": True}, "max_priority must be"),
        ({"name": "a", "arguments": [1]}, "arguments must be a mapping"),
    ],
)
def test_a_queue_that_cannot_be_meant_is_refused(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Queue(**wrong)


def test_a_queue_can_be_a_key() -> None:
    assert len({Queue("a", arguments={"x": 1}), Queue("a", arguments={"x": 1})}) == 1


# -- what a worker takes from


def names(queues: tuple[Queue, ...]) -> list[str]:
    return [queue.name for queue in queues]


def test_a_worker_takes_from_all_declared_queues_or_those_that_are_chosen() -> None:
    queues = Queues([VIDEO, IMAGE], "celery", create_missing=True)
    assert names(queues.chosen(None)) == ["video", "image", "celery"]
    assert names(queues.chosen(["image", "new", "image"])) == ["image", "new"]
    assert names(queues.chosen(None, ["celery", "video"])) == ["image"]
    with pytest.raises(QueueNotFound, match="'mail' cannot be excluded: the worker would take from video, image"):
        queues.chosen(None, ["mail"])
    with pytest.raises(ConfigurationError, match="every queue is excluded"):
        queues.chosen(["image"], ["image"])
    with pytest.raises(QueueNotFound, match="no queue 'vide'"):
        Queues([VIDEO], "celery", create_missing=False).chosen(["vide"])


def test_the_queues_of_workers_can_be_chosen_in_the_app(sent: list[tuple[Route, Message]]) -> None:
    from umbel.worker.plan import plan_for

    app = make_app(task_queues=[VIDEO, IMAGE])
    assert plan_for(app, pool="solo").queues == ("video", "image", "celery")
    app.select_queues(["image"])
    assert plan_for(app, pool="solo").queues == ("image",)
    assert plan_for(app, pool="solo", queues=["video", "celery"], exclude=["celery"]).queues == ("video",)
    app.send_task("a", queue="video")
    assert sent[0][0].queue == "video"
