"""A runner as the node sees it: the way to it, and what it was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from umbel.model import Delivery
from umbel.worker.board import Board
from umbel.worker.holding import Certificate, Held

Habit = tuple[str, float, list[tuple[str, float]]]
"""A task's name, the seconds that it takes as a rule, its stages with their weights."""


class Link(Protocol):
    """The node's way to one runner."""

    def run(self, jobs: Sequence[tuple[int, Delivery]]) -> None:
        """Run these deliveries, in this order, behind those given before."""
        ...

    def certify(self, number: int, delivery: Delivery, certificate: Certificate) -> None:
        """Settle this delivery without running it."""
        ...

    def interrupt(self, number: int) -> None:
        """The soft limit of this delivery is over."""
        ...

    def cancel(self, number: int, certificate: Certificate) -> None:
        """Cancel the coroutine of this delivery and settle it so; one that cannot be is answered ``stubborn``."""
        ...

    def flag(self, number: int) -> None:
        """Ask the task of this delivery to stop at its next step."""
        ...

    def habits(self, known: Sequence[Habit]) -> None:
        """How long tasks take as a rule."""
        ...

    def acknowledged(self, number: int) -> None:
        """The broker has forgotten this delivery."""
        ...

    def ask(self) -> None:
        """Ask for an answer: a frame ``heard``."""
        ...

    def stop(self) -> None:
        """End when everything given is done."""
        ...

    def kill(self) -> None:
        """End now, with whatever the task has started."""
        ...


class Runner:
    """One runner: what it was given and has not reported, by number, in the order given."""

    __slots__ = (
        "assigned",
        "board",
        "done",
        "doomed",
        "given",
        "lifeline",
        "link",
        "number",
        "pid",
        "ready",
        "seen",
        "slots",
        "stopping",
        "suspect",
    )

    def __init__(self, number: int, pid: int, link: Link, board: Board, lifeline: str, slots: int = 1) -> None:
        self.number = number
        self.pid = pid
        self.link = link
        self.board = board
        self.lifeline = lifeline
        self.slots = slots
        """How many deliveries it runs at once."""
        self.assigned: dict[int, Held] = {}
        self.given = 0
        self.done = 0
        self.seen = 0
        self.ready = False
        self.stopping = False
        self.doomed = False
        """Whether it is to be killed for one of its deliveries, once the neighbours have ended or had their time."""
        self.suspect = False
        """Whether it runs, or is kept for, a message that a dead worker may have started: it gets nothing else."""

    @property
    def running(self) -> list[int]:
        """The numbers whose function was started and has not ended, as far as they were not reported."""
        return sorted(number for number in self.board.running if number in self.assigned)
