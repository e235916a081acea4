"""Runs inside an environment of Celery: reads messages as they travel, and says what kombu makes of them.

Reads from stdin a JSON list of lists: of pairs of head and body in base64, as they come over AMQP, or with the word
``virtual`` of texts, as they stand in stores of plain values. Prints the same lists of what was read.
"""

import json
import sys
from base64 import b64decode
from typing import Any

from amqp.basic_message import Message as AmqpMessage  # type: ignore[import-not-found, import-untyped, unused-ignore]
from kombu.transport.pyamqp import Message  # type: ignore[import-not-found, import-untyped, unused-ignore]
from kombu.transport.virtual import Message as VirtualMessage  # type: ignore[import-not-found, import-untyped, unused-ignore]

CLASS_BASIC = 60
ACCEPTED = {f"application/{kind}" for kind in ("json", "x-msgpack", "x-yaml", "x-python-serialize")}


def read(head: bytes, body: bytes) -> dict[str, Any]:
    """Properties and body, decompressed and deserialized."""
    raw = AmqpMessage()
    raw._load_properties(CLASS_BASIC, head, 0)
    raw.body, raw.channel, raw.delivery_info = body, None, {"delivery_tag": 1}
    message = Message(raw, channel=None, accept=ACCEPTED)
    return {"properties": raw.properties, "body": repr(message.decode())}


class Channel:
    """What a message asks of the channel over which it came."""

    def decode_body(self, body: Any, encoding: Any) -> Any:
        return b64decode(body) if encoding == "base64" else body


def read_entry(text: str) -> dict[str, Any]:
    """Headers, properties and body, deserialized where no package is missing that would expand it."""
    message = VirtualMessage(json.loads(text), channel=Channel(), accept=ACCEPTED)
    body = message.body if "compression" in message.headers else message.decode()
    return {"headers": message.headers, "properties": message.properties, "body": repr(body)}


def main() -> None:
    lists = json.load(sys.stdin)
    if "virtual" in sys.argv:
        found = [[read_entry(text) for text in each] for each in lists]
    else:
        found = [[read(*map(b64decode, pair)) for pair in each] for each in lists]
    json.dump(found, sys.stdout, default=repr)


if __name__ == "__main__":
    main()
