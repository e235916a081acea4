"""Ends single deliveries that run, with as little harm to what runs beside them as there can be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from umbel.worker.holding import Certificate
from umbel.worker.runners import Runner

logger = logging.getLogger("umbel.worker")

CANCELLED = 5.0
"""Seconds in which a coroutine that was cancelled has to end, before its runner is killed."""

NEIGHBOURS = 10.0
"""Seconds that the others in a runner that is to be killed have to end."""


class Endings:
    """Where a runner has one slot, it is killed with its delivery. Where it has more, a coroutine is cancelled.

    If that cannot be, or does not help, the runner gets nothing more, and is killed when its other deliveries have
    ended or have had ``neighbours`` seconds; what it still runs then is run again elsewhere, and not held against it.

    ``recall(runner)`` takes back what the runner has not started. The node's loop owns it.
    """

    def __init__(
        self, runners: Mapping[int, Runner], recall: Callable[[Runner], None], *, neighbours: float = NEIGHBOURS
    ) -> None:
        self._runners = runners
        self._recall = recall
        self._neighbours = neighbours

    def end(self, runner: Runner, number: int, certificate: Certificate) -> None:
        """End delivery ``number``, which runs in ``runner``, and settle it so."""
        runner.assigned[number].certificate = certificate
        if runner.slots == 1:
            self._recall(runner)
            runner.link.kill()
            return
        runner.link.cancel(number, certificate)
        asyncio.get_running_loop().call_later(CANCELLED, self.stubborn, runner, number)

    def stubborn(self, runner: Runner, number: int) -> None:
        """It cannot be cancelled, or does not obey: its runner has to go, if it still runs there."""
        if number not in runner.assigned or runner.doomed or not self._alive(runner):
            return
        held = runner.assigned[number]
        runner.doomed = runner.stopping = True
        self._recall(runner)
        logger.warning(
            "Runner %d (pid %d) is killed for task [%s] (%s); %d others in it have up to %g s to end",
            runner.number,
            runner.pid,
            held.delivery.envelope.id,
            "" if held.certificate is None else held.certificate.reason,
            len(self._innocent(runner)),
            self._neighbours,
        )
        asyncio.get_running_loop().call_later(self._neighbours, self._kill, runner)
        self.reported(runner)

    def reported(self, runner: Runner) -> None:
        """Something in a doomed runner has ended: it need not wait longer than for its neighbours."""
        if not self._innocent(runner):
            self._kill(runner)

    def _kill(self, runner: Runner) -> None:
        if runner.assigned and self._alive(runner):
            runner.link.kill()

    def _alive(self, runner: Runner) -> bool:
        return self._runners.get(runner.number) is runner

    @staticmethod
    def _innocent(runner: Runner) -> list[int]:
        return [number for number, held in runner.assigned.items() if held.certificate is None]
