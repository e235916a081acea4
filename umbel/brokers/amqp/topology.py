"""Makes exchanges and queues: those that Celery would make, exactly so, and umbel's own."""

from __future__ import annotations

from typing import Any

from umbel.errors import ConfigurationError, StoreRefused
from umbel.model import Queue
from umbel.stores.amqp.channel import Channel, ChannelRefused
from umbel.stores.amqp.entities import bind_exchange, bind_queue, declare_exchange, declare_queue
from umbel.stores.amqp.link import Link
from umbel.wire.names import DELAYED

DEAD = "umbel.dead"
"""The queue of dead letters."""

DUE = "umbel.due"
"""The exchange at the foot of the ladder: every task queue is bound to it."""

LOST = "umbel.undeliverable"
"""Where what is due goes when its queue is gone: to the dead letters."""

RUNG = "umbel.delay."
LEVELS = 28
TOP = f"{RUNG}{LEVELS - 1}"
LONGEST = 2**LEVELS - 1
"""Seconds that the ladder can hold a message; what is due later goes round again."""

GONE, LOCKED, DIFFERENT = 404, 405, 406
"""Reply codes: no such thing; exclusive to another connection; there already, and not as it was asked for."""


def steps(seconds: int, queue: str) -> str:
    """The routing key that takes a message down the ladder in so many seconds and then to ``queue``."""
    bits = ".".join(f"{min(seconds, LONGEST):0{LEVELS}b}")
    return f"{bits}.{queue}"


def pattern(queue: str) -> str:
    """The binding by which ``queue`` gets what is due; raises ``ConfigurationError`` for a name that matches others."""
    if not {"*", "#"}.isdisjoint(queue.split(".")):
        raise ConfigurationError(
            f"Queue {queue}: a part of the name that is * or # means every queue to RabbitMQ; choose another name"
        )
    return "*." * LEVELS + queue


async def ensure_queue(link: Link, queue: Queue, kind: str, max_priority: int | None) -> None:
    """Make sure that ``queue`` exists, with the exchange and the binding by which Celery's clients reach it.

    One that is there already is taken as it is, whatever its arguments. ``kind`` is ``classic`` or ``quorum``.
    """
    due_key = pattern(queue.name)
    if not await _exists(link, queue.name):
        await _make(link, queue.name, arguments_of(queue, kind, max_priority))
    exchange = queue.exchange or queue.name
    async with link.scratch() as channel:
        try:
            await declare_exchange(channel, exchange, "direct")
        except ChannelRefused as refusal:
            if refusal.code != DIFFERENT:
                raise
    async with link.scratch() as channel:
        await bind_queue(channel, queue.name, exchange, queue.routing_key)
        await _ensure_due(channel)
        await bind_queue(channel, queue.name, DUE, due_key)
        # What others delayed on the server comes by the key that they gave it, below as many steps.
        await declare_exchange(channel, DELAYED, "topic")
        await bind_queue(channel, queue.name, DELAYED, "*." * LEVELS + queue.routing_key)


def arguments_of(queue: Queue, kind: str, max_priority: int | None) -> dict[str, Any]:
    """What Celery would declare this queue with; raises ``ConfigurationError`` for a quorum queue with priorities."""
    arguments: dict[str, Any] = dict(queue.arguments)
    most = queue.max_priority or max_priority
    if kind == "quorum" or arguments.get("x-queue-type") == "quorum":
        if most:
            raise ConfigurationError(
                f"Queue {queue.name}: a quorum queue has no priorities; make it classic, or leave max_priority out"
            )
        arguments["x-queue-type"] = "quorum"
    elif most:
        arguments["x-max-priority"] = most
    return arguments


async def _exists(link: Link, name: str) -> bool:
    async with link.scratch() as channel:
        try:
            await declare_queue(channel, name, passive=True)
        except ChannelRefused as refusal:
            if refusal.code == GONE:
                return False
            if refusal.code == LOCKED:
                raise StoreRefused(f"the queue {name!r} is exclusive to another connection: {refusal}") from refusal
            raise
    return True


async def _make(link: Link, name: str, arguments: dict[str, Any]) -> None:
    async with link.scratch() as channel:
        try:
            await declare_queue(channel, name, arguments=arguments)
        except ChannelRefused as refusal:
            if refusal.code != DIFFERENT:  # somebody else was quicker, and made it otherwise: theirs is taken
                raise


async def ensure_dead(link: Link) -> None:
    """Make sure that there is a queue of dead letters."""
    async with link.scratch() as channel:
        await declare_queue(channel, DEAD)


async def _ensure_due(channel: Channel) -> None:
    """The exchange to which task queues are bound, and the way out for what finds none of them."""
    await declare_queue(channel, DEAD)
    await declare_exchange(channel, LOST, "fanout")
    await bind_queue(channel, DEAD, LOST, "")
    await declare_exchange(channel, DUE, "topic", {"alternate-exchange": LOST})


async def ensure_ladder(link: Link) -> None:
    """Make the ladder on which delayed messages wait: a queue a bit of the delay, each twice as slow as the next."""
    async with link.scratch() as channel:
        await _ensure_due(channel)
        for level in range(LEVELS):
            rung, below = f"{RUNG}{level}", f"{RUNG}{level - 1}" if level else DUE
            arguments = {
                "x-queue-type": "quorum",
                "x-overflow": "reject-publish",
                "x-message-ttl": 1000 * 2**level,
                "x-dead-letter-exchange": below,
                "x-dead-letter-strategy": "at-least-once",
            }
            stars = "*." * (LEVELS - 1 - level)
            await declare_exchange(channel, rung, "topic")
            await declare_queue(channel, rung, arguments=arguments)
            await bind_queue(channel, rung, rung, f"{stars}1.#")
            await bind_exchange(channel, below, rung, f"{stars}0.#")
