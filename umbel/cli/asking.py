"""Asks a broker from plain code, about the queues of an app."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from umbel.call import NO_OPTIONS
from umbel.ports import Broker

if TYPE_CHECKING:
    from umbel.app import Umbel
    from umbel.task import Task

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


def queue_of(task: Task[..., Any]) -> str | None:
    """Where its calls go; None when a router decides by their arguments."""
    return task.app.publisher.queue_of(task.name, task.resolved(NO_OPTIONS))


def named_queues(app: Umbel) -> set[str]:
    """The queues that the app declares, and those that calls of its tasks go to, as far as no argument decides."""
    return {*app.queues.declared, *filter(None, map(queue_of, app.tasks.values()))}
