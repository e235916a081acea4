"""The life of one delivery in a runner."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter

from umbel.app import Umbel
from umbel.attempt import Call, attempt
from umbel.errors import NotRegistered, WireError, WorkerLostError
from umbel.model import Delivery, Failed, Message, Outcome, dead
from umbel.request import Request
from umbel.wire import task_v2
from umbel.worker.admission import admit
from umbel.worker.settler import Report, Settler

logger = logging.getLogger("umbel.worker")


class Journey:
    """Takes deliveries from bytes to a report of how they ended.

    ``call`` calls the user's function; ``acknowledge(number)`` returns when the broker has forgotten the delivery, for
    tasks that are to run at most once.
    """

    def __init__(self, app: Umbel, hostname: str, call: Call, acknowledge: Callable[[int], None]) -> None:
        self._app = app
        self._hostname = hostname
        self._call = call
        self._acknowledge = acknowledge
        self._accept = app.accept_content
        self._max_size: int = app.conf.task_message_max_size
        self._acks_late: bool = app.conf.task_acks_late
        self._track_started: bool = app.conf.task_track_started
        self._settler = Settler(app, hostname)

    async def __call__(self, number: int, delivery: Delivery) -> Report:
        """The life of one delivery. The firewall: what escapes is logged, and the delivery becomes a dead letter."""
        try:
            return await self._live(number, delivery)
        except Exception as error:
            logger.critical(
                "umbel failed on the message [%s]; it is a dead letter", delivery.envelope.id, exc_info=True
            )
            return Report(number, dead(f"umbel failed on it: {type(error).__name__}: {error}"))

    async def _live(self, number: int, delivery: Delivery) -> Report:
        """Decoded, admitted, run, settled."""
        try:
            message = task_v2.decode(delivery.envelope, accept=self._accept, max_size=self._max_size)
        except WireError as error:
            return self._settler.undecodable(number, delivery, error)
        try:
            task = self._app.tasks[message.task]
        except NotRegistered as error:
            return self._settler.unknown(number, delivery, message, error)
        if logger.isEnabledFor(logging.INFO):
            logger.info("Task %s[%s] received", message.shadow or message.task, message.id)
        request = Request(message, delivery, hostname=self._hostname)
        outcome: Outcome | None = None
        if message.expires is not None or message.eta is not None:
            outcome = admit(message, self._app.clock.now())
        started = perf_counter()
        if outcome is None:
            late = self._acks_late if task.acks_late is None else task.acks_late
            if not late:
                self._acknowledge(number)
            if self._track_started if task.track_started is None else task.track_started:
                self._settler.started(task, request)
            outcome = await attempt(task, request, message, self._call)
        return self._settler.settle(number, task, request, outcome, perf_counter() - started)

    async def certify(self, number: int, delivery: Delivery, reason: str, bury: bool) -> Report:
        """The end of a delivery whose runner died: FAILURE ``WorkerLostError``, with everything that settling means."""
        lost = Failed(WorkerLostError(reason))
        try:
            message: Message = task_v2.decode(delivery.envelope, accept=self._accept, max_size=self._max_size)
            task = self._app.tasks[message.task]
        except (WireError, NotRegistered) as error:
            return self._settler.undecodable(number, delivery, error)
        request = Request(message, delivery, hostname=self._hostname)
        return self._settler.settle(number, task, request, lost, 0.0, bury=reason if bury else None)
