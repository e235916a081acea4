"""Reads the bytes that real Celery made, which tools/capture_celery.py wrote down."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any, NamedTuple

from umbel.model import Envelope
from umbel.serial import read_json
from umbel.wire.envelope import Letter, pack

FOLDER = Path(__file__).parent / "golden"
VERSIONS = ("5.6.3", "5.7.0")

TRANSPORTS_OWN = ("delivery_info", "body_encoding", "delivery_tag")


class Golden(NamedTuple):
    """What one version of Celery made: by name, the messages of a call and the bytes of a result."""

    messages: dict[str, list[Letter]]
    results: dict[str, bytes]


def golden(version: str) -> Golden:
    return parsed((FOLDER / f"celery-{version}.json").read_text())


def parsed(text: str) -> Golden:
    """What the script printed; values with a type of their own are read as they are on the wire."""
    captured = json.loads(text)
    messages = read_json(json.dumps(captured["messages"]), "golden")
    return Golden(
        {name: [letter(message) for message in made] for name, made in messages.items()},
        {name: kept.encode() for name, kept in captured["results"].items()},
    )


def letter(message: dict[str, Any]) -> Letter:
    properties = {name: value for name, value in message["properties"].items() if name not in TRANSPORTS_OWN}
    body = b64decode(message["body"])
    return Letter(message["headers"], properties, body, message["content-type"], message["content-encoding"])


def envelope(made: Letter) -> Envelope:
    return pack("plain", made.properties["correlation_id"], *made)


GOLDEN = {version: golden(version) for version in VERSIONS}
"""Read once: collecting the tests asks for their names."""
