"""Makes, binds, empties and removes the queues and exchanges of a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pamqp import commands

from umbel.stores.amqp.channel import Channel
from umbel.stores.amqp.methods import method

_NOTHING: Mapping[str, Any] = {}


async def declare_queue(
    channel: Channel,
    name: str,
    *,
    passive: bool = False,
    fleeting: bool = False,
    arguments: Mapping[str, Any] = _NOTHING,
) -> int:
    """Make a durable queue, or with ``passive`` ask for it; gives how many messages are ready there.

    A ``fleeting`` one goes with the last of its consumers, and with the server.

    Raises ``ChannelRefused``: 404 for one that is not there, 406 for one that is otherwise, 405 for one that is
    exclusive to another connection.
    """
    declare = method(
        commands.Queue.Declare,
        queue=name,
        passive=passive,
        durable=not passive and not fleeting,
        auto_delete=fleeting,
        arguments=dict(arguments),
    )
    answer = await channel.call(declare, commands.Queue.DeclareOk)
    return int(answer.message_count)


async def declare_exchange(
    channel: Channel, name: str, kind: str, arguments: Mapping[str, Any] = _NOTHING, *, durable: bool = True
) -> None:
    """Make an exchange; raises ``ChannelRefused`` as ``declare_queue``."""
    declare = method(
        commands.Exchange.Declare, exchange=name, exchange_type=kind, durable=durable, arguments=dict(arguments)
    )
    await channel.call(declare, commands.Exchange.DeclareOk)


async def bind_queue(channel: Channel, queue: str, exchange: str, key: str) -> None:
    """Have the queue get what the exchange sends there."""
    bind = method(commands.Queue.Bind, queue=queue, exchange=exchange, routing_key=key)
    await channel.call(bind, commands.Queue.BindOk)


async def bind_exchange(channel: Channel, destination: str, source: str, key: str) -> None:
    """Have one exchange get what another sends there."""
    bind = method(commands.Exchange.Bind, destination=destination, source=source, routing_key=key)
    await channel.call(bind, commands.Exchange.BindOk)


async def purge_queue(channel: Channel, name: str) -> int:
    """Drop the ready messages of a queue; gives how many."""
    answer = await channel.call(method(commands.Queue.Purge, queue=name), commands.Queue.PurgeOk)
    return int(answer.message_count)


async def delete_queue(channel: Channel, name: str) -> None:
    """Remove a queue with all that is in it."""
    await channel.call(method(commands.Queue.Delete, queue=name), commands.Queue.DeleteOk)
