"""Tests of what a node does with commands, over the memory broker's bus."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from umbel.app import Umbel
from umbel.bus import ask, bus_of
from umbel.errors import TaskRevokedError
from umbel.revoking import PREFIX
from umbel.testing import working
from umbel.wire.control import Command


@pytest.fixture
def app() -> Iterator[Umbel]:
    with Umbel("t", broker=f"memory://{uuid.uuid4().hex}", set_as_current=False) as made:
        app = made

        @app.task(name="one")
        def one() -> int:
            return 1

        with working(app):
            yield app


def asked(app: Umbel, method: str, **arguments: Any) -> Any:
    """What the one node answers."""
    bus = bus_of(app)
    assert bus is not None
    (answer,) = asyncio.run(ask(app, bus, Command(method, arguments), timeout=20, limit=1)).values()
    return answer


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "KeyError('task_id')"),
        ({"task_id": 7}, "must be an id or a list of ids"),
        ({"task_id": ["a", 7]}, "must be an id or a list of ids"),
        ({"task_id": ""}, "must be an id or a list of ids"),
        ({"task_id": ["a"] * 50_001}, "name at most 50000"),
    ],
)
def test_arguments_that_make_no_sense_are_answered_with_an_error(
    app: Umbel, arguments: dict[str, Any], told: str
) -> None:
    assert told in asked(app, "revoke", **arguments)["error"]
    assert asked(app, "ping") == {"ok": "pong"}


def test_a_revocation_from_the_bus_stands_in_the_store(app: Umbel) -> None:
    asked(app, "revoke", task_id=["x"])
    asked(app, "revoke", task_id="x", terminate=True)
    asked(app, "revoke", task_id="x")
    marks = asyncio.run(app.broker.get_marks([PREFIX + "x"]))  # type: ignore[attr-defined]
    assert marks == {PREFIX + "x": '{"terminate": true}'}
    with pytest.raises(TaskRevokedError):
        app.send_task("one", task_id="x").get(timeout=20)
    assert app.send_task("one").get(timeout=20) == 1


def test_nodes_tell_each_other_what_is_revoked(app: Umbel) -> None:
    far = app.clock.now() + 1e9
    told = {"a": far, "b": "nonsense", "c": app.clock.now() - 1, "e": app.clock.now() + 1000}
    answer = asked(app, "hello", from_node="x", revoked={"a": 1.0, "b": [1], "c": 1, "d": None}, umbel_expires=told)
    assert sorted(answer["revoked"]) == ["a", "b", "d"]
    stamp, task_id = answer["revoked"]["a"]
    assert (type(stamp), task_id) == (float, "a")
    assert answer["umbel_expires"]["a"] < app.clock.now() + 31 * 86400
    assert sorted(asked(app, "hello", from_node="x", revoked=["e"])["revoked"]) == ["a", "b", "d"]
