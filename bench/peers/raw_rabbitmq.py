"""The limit of the server: umbel's bytes as bare AMQP frames, published, delivered and acknowledged by hand.

Publishing one by one awaits each confirm, publishing many writes a thousand at once and awaits their confirms together.
The consumer has a prefetch of 512 and acknowledges what has come in one frame; it decodes nothing and calls nothing.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence

from bench import client
from bench.peers.server import clear, drained
from umbel.model import Message
from umbel.stores.amqp import frames
from umbel.stores.amqp.address import addresses
from umbel.stores.amqp.channel import Arrival, Channel, Parcel
from umbel.stores.amqp.entities import declare_queue, delete_queue
from umbel.stores.amqp.link import Link
from umbel.wire import task_v2

__all__ = ["clear", "drained"]

WINDOW = 1000
PREFETCH = 512
COMMAND = [sys.executable, "-m", "bench.peers.raw_rabbitmq"]
_MARK = b"mark"

_loop = asyncio.new_event_loop()
_channel: Channel | None = None


async def _fresh() -> Channel:
    return await (await Link(addresses(client.URL)).connection()).channel()


async def _opened() -> Channel:
    global _channel
    if _channel is None:
        _channel = await _fresh()
        await declare_queue(_channel, client.QUEUE)
        await _channel.confirm()
    return _channel


def _parcels(count: int, body: bytes | None = None) -> list[Parcel]:
    id = "0b9e61c3-8f0d-4c51-ae5c-5d8a2a2b7f10"
    message = Message(task="bench.peers.umbel_server.echo", id=id, args=(1,), origin="gen1@localhost")
    envelope = task_v2.encode(message, "amqp")
    start = frames.start_of_publish(1, "", client.QUEUE)
    return [Parcel(start, envelope.head, envelope.body if body is None else body)] * count


async def _publish(parcels: Sequence[Parcel]) -> None:
    channel = await _opened()
    for at in range(0, len(parcels), WINDOW):
        await channel.publish(parcels[at : at + WINDOW])


_one = _parcels(1)


def call(number: int) -> None:
    """One publish, and its confirm."""
    _loop.run_until_complete(_publish(_one))


async def acall(number: int) -> None:
    """The same on the caller's loop."""
    await _publish(_one)


def call_many(numbers: Sequence[int]) -> None:
    """A thousand at a time."""
    _loop.run_until_complete(_publish(_parcels(len(numbers))))


def mark() -> None:
    """A message that the consumer knows."""
    _loop.run_until_complete(_publish(_parcels(1, _MARK)))


def remove_queue() -> int:
    """Remove the queue of this run, which another may have made in another way; gives how many messages were in it."""

    async def remove() -> int:
        channel = await _fresh()
        left = await declare_queue(channel, client.QUEUE, passive=True)
        await delete_queue(channel, client.QUEUE)
        return left

    return _loop.run_until_complete(remove())


async def consume() -> None:
    """Acknowledge what comes, until told to end."""
    channel = await _opened()
    ended = asyncio.Event()
    _loop.add_signal_handler(signal.SIGTERM, ended.set)

    def take(arrivals: list[Arrival]) -> None:
        for arrival in arrivals:
            if arrival.body == _MARK:
                client.stamp()
        client.tick(len(arrivals))
        channel.settle(frames.ack(channel.number, arrivals[-1].tag, True))

    await channel.qos(PREFETCH)
    await channel.consume(client.QUEUE, "raw", take)
    await ended.wait()
    await channel.connection.writable()


if __name__ == "__main__":
    _loop.run_until_complete(consume())
