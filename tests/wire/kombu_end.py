"""Runs inside an environment of Celery: reads messages as they come over AMQP, head and body, and says what they are.

Reads from stdin a JSON list of lists of pairs, in base64; prints what kombu makes of each.
"""

import json
import sys
from base64 import b64decode
from typing import Any

from amqp.basic_message import Message as AmqpMessage  # type: ignore[import-not-found, import-untyped, unused-ignore]
from kombu.transport.pyamqp import Message  # type: ignore[import-not-found, import-untyped, unused-ignore]

CLASS_BASIC = 60
ACCEPTED = {f"application/{kind}" for kind in ("json", "x-msgpack", "x-yaml", "x-python-serialize")}


def read(head: bytes, body: bytes) -> dict[str, Any]:
    """Properties and body, decompressed and deserialized."""
    raw = AmqpMessage()
    raw._load_properties(CLASS_BASIC, head, 0)
    raw.body, raw.channel, raw.delivery_info = body, None, {"delivery_tag": 1}
    message = Message(raw, channel=None, accept=ACCEPTED)
    return {"properties": raw.properties, "body": repr(message.decode())}


def main() -> None:
    pairs = json.load(sys.stdin)
    found = [[read(*map(b64decode, pair)) for pair in each] for each in pairs]
    json.dump(found, sys.stdout, default=repr)


if __name__ == "__main__":
    main()
