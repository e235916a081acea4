"""Prints, as JSON, what Celery's messages are on AMQP, byte for byte: the golden bytes of tests/wire.

    .venvs/dev-…/bin/python -m tools.capture_amqp .venvs/celery56-…/bin/python > tests/wire/golden/amqp-5.6.3.json

Starts a RabbitMQ server of its own; tools/capture_celery.py sends the messages, with the Python that is given.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from base64 import b64encode
from pathlib import Path

from tools.rabbitmq import RabbitMQ
from umbel.brokers.amqp import AmqpBroker
from umbel.model import Delivery

QUEUE = "captured"
SENDER = Path(__file__).with_name("capture_celery.py")


async def taken(url: str, count: int) -> list[Delivery]:
    """So many deliveries, in order."""
    found: list[Delivery] = []
    async with AmqpBroker(url) as broker:
        consumer = await broker.consume([QUEUE], count)
        async for deliveries in consumer:
            found += deliveries
            if len(found) >= count:
                break
        await consumer.close()
    return found


def captured(url: str, python: str) -> dict[str, list[list[str]]]:
    """By name of the call, head and body of each of its messages."""
    done = subprocess.run([python, SENDER, url, QUEUE], stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    names = json.loads(done.stdout)
    messages: dict[str, list[list[str]]] = {}
    for name, delivery in zip(names, asyncio.run(taken(url, len(names))), strict=True):
        pair = [b64encode(part).decode() for part in (delivery.envelope.head, delivery.envelope.body)]
        messages.setdefault(name, []).append(pair)
    return messages


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = RabbitMQ(Path(folder) / "server")
        server.start()
        try:
            json.dump(captured(server.url, sys.argv[1]), sys.stdout, indent=1)
            sys.stdout.write("\n")
        finally:
            server.close()


if __name__ == "__main__":
    main()
