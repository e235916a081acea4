"""Asks the nodes of an app over its broker's bus, and tells them what to do."""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

from umbel.errors import WireError
from umbel.ids import new_id
from umbel.ports import Bus, HasBus
from umbel.wire.control import Command, read_answer, write_command
from umbel.wiring import App

logger = logging.getLogger("umbel.bus")

PATIENCE = 1.0
"""Seconds without another answer after which nobody else is waited for."""

_ROUNDS = 10
"""So many times that long is waited at most, however many answer."""


def bus_of(app: App) -> Bus | None:
    """The bus of this app's broker, if it has one."""
    broker = app.broker
    return broker.bus if isinstance(broker, HasBus) else None


async def tell(app: App, bus: Bus, command: Command) -> bool:
    """Send a command that nobody answers; gives whether any node listens. Raises ``StoreError``."""
    return await bus.send(write_command(command, bus.form, protection=app.protection))


async def ask(
    app: App, bus: Bus, command: Command, *, timeout: float = PATIENCE, limit: int | None = None
) -> dict[str, Any]:
    """Send a command and give the answers by node name.

    It waits until ``limit`` nodes have answered (by default as many as are named, else no limit), or until ``timeout``
    seconds have gone without another answer; not at all where nobody listens. An answer that is not signed as the
    app's keys want it is passed over. Raises ``StoreError``.
    """
    most = limit or len(command.destination) or None
    answers: dict[str, Any] = {}
    async with bus.inbox() as inbox:
        command = command._replace(ticket=new_id(), reply_to=inbox.address)
        expires = app.clock.now() + timeout
        if not await bus.send(write_command(command, bus.form, expires=expires, protection=app.protection)):
            return answers
        deadline = monotonic() + _ROUNDS * timeout
        while (most is None or len(answers) < most) and monotonic() < deadline:
            envelope = await inbox.next(timeout)
            if envelope is None:
                break
            try:
                answer = read_answer(envelope, accept=app.accept_content, protection=app.protection)
            except WireError as error:
                logger.warning("An answer to %s is passed over: %s", command.method, error)
                continue
            if answer.ticket == command.ticket:
                answers |= answer.values
    return answers
