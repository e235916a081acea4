"""What a node does when it is asked over the bus: ``ping``, ``revoke``, ``query_task`` and ``hello``."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from umbel.clock import Clock
from umbel.errors import WireError
from umbel.revoking import KEPT
from umbel.wire.control import Command
from umbel.wire.envelope import unpack
from umbel.worker.fleet import Fleet
from umbel.worker.holding import Held, Holding
from umbel.worker.revocations import Revocations
from umbel.worker.suspects import Suspects

logger = logging.getLogger("umbel.worker")

MOST = 50_000
"""Task ids in one command."""

EXPIRIES = "umbel_expires"
"""In an answer to ``hello``: until when, as unix times, each revocation is remembered."""

NOTHING = object()
"""No answer is to be sent."""


class Commands:
    """The handlers of one node. The node's loop owns it; its parts are set as the node has them."""

    def __init__(self, node: str, clock: Clock, holding: Holding, fleet: Fleet, revocations: Revocations) -> None:
        self._node = node
        self._clock = clock
        self._holding = holding
        self._fleet = fleet
        self._revocations = revocations
        self.suspects: Suspects | None = None

    async def do(self, command: Command) -> Any:
        """Carry out a command; gives what to answer. Raises ``StoreError`` when it could not be kept."""
        try:
            return await self._do(command.method, command.arguments)
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("The command %s came with arguments that make no sense: %r", command.method[:80], error)
            return {"error": repr(error)}

    async def _do(self, method: str, arguments: Mapping[str, Any]) -> Any:
        if method == "ping":
            return {"ok": "pong"}
        if method == "revoke":
            stop, cancel = bool(arguments.get("terminate")), bool(arguments.get("cancel"))
            return await self._revoke(_ids("task_id", arguments), stop, cancel)
        if method == "query_task":
            wanted = set(_ids("ids", arguments))
            return {id: [state, info] for id, state, info in self._known() if id in wanted}
        if method == "hello":
            return await self._hello(arguments)
        logger.warning("The command %r came over the bus, which is not offered here", method[:80])
        return {"error": repr(KeyError(method[:80]))}

    async def _revoke(self, ids: Sequence[str], terminate: bool, cancel: bool) -> Any:
        await self._revocations.remember(ids, terminate, cancel)
        logger.info("Revoked%s: %s", ", and stopped if they run" if terminate else "", ", ".join(ids[:10]))
        return {"ok": f"tasks {', '.join(ids)} flagged as revoked"}

    async def _hello(self, arguments: Mapping[str, Any]) -> Any:
        """Exchange what is revoked with a node that starts."""
        if arguments.get("from_node") == self._node:
            return NOTHING
        await self.learn(arguments)
        return {**self.revoked(), "clock": 0}

    def revoked(self) -> dict[str, Any]:
        """What this node knows to be revoked, the latest, as a part of a question or an answer."""
        chosen = list(self._revocations.orders.items())[-MOST:]
        stamp = time.monotonic()  # a time by the clock that other workers age theirs by
        return {
            "revoked": {task_id: [stamp, task_id] for task_id, _ in chosen},
            EXPIRIES: {task_id: order.expires for task_id, order in chosen},
        }

    async def learn(self, told: Any) -> None:
        """Take over what a peer has revoked; what makes no sense is passed over. Raises ``StoreError``."""
        revoked = told.get("revoked") if isinstance(told, Mapping) else None
        if not isinstance(revoked, Mapping) or not revoked:
            return
        expiries = told.get(EXPIRIES)
        if not isinstance(expiries, Mapping):
            expiries = {}
        now = self._clock.now()
        ids = [task_id for task_id in revoked if isinstance(task_id, str) and task_id][:MOST]
        found = {task_id: _time(expiries.get(task_id), now + KEPT) for task_id in ids}
        await self._revocations.learn({task_id: expires for task_id, expires in found.items() if expires > now})

    def _known(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """(id, state, what there is to say) of everything that this node holds."""
        for runner in list(self._fleet.runners.values()):
            running = set(runner.running)
            for number, held in list(runner.assigned.items()):
                active = number in running
                state = "active" if active else "reserved"
                yield held.delivery.envelope.id, state, self._info(held, runner.pid if active else None)
        waiting = [*self._holding, *(Held(delivery) for delivery in (self.suspects.waiting if self.suspects else ()))]
        for held in waiting:
            yield held.delivery.envelope.id, "reserved", self._info(held, None)

    def _info(self, held: Held, pid: int | None) -> dict[str, Any]:
        delivery = held.delivery
        try:
            headers = unpack(delivery.envelope).headers
        except WireError:
            headers = {}
        return {
            "id": delivery.envelope.id,
            "name": headers.get("shadow") or headers.get("task"),
            "args": headers.get("argsrepr"),
            "kwargs": headers.get("kwargsrepr"),
            "type": headers.get("task"),
            "hostname": self._node,
            "time_start": None,
            "acknowledged": held.early,
            "delivery_info": {
                "exchange": "",
                "routing_key": delivery.queue,
                "priority": delivery.priority,
                "redelivered": delivery.redelivered,
            },
            "worker_pid": pid,
        }


def _ids(name: str, arguments: Mapping[str, Any]) -> list[str]:
    value = arguments[name]
    ids = [value] if isinstance(value, str) else value
    if not isinstance(ids, (list, tuple)) or not all(isinstance(task_id, str) and task_id for task_id in ids):
        raise TypeError(f"{name} must be an id or a list of ids")
    if len(ids) > MOST:
        raise ValueError(f"{name} has {len(ids)} ids; name at most {MOST} in one command")
    return list(ids)


def _time(value: Any, latest: float) -> float:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return min(float(value), latest) if usable else latest
