"""Celery's messages on AMQP, byte for byte: they are read, and the same messages are made so that Celery reads them."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.wire.golden_files import FOLDER, VERSIONS
from tests.wire.test_golden_messages import EVERYTHING, comparable, frozen, sent
from tests.wire.test_golden_messages import EXPECTED as ON_TEXT
from umbel.model import Envelope, Links, Message
from umbel.wire.amqp import id_and_priority, read_properties
from umbel.wire.task_v2 import decode, encode

CAPTURED: dict[str, dict[str, list[Envelope]]] = {}
for _version in VERSIONS:
    CAPTURED[_version] = {
        name: [
            Envelope("amqp", id_and_priority(head)[0], head, body)
            for head, body in (map(b64decode, pair) for pair in pairs)
        ]
        for name, pairs in json.loads((FOLDER / f"amqp-{_version}.json").read_text()).items()
    }

NAMES = sorted({(version, name) for version in VERSIONS for name in CAPTURED[version]})


def expected(name: str, made: list[Envelope]) -> list[Message]:
    """As on brokers that keep text, but for what AMQP has no room for, and for what it has a type of its own for."""
    if name == "chord":
        group = decode(made[0], accept=EVERYTHING).group
        return [sent(n, group=group, group_index=n - 1, links=Links(chord=frozen(3, group_id=group))) for n in (1, 2)]
    messages = ON_TEXT[name]
    if name == "options":
        when = {"user": {"deep": [1, None]}, "when": datetime(2026, 1, 2, tzinfo=UTC)}
        return [replace(messages[0], headers=when, properties={})]
    if name == "properties":
        return [replace(messages[0], properties={"app_id": "app", "delivery_mode": 1})]
    return messages


@pytest.mark.parametrize(("version", "name"), NAMES)
def test_a_message_of_celery_is_read(version: str, name: str) -> None:
    made = CAPTURED[version][name]
    read = [decode(envelope, accept=EVERYTHING) for envelope in made]
    assert list(map(comparable, read)) == list(map(comparable, expected(name, made)))


@pytest.mark.parametrize(("version", "name"), [each for each in NAMES if each[1] != "protocol 1"])
def test_a_message_that_was_read_is_written_with_the_same_properties_in_the_same_order(version: str, name: str) -> None:
    for envelope in CAPTURED[version][name]:
        made = encode(decode(envelope, accept=EVERYTHING), "amqp")
        assert made.body == envelope.body
        ours, theirs = read_properties(made.head), read_properties(envelope.head)
        assert list(ours) == list(theirs)
        headers = [{**each.pop("headers"), "eta": None} for each in (ours, theirs)]
        assert list(headers[0].items()) == list(headers[1].items())
        assert ours == theirs


@pytest.mark.slow
@pytest.mark.parametrize("name", ["celery56", "celery57"])
def test_kombu_reads_what_umbel_writes(name: str, interpreter: Callable[[str], Path], root: Path) -> None:
    version = dict(zip(("celery56", "celery57"), VERSIONS, strict=True))[name]
    names = [each for each in CAPTURED[version] if each != "protocol 1"]
    pairs = []
    for each in names:
        theirs = CAPTURED[version][each][0]
        ours = encode(decode(theirs, accept=EVERYTHING), "amqp")
        pairs.append([[b64encode(part).decode() for part in made[2:]] for made in (ours, theirs)])
    done = subprocess.run(
        [interpreter(name), root / "tests" / "wire" / "kombu_end.py"],
        input=json.dumps(pairs),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    read: list[list[dict[str, Any]]] = json.loads(done.stdout)
    for each, seen in zip(names, read, strict=True):
        for head in seen:
            head["properties"]["application_headers"].pop("eta", None)
        assert seen[0] == seen[1], each
