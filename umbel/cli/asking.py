"""Asks a broker from plain code."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from umbel.ports import Broker

T = TypeVar("T")


def ask(broker: Broker, question: Callable[[Broker], Coroutine[Any, Any, T]]) -> T:
    """What ``question(broker)`` gives, asked on the background loop of this process; raises what it raises."""
    from umbel import bridge

    way = bridge.get()

    async def asked() -> T:
        await way.entered(broker)
        return await question(broker)

    return way.run(asked())


def waiting(broker: Broker, queues: list[str]) -> dict[str, int]:
    """How many messages wait in each of these queues."""

    async def sizes(broker: Broker) -> dict[str, int]:
        return {queue: await broker.size(queue) for queue in queues}

    return ask(broker, sizes)
