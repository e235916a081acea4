"""Makes exchanges and queues: those that Celery would make, exactly so, and umbel's own."""

from __future__ import annotations

from typing import Any

from pamqp import commands

from umbel.errors import ConfigurationError, StoreRefused
from umbel.model import Queue
from umbel.stores.amqp.channel import ChannelRefused
from umbel.stores.amqp.link import Link
from umbel.stores.amqp.methods import method

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


async def declare_queue(link: Link, queue: Queue, kind: str, max_priority: int | None) -> None:
    """Make sure that ``queue`` exists, with the exchange and the binding by which Celery's clients reach it.

    One that is there already is taken as it is, whatever its arguments. ``kind`` is ``classic`` or ``quorum``.
    """
    due_key = pattern(queue.name)
    if not await _exists(link, queue.name):
        await _make(link, queue.name, arguments_of(queue, kind, max_priority))
    exchange = queue.exchange or queue.name
    async with link.scratch() as channel:
        try:
            made: Any = method(commands.Exchange.Declare, exchange=exchange, exchange_type="direct", durable=True)
            await channel.call(made, commands.Exchange.DeclareOk)
        except ChannelRefused as refusal:
            if refusal.code != DIFFERENT:
                raise
    async with link.scratch() as channel:
        bind = method(commands.Queue.Bind, queue=queue.name, exchange=exchange, routing_key=queue.routing_key)
        await channel.call(bind, commands.Queue.BindOk)
        await declare_due(link)
        await channel.call(
            method(commands.Queue.Bind, queue=queue.name, exchange=DUE, routing_key=due_key), commands.Queue.BindOk
        )


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
            await channel.call(method(commands.Queue.Declare, queue=name, passive=True), commands.Queue.DeclareOk)
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
            await channel.call(
                method(commands.Queue.Declare, queue=name, durable=True, arguments=arguments), commands.Queue.DeclareOk
            )
        except ChannelRefused as refusal:
            if refusal.code != DIFFERENT:  # somebody else was quicker, and made it otherwise: theirs is taken
                raise


async def declare_dead(link: Link) -> None:
    """Make the queue of dead letters."""
    async with link.scratch() as channel:
        await channel.call(method(commands.Queue.Declare, queue=DEAD, durable=True), commands.Queue.DeclareOk)


async def declare_due(link: Link) -> None:
    """Make the exchange to which task queues are bound, and the way out for what finds none of them."""
    await declare_dead(link)
    async with link.scratch() as channel:
        await channel.call(
            method(commands.Exchange.Declare, exchange=LOST, exchange_type="fanout", durable=True),
            commands.Exchange.DeclareOk,
        )
        await channel.call(
            method(commands.Queue.Bind, queue=DEAD, exchange=LOST, routing_key=""), commands.Queue.BindOk
        )
        due = method(
            commands.Exchange.Declare,
            exchange=DUE,
            exchange_type="topic",
            durable=True,
            arguments={"alternate-exchange": LOST},
        )
        await channel.call(due, commands.Exchange.DeclareOk)


async def declare_ladder(link: Link) -> None:
    """Make the ladder on which delayed messages wait: a queue a bit of the delay, each twice as slow as the next."""
    await declare_due(link)
    async with link.scratch() as channel:
        for level in range(LEVELS):
            below = f"{RUNG}{level - 1}" if level else DUE
            await channel.call(
                method(commands.Exchange.Declare, exchange=f"{RUNG}{level}", exchange_type="topic", durable=True),
                commands.Exchange.DeclareOk,
            )
            arguments = {
                "x-queue-type": "quorum",
                "x-overflow": "reject-publish",
                "x-message-ttl": 1000 * 2**level,
                "x-dead-letter-exchange": below,
                "x-dead-letter-strategy": "at-least-once",
            }
            await channel.call(
                method(commands.Queue.Declare, queue=f"{RUNG}{level}", durable=True, arguments=arguments),
                commands.Queue.DeclareOk,
            )
            stars = "*." * (LEVELS - 1 - level)
            await channel.call(
                method(
                    commands.Queue.Bind, queue=f"{RUNG}{level}", exchange=f"{RUNG}{level}", routing_key=f"{stars}1.#"
                ),
                commands.Queue.BindOk,
            )
            await channel.call(
                method(commands.Exchange.Bind, destination=below, source=f"{RUNG}{level}", routing_key=f"{stars}0.#"),
                commands.Exchange.BindOk,
            )
