"""Settles deliveries as their runners report them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from umbel.model import ACK, REQUEUE, Settlement
from umbel.worker.bodies import Bodies
from umbel.worker.limits import Limits
from umbel.worker.runners import Runner
from umbel.worker.settler import Report
from umbel.worker.settling import Settling
from umbel.worker.suspects import Suspects


class Reports:
    """Takes off a runner what it reports. The node's loop owns it."""

    def __init__(self, settling: Settling, limits: Limits) -> None:
        self._settling = settling
        self._limits = limits
        self.bodies: Bodies | None = None
        """Told of chords whose bodies leave; the node sets it where a store can join parts."""

    def settle(self, runner: Runner, reports: Sequence[Report], suspects: Suspects | None) -> float:
        """These have ended so. Gives the seconds they ran; ``suspects`` is told of its own once that is durable."""
        seconds = 0.0
        settlements = []
        ended: dict[str, bool] = {}
        for report in reports:
            seconds += report.runtime
            if report.note is not None:
                self._settling.note([report.note])
            held = runner.assigned.pop(report.number, None)
            if held is None:
                continue
            if self._limits.any:
                self._limits.ended(runner.number, report.number)
            if held.suspect:
                ended[held.delivery.envelope.id] = held.certificate is not None and report.verdict == REQUEUE
            then = None
            if report.joined and self.bodies is not None:
                then = self.bodies.leaving(held.delivery.queue, report.joined)
            if held.early:
                self._settling.follow(report.follow_ups, report.record, then)
                continue
            settlement = Settlement(held.delivery, report.verdict, report.follow_ups, report.record)
            if then is None:
                settlements.append(settlement)
            else:
                self._settling.settle([settlement], then)
        self._settling.settle(settlements, partial(suspects.ended, ended) if ended and suspects is not None else None)
        return seconds

    def acknowledge(self, runner: Runner, number: int) -> None:
        """The runner wants to have this delivery forgotten before it starts it, and is told when it is."""
        held = runner.assigned.get(number)
        if held is None:
            return
        if held.early:
            runner.link.acknowledged(number)
            return
        held.early = True
        self._settling.settle([Settlement(held.delivery, ACK)], partial(runner.link.acknowledged, number))
