"""A real Celery, in its own environment, on the other end: it runs our messages, and we read its own."""

from __future__ import annotations

import subprocess
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.wire.golden_files import GOLDEN, Golden, envelope, parsed
from umbel import errors, ids
from umbel.model import Links, Message, Record, SealedRecord
from umbel.serial import accepted, read_json, write_json
from umbel.wire.envelope import unpack
from umbel.wire.results import seal, unseal
from umbel.wire.task_v2 import decode, encode

pytestmark = pytest.mark.slow

EVERYTHING = accepted(["json", "msgpack", "yaml", "pickle"])
TIME = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def look(**fields: Any) -> Message:
    return Message(**{"task": "tasks.look", "id": ids.new_id(), "args": (1, "é"), "origin": "gen1@here", **fields})


PLAIN = look()
TYPED = look(args=(date(2026, 1, 2), b"\xff", [TIME]), kwargs={"k": {"deep": None}})
OPTIONS = look(
    root_id="root",
    parent_id="parent",
    group="group",
    group_index=3,
    retries=2,
    time_limit=50,
    soft_time_limit=40.5,
    eta=TIME,
    expires=datetime(2100, 1, 1, tzinfo=UTC),
    shadow="shown",
    priority=6,
    reply_to="reply",
    argsrepr="(hidden)",
    stamped_headers=["colour"],
    stamps={"colour": ["red"]},
    headers={"mine": {"a": 1}},
)
FAILING = look(kwargs={"fail": True})
PACKED = [look(serializer=serializer) for serializer in ("msgpack", "yaml", "pickle")]
PACKED += [look(compression=compression) for compression in ("gzip", "bzip2", "lzma")]
LINKED = look(
    links=Links(
        callbacks=[{"task": "tasks.look", "args": [5], "kwargs": {}, "options": {"task_id": "then"}}],
        errbacks=None,
        chain=[{"task": "tasks.look", "args": [6], "kwargs": {}, "options": {"task_id": "next"}}],
    )
)
MESSAGES = [PLAIN, TYPED, OPTIONS, FAILING, *PACKED, LINKED]

RECORDS = [
    Record(
        id="done",
        state="SUCCESS",
        value={"when": TIME, "n": 3},
        date_done=TIME,
        children=[[["child", None], None]],
        name="tasks.look",
        args=[1],
        kwargs={"b": 2},
        worker="w@host",
        retries=1,
        queue="celery",
    ),
    *(
        Record(id=type(error).__name__, state="FAILURE", value=error, traceback="Traceback\n", date_done=TIME)
        for error in (ValueError("a", 1), errors.WorkerLostError("lost"), errors.TimeoutError("late"))
    ),
    Record(id="revoked", state="REVOKED", value=errors.TaskRevokedError("expired"), date_done=TIME),
]


class Told(NamedTuple):
    """What Celery said: of the messages that it ran, what it kept of them, and of the results that it read."""

    seen: dict[str, dict[str, Any]]
    records: dict[str, str]
    results: dict[str, dict[str, Any]]


def in_a_queue(message: Message) -> dict[str, Any]:
    """The message as kombu keeps it in a queue."""
    letter = unpack(encode(message, "plain"))
    delivery = {"delivery_info": {"exchange": "", "routing_key": "celery", "priority": message.priority}}
    return {
        "body": b64encode(letter.body).decode(),
        "content-type": letter.content_type,
        "content-encoding": letter.content_encoding,
        "headers": letter.headers,
        "properties": {**letter.properties, **delivery, "body_encoding": "base64", "delivery_tag": ids.new_id()},
    }


@pytest.fixture(scope="module", params=["celery56", "celery57"])
def python(request: pytest.FixtureRequest, interpreter: Callable[[str], Path]) -> Path:
    return interpreter(request.param)


@pytest.fixture(scope="module")
def told(python: Path, root: Path) -> Told:
    question = write_json(
        {
            "messages": [in_a_queue(message) for message in MESSAGES],
            "results": {record.id: seal(record).payload.decode() for record in RECORDS},
        }
    )
    answer = run(python, root / "tests" / "wire" / "celery_end.py", question)
    return Told(**read_json(answer, "answer"))


@pytest.fixture(scope="module")
def captured(python: Path, root: Path) -> Golden:
    return parsed(run(python, root / "tools" / "capture_celery.py"))


def run(python: Path, script: Path, question: str = "") -> str:
    done = subprocess.run([python, script], input=question, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_celery_runs_a_message_of_ours(told: Told) -> None:
    seen = told.seen[PLAIN.id]
    assert (seen["args"], seen["kwargs"]) == ([1, "é"], {})
    assert (seen["root_id"], seen["parent_id"], seen["correlation_id"]) == (PLAIN.id, None, PLAIN.id)
    assert (seen["origin"], seen["argsrepr"], seen["kwargsrepr"]) == ("gen1@here", "(1, 'é')", "{}")


def test_celery_gets_values_of_every_type(told: Told) -> None:
    seen = told.seen[TYPED.id]
    assert (seen["args"], seen["kwargs"]) == ([date(2026, 1, 2), b"\xff", [TIME]], {"k": {"deep": None}})


def test_celery_gets_every_option(told: Told) -> None:
    seen = told.seen[OPTIONS.id]
    same = ("root_id", "parent_id", "group", "group_index", "retries", "shadow", "reply_to", "stamps", "priority")
    assert {name: seen[name] for name in same} == {name: getattr(OPTIONS, name) for name in same}
    assert seen["timelimit"] == [50, 40.5]
    assert seen["eta"] == TIME.isoformat()
    assert seen["argsrepr"] == "(hidden)"
    assert seen["headers"]["mine"] == {"a": 1}


@pytest.mark.parametrize("message", PACKED, ids=lambda message: message.compression or message.serializer)
def test_celery_reads_every_serializer_and_compression(told: Told, message: Message) -> None:
    assert told.seen[message.id]["args"] == [1, "é"]


def test_celery_follows_our_links(told: Told) -> None:
    assert told.seen["then"]["args"] == ["é", 5]
    assert told.seen["next"]["args"] == ["é", 6]
    assert told.seen["next"]["parent_id"] == LINKED.id


def test_we_read_the_results_that_celery_stored_of_our_messages(told: Told) -> None:
    done = unseal(SealedRecord(PLAIN.id, "", told.records[PLAIN.id].encode()))
    assert (done.state, done.value, done.name, done.args) == ("SUCCESS", "é", "tasks.look", [1, "é"])
    failed = unseal(SealedRecord(FAILING.id, "", told.records[FAILING.id].encode()))
    assert failed.state == "FAILURE"
    assert type(failed.value) is KeyError
    assert failed.value.args == (1, "é")
    assert failed.traceback is not None
    assert failed.traceback.endswith("KeyError: (1, 'é')\n")


def test_celery_reads_a_result_of_ours(told: Told) -> None:
    record = RECORDS[0]
    read = told.results["done"]
    same = ("state", "value", "name", "args", "kwargs", "worker", "retries", "queue")
    assert {name: read[name] for name in same} == {name: getattr(record, name) for name in same}
    assert (read["children"], read["date_done"]) == (["child"], TIME.isoformat())


def test_celery_reads_an_exception_of_ours_as_its_own(told: Told) -> None:
    assert {name: result["value"] for name, result in told.results.items() if name != "done"} == {
        "ValueError": ["builtins", "ValueError", ["a", 1]],
        "WorkerLostError": ["billiard.exceptions", "WorkerLostError", ["lost"]],
        "TimeoutError": ["celery.exceptions", "TimeoutError", ["late"]],
        "revoked": ["celery.exceptions", "TaskRevokedError", ["expired"]],
    }


def test_the_captured_messages_are_still_those_that_celery_makes(captured: Golden) -> None:
    """The golden files are what this Celery makes today, as far as their messages can be told apart."""
    before = GOLDEN["5.6.3"].messages
    for name, letters in captured.messages.items():
        now = [decode(envelope(letter), accept=EVERYTHING) for letter in letters]
        then = [decode(envelope(letter), accept=EVERYTHING) for letter in before[name]]
        if name != "chord":  # the group's id is made anew each time
            assert now == then


def test_the_captured_results_are_still_those_that_celery_stores(captured: Golden) -> None:
    for name, payload in captured.results.items():
        record = unseal(SealedRecord("x", "", payload))
        assert seal(record).payload.replace(b'"task_id": "x"', b"") == payload.replace(
            b'"task_id": "00000000-0000-0000-0000-000000000001"', b""
        ), name
