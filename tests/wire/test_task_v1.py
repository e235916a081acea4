"""Messages of protocol 1 and those between the protocols are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from umbel.errors import DecodeError
from umbel.model import Envelope, Links, Message
from umbel.serial import accepted
from umbel.wire.envelope import pack
from umbel.wire.task_v2 import decode, peek

JSON = accepted(["json"])


def made(body: Any, headers: dict[str, Any] | None = None) -> Envelope:
    text = json.dumps(body).encode()
    return pack("plain", "known", headers or {}, {"correlation_id": "known"}, text, "application/json", "utf-8")


def read(body: Any, headers: dict[str, Any] | None = None) -> Message:
    return decode(made(body, headers), accept=JSON)


def test_everything_stands_in_the_body() -> None:
    body = {
        "task": "tasks.add",
        "id": "the id",
        "args": [1, 2],
        "kwargs": {"z": 3},
        "group": None,
        "taskset": "the group",
        "group_index": 4,
        "retries": 2,
        "eta": "2026-01-02T03:04:05",
        "expires": "2026-01-02T03:04:05+01:00",
        "utc": True,
        "callbacks": [{"task": "then"}],
        "errbacks": [{"task": "else"}],
        "timelimit": [20, 10.5],
        "chord": {"task": "body"},
    }
    assert read(body) == Message(
        task="tasks.add",
        id="the id",
        args=[1, 2],
        kwargs={"z": 3},
        group="the group",
        group_index=4,
        retries=2,
        eta=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        expires=datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC),
        time_limit=20,
        soft_time_limit=10.5,
        links=Links(callbacks=[{"task": "then"}], errbacks=[{"task": "else"}], chord={"task": "body"}),
    )


def test_arguments_may_be_missing() -> None:
    assert read({"task": "t", "id": "i"}) == Message(task="t", id="i", args=[])
    assert read({"task": "t", "id": "i", "args": None, "kwargs": None}) == Message(task="t", id="i", args=[])


def test_headers_of_the_user_are_kept() -> None:
    assert read({"task": "t", "id": "i"}, {"trace": 5, "x-death": []}).headers == {"trace": 5}


def test_between_the_protocols_headers_win_over_the_body() -> None:
    message = read({"args": [1], "kwargs": {}, "retries": 1, "id": "old"}, {"task": "t", "id": "new", "shadow": "s"})
    assert (message.task, message.id, message.args, message.retries, message.shadow) == ("t", "new", [1], 1, "s")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"kwargs": {}}, "body"),
        ({"task": "t"}, "id"),
        ({"id": "i", "args": []}, "task"),
        ({"task": 5, "id": "i"}, "task"),
        ({"task": "t", "id": "i", "args": "text"}, "args"),
        ({"task": "t", "id": "i", "kwargs": []}, "kwargs"),
        ({"task": "t", "id": "i", "callbacks": 5}, "embed.callbacks"),
        ({"task": "t", "id": "i", "eta": 5}, "eta"),
        ([[], {}, None], "task"),
        (None, "task"),
    ],
)
def test_a_body_that_is_no_task_is_refused_by_part(body: Any, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read(body)
    assert caught.value.field == field


def test_only_what_the_broker_knows_of_it_is_told_in_logs() -> None:
    assert peek(made({"task": "t", "id": "i"})) == (None, "known")
