"""Takes back what nobody here has started: its claim was lost, or is held for too long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from umbel.model import RETURN, Delivery, Settlement
from umbel.ports import Tethered
from umbel.worker.encounters import Encounters
from umbel.worker.fleet import Fleet
from umbel.worker.holding import Held, Holding
from umbel.worker.settling import Settling
from umbel.worker.suspects import Suspects

_SELDOM = 1.0
"""Seconds between two looks at what is held for too long."""


class Recall:
    """Knows every place where a delivery may wait; ``suspects`` and ``encounters`` are set as the node has them."""

    def __init__(self, holding: Holding, fleet: Fleet, settling: Settling) -> None:
        self._holding = holding
        self._fleet = fleet
        self._settling = settling
        self.suspects: Suspects | None = None
        self.encounters: Encounters | None = None
        self._looked = 0.0

    def unended(self) -> set[str]:
        """The ids of what runs, and of what has ended and is not written down."""
        running = (held for runner in self._fleet.runners.values() for held in runner.assigned.values())
        return {held.delivery.envelope.id for held in running} | self._settling.unwritten

    def present(self) -> set[str]:
        """The ids of what runs, and of what waits to be started."""
        waiting = {held.delivery.envelope.id for held in self._holding.all()}
        if self.suspects is not None:
            waiting.update(delivery.envelope.id for delivery in self.suspects.waiting)
        return waiting | self.unended()

    def pull(self, chosen: Callable[[str], bool]) -> list[Delivery]:
        """Take out what waits to be looked up or to be started alone, of the tasks that are chosen by their ids."""
        pulled = [] if self.encounters is None else self.encounters.pull(chosen)
        if self.suspects is not None:
            waiting = [each.envelope.id for each in self.suspects.waiting if chosen(each.envelope.id)]
            pulled += [each for task_id in waiting if (each := self.suspects.pull(task_id)) is not None]
        return pulled

    def lost(self) -> None:
        """The claims are lost: others may start what was not started here, and wait for the end of what was."""
        self._give_back(lambda task_id: True)
        if self.encounters is not None:
            self.encounters.lost()

    def overdue(self, consumer: Tethered) -> None:
        """Give back what has waited for too long; called often, looks seldom."""
        now = asyncio.get_running_loop().time()
        if now - self._looked >= _SELDOM:
            self._looked = now
            overdue = consumer.overdue()
            if overdue:
                self._give_back(overdue.__contains__)

    def _give_back(self, chosen: Callable[[str], bool]) -> None:
        for runner in self._fleet.runners.values():
            if any(chosen(held.delivery.envelope.id) for held in runner.assigned.values()):
                self._holding.put_back(self._fleet.take_back(runner))
        kept: list[Held] = []
        returned = self.pull(chosen)
        for held in self._holding.empty():
            if not chosen(held.delivery.envelope.id) or held.certificate is not None or held.early:
                kept.append(held)
                continue
            if held.suspect and self.suspects is not None:
                self.suspects.ended({held.delivery.envelope.id: True})
            returned.append(held.delivery)
        self._holding.take(kept)
        self._settling.settle([Settlement(delivery, RETURN) for delivery in returned])
        self._fleet.feed()
