"""Every delivery that this node has and that is not settled yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from umbel.model import Delivery


class Certificate(NamedTuple):
    """How a delivery ended that no runner can report.

    ``kind`` is LOST, TIMED_OUT, REVOKED or TERMINATED; ``bury`` makes it a dead letter. ``bare`` leaves out what would
    be called in the runner: handlers, and error callbacks that take the exception. JOINED is for what has ended as it
    should, but for the body of its chord, which is still to be sent.
    """

    kind: str
    reason: str
    bury: bool = False
    bare: bool = False


TRIES = 3
"""So many runners may die of a certificate, the last of them of a bare one, before the node settles it."""

LOST, TIMED_OUT, REVOKED, TERMINATED, JOINED = "lost", "timed out", "revoked", "terminated", "joined"


class Held:
    """One delivery in the node's hands.

    ``losses`` counts the runners that died while they ran it; ``early`` says that the broker has already forgotten it,
    ``certificate`` how it is to be settled without running, ``suspect`` that a dead worker may have started it,
    ``alone`` that it must have no neighbours, ``cancelled`` that it was asked to stop while it ran.
    """

    __slots__ = ("alone", "cancelled", "certificate", "certified", "delivery", "early", "losses", "suspect")

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.losses = 0
        self.early = False
        self.certificate: Certificate | None = None
        self.certified = 0
        """How often its certificate was given to a runner."""
        self.suspect = False
        self.alone = False
        self.cancelled = False

    def certify(self, certificate: Certificate) -> Certificate:
        """Its certificate for one more runner; the last that gets it leaves out what others may have died of."""
        self.certified += 1
        return certificate._replace(bare=True) if self.certified == TRIES else certificate


class Holding:
    """The deliveries that wait for a runner, in the order to start them. The node's loop owns it."""

    def __init__(self) -> None:
        self._waiting: deque[Held] = deque()
        self.alone: deque[Held] = deque()
        """Those that must have no neighbours; beside the others, which do not wait for them."""

    def __len__(self) -> int:
        """How many may be handed out to whoever is free."""
        return len(self._waiting)

    def __iter__(self) -> Iterator[Held]:
        return iter(tuple(self._waiting))

    def take(self, held: Iterable[Held]) -> None:
        """New ones, behind those that wait."""
        self._waiting.extend(held)

    def put_back(self, held: Iterable[Held]) -> None:
        """These were handed out and not started: in their order, before all others."""
        for each in reversed(list(held)):
            lonely = each.alone and each.certificate is None
            (self.alone if lonely else self._waiting).appendleft(each)

    def all(self) -> Iterator[Held]:
        """Those that must be alone, too."""
        return chain(self._waiting, self.alone)

    def find(self, task_id: str) -> Held | None:
        """The one of this task, if it waits here."""
        for held in self.all():
            if held.delivery.envelope.id == task_id:
                return held
        return None

    def next(self, count: int) -> list[Held]:
        """Up to ``count``, to hand out."""
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(count, len(waiting)))]

    def empty(self) -> list[Held]:
        """All of them, to give back to the broker."""
        given = [*self.all()]
        self._waiting.clear()
        self.alone.clear()
        return given
