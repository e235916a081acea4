"""Every delivery that this node has and that is not settled yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from umbel.model import Delivery


class Certificate(NamedTuple):
    """How a delivery ended that no runner can report: ``kind`` is LOST, TIMED_OUT or REVOKED, ``bury`` makes it a dead
    letter."""

    kind: str
    reason: str
    bury: bool = False


LOST, TIMED_OUT, REVOKED = "lost", "timed out", "revoked"


class Held:
    """One delivery in the node's hands.

    ``losses`` counts the runners that died while they ran it; ``early`` says that the broker has already forgotten it,
    ``certificate`` how it is to be settled without running.
    """

    __slots__ = ("certificate", "delivery", "early", "losses")

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.losses = 0
        self.early = False
        self.certificate: Certificate | None = None


class Holding:
    """The deliveries that wait for a runner, in the order to start them. The node's loop owns it."""

    def __init__(self) -> None:
        self._waiting: deque[Held] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, deliveries: Iterable[Delivery]) -> None:
        """New ones, behind those that wait."""
        self._waiting.extend(map(Held, deliveries))

    def put_back(self, held: Iterable[Held]) -> None:
        """These were handed out and not started: in their order, before all others."""
        self._waiting.extendleft(reversed(list(held)))

    def next(self, count: int) -> list[Held]:
        """Up to ``count``, to hand out."""
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(count, len(waiting)))]

    def empty(self) -> list[Held]:
        """All of them, to give back to the broker."""
        given = list(self._waiting)
        self._waiting.clear()
        return given
