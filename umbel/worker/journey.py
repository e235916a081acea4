"""The life of one delivery in a runner."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Protocol

from umbel import handlers
from umbel.app import Umbel
from umbel.attempt import Ended, attempt, told
from umbel.declared import Declared
from umbel.errors import (
    ConfigurationError,
    NotRegistered,
    TaskRevokedError,
    TimeLimitExceeded,
    WireError,
    WorkerLostError,
)
from umbel.handlers import Call
from umbel.model import ACK, NO_LINKS, Delivery, Failed, Message, Outcome, Revoked, State, Succeeded, dead
from umbel.progress.flusher import Flusher
from umbel.request import Request
from umbel.signals import task_received, task_rejected, task_unknown
from umbel.wire import task_v2
from umbel.worker.admission import admit
from umbel.worker.following import Following
from umbel.worker.holding import JOINED, REVOKED, TERMINATED, TIMED_OUT, Certificate
from umbel.worker.joining import Joining
from umbel.worker.settler import NOTHING, Report, Settler
from umbel.worker.trimming import LARGE, hold_threshold, trim_soon

logger = logging.getLogger("umbel.worker")

Turn = Callable[[int], Awaitable[None]]


class NodeSide(Protocol):
    """What a runner asks of its node while a task runs."""

    async def acknowledge(self, number: int) -> None:
        """Return when the broker has forgotten the delivery, for tasks that are to run at most once."""
        ...

    def limits(self, number: int, soft: float | None, hard: float | None) -> None:
        """The delivery starts now, with limits in seconds."""
        ...


class Journey:
    """Takes deliveries from bytes to a report of how they ended.

    ``call`` calls the user's function; ``flusher`` tells of what runs; ``settler`` is made where none is given.
    ``turn`` is awaited with a delivery's number before its plain function is called, where plain functions take turns.
    """

    def __init__(
        self,
        app: Umbel,
        hostname: str,
        call: Call,
        node: NodeSide,
        flusher: Flusher,
        settler: Settler | None = None,
        turn: Turn | None = None,
    ) -> None:
        self._app = app
        self._hostname = hostname
        self._call = call
        self._turn = turn
        self._node = node
        self._flusher = flusher
        self._running, self._awake = flusher.running, flusher.awake
        app.middleware.check(app.tasks.values())
        self._accept = app.accept_content
        self._max_size: int = app.conf.task_message_max_size
        self._protection = app.protection
        self._acks_late: bool = app.conf.task_acks_late
        self._track_started: bool = app.conf.task_track_started
        self._soft_limit: float | None = app.conf.task_soft_time_limit
        self._hard_limit: float | None = app.conf.task_time_limit
        self._settler = settler or Settler(app, hostname)
        self._following = Following(app, self._settler, call, joining=Joining(app))

    async def __call__(self, number: int, delivery: Delivery) -> Report:
        """The life of one delivery. The firewall: what escapes is logged, and the delivery becomes a dead letter."""
        large = len(delivery.envelope.head) + len(delivery.envelope.body) > LARGE  # on Redis, all is in the head
        if large:
            hold_threshold()
        try:
            try:
                return await self._live(number, delivery)
            except Ended as end:
                return await self.certify(number, delivery, end.certificate)
        except Exception as error:
            handlers.internal_error(self._hostname, delivery, error)
            logger.critical(
                "umbel failed on the message [%s]; it is a dead letter", delivery.envelope.id, exc_info=True
            )
            left = await self._following.unread(Request(None, delivery, hostname=self._hostname), error)
            reason = f"umbel failed on it: {type(error).__name__}: {error}"
            return Report(number, dead(reason), follow_ups=left.follow_ups)
        finally:
            if large:
                trim_soon()

    async def _live(self, number: int, delivery: Delivery) -> Report:
        """Decoded, admitted, run, settled."""
        try:
            message = task_v2.decode(
                delivery.envelope, accept=self._accept, max_size=self._max_size, protection=self._protection
            )
        except WireError as error:
            if task_rejected.receivers:
                task_rejected.send(sender=self._hostname, message=delivery, exc=error)
            return await self._unread(number, delivery, error)
        try:
            task = self._app.tasks[message.task]
        except NotRegistered as error:
            if task_unknown.receivers:
                task_unknown.send(sender=self._hostname, message=message, exc=error, name=message.task, id=message.id)
            report = self._settler.unknown(number, delivery, message, error)
            if not report.follow_ups:
                report = await self._left_out(report, delivery, message, error)
            return report
        if logger.isEnabledFor(logging.INFO):
            logger.info("Task %s[%s] received", message.shadow or message.task, message.id)
        request = Request(message, delivery, hostname=self._hostname)
        if task_received.receivers:
            task_received.send(sender=self._hostname, request=request)
        if self._turn is not None and not task.is_async:
            await self._turn(number)
        outcome: Outcome | None = None
        if message.expires is not None or message.eta is not None:
            outcome = admit(message, self._app.clock.now())
        linked = message.links is not NO_LINKS
        if linked and (refused := await self._unfollowable(number, delivery, message)) is not None:
            return refused
        started = perf_counter()
        if outcome is None:
            late = self._acks_late if task.acks_late is None else task.acks_late
            if not late:
                await self._node.acknowledge(number)
            soft, hard = self._limits(task, message)
            if soft is not None or hard is not None:
                self._node.limits(number, soft, hard)
            if self._track_started if task.track_started is None else task.track_started:
                self._settler.started(task, request)
            self._running[number] = request
            if not self._awake.is_set():
                self._awake.set()
            try:
                outcome = await attempt(task, request, message, self._call)
            finally:
                self._running.pop(number, None)
        else:
            await told(task, request, message, outcome, self._call)
        runtime, sequel = perf_counter() - started, NOTHING
        if linked:
            outcome, sequel = await self._following.after(task, request, message, outcome)
        report = self._settler.settle(number, task, request, outcome, runtime, sequel=sequel)
        if request.progress is not None or request.children or message.parent_id is not None:
            return self._noted(report, task, request, outcome)
        return report

    async def _unfollowable(self, number: int, delivery: Delivery, message: Message) -> Report | None:
        """The end of a message whose links nobody can follow."""
        try:
            self._following.check(message)
        except (WireError, ConfigurationError) as error:
            return await self._left_out(self._settler.undecodable(number, delivery, error), delivery, message, error)
        return None

    async def _unread(self, number: int, delivery: Delivery, error: WireError) -> Report:
        """The end of a message that cannot be read."""
        left = await self._following.unread(Request(None, delivery, hostname=self._hostname), error)
        return self._settler.undecodable(number, delivery, error)._replace(follow_ups=left.follow_ups)

    async def _left_out(
        self, report: Report, delivery: Delivery, message: Message, error: Exception, state: State = State.FAILURE
    ) -> Report:
        """The report of a message that is not run, with what follows that."""
        request = Request(message, delivery, hostname=self._hostname)
        try:
            left = await self._following.leave_out(request, message, error, state)
        except WireError as wrong:
            logger.error("What waits for %s[%s] is not told of its end: %s", message.task, message.id, wrong)
            return report
        verdict = dead(left.bury) if left.bury and report.verdict == ACK else report.verdict
        return report._replace(verdict=verdict, follow_ups=[*report.follow_ups, *left.follow_ups])

    def _noted(self, report: Report, task: Declared, request: Request, outcome: Outcome) -> Report:
        """The report with the last that there is to say of the attempt's progress."""
        if isinstance(outcome, Succeeded):
            self._flusher.learn(task.name, request, report.runtime)
        return report._replace(note=self._flusher.last(report.number, task, request, outcome))

    def _limits(self, task: Declared, message: Message) -> tuple[float | None, float | None]:
        """(soft, hard) in seconds: the message's own before the task's before the settings'."""
        soft, hard = message.soft_time_limit, message.time_limit
        if soft is None:
            soft = self._soft_limit if task.soft_time_limit is None else task.soft_time_limit
        if hard is None:
            hard = self._hard_limit if task.time_limit is None else task.time_limit
        return soft, hard

    async def certify(self, number: int, delivery: Delivery, certificate: Certificate) -> Report:
        """The end of a delivery that is not run (again), with everything that settling means."""
        reason = certificate.reason
        outcome: Outcome
        if certificate.kind in (REVOKED, TERMINATED):
            outcome = Revoked(reason, terminated=certificate.kind == TERMINATED)
        else:
            outcome = Failed(TimeLimitExceeded(reason) if certificate.kind == TIMED_OUT else WorkerLostError(reason))
        try:
            message = task_v2.decode(
                delivery.envelope,
                accept=self._accept,
                max_size=self._max_size,
                protection=self._protection,
                fresh=False,  # it was when it was first handed out
            )
        except WireError as error:
            if certificate.kind == JOINED:
                logger.error("%s, and its body cannot be sent: %s", reason, error)
                return Report(number, ACK)
            return await self._unread(number, delivery, error)
        if certificate.kind == JOINED:
            request = Request(message, delivery, hostname=self._hostname)
            left = await self._following.again(request, message, certificate.bare)
            return Report(number, ACK, follow_ups=left.follow_ups, joined=left.joined)
        try:
            task = self._app.tasks[message.task]
        except NotRegistered as error:
            return await self._unknown_ended(number, delivery, message, outcome, error)
        request = Request(message, delivery, hostname=self._hostname)
        if not certificate.bare:
            await told(task, request, message, outcome, self._call)
        timed_out, sequel = certificate.kind == TIMED_OUT, NOTHING
        bury = reason if certificate.bury else None
        if message.links is not NO_LINKS:
            outcome, sequel = await self._following.after(
                task, request, message, outcome, timed_out=timed_out, bare=certificate.bare
            )
        report = self._settler.settle(
            number, task, request, outcome, 0.0, bury=bury, timed_out=timed_out, sequel=sequel
        )
        return self._noted(report, task, request, outcome)

    async def _unknown_ended(
        self, number: int, delivery: Delivery, message: Message, outcome: Outcome, error: NotRegistered
    ) -> Report:
        """The end of a task that this worker does not have: REVOKED if it was, else a dead letter."""
        if not isinstance(outcome, Revoked):
            return await self._left_out(self._settler.undecodable(number, delivery, error), delivery, message, error)
        logger.warning("Task %s[%s] revoked: %s", message.task, message.id, outcome.reason)
        revoked = TaskRevokedError(outcome.reason)
        record = self._settler.plain(delivery.envelope, revoked, State.REVOKED)
        return await self._left_out(Report(number, ACK, record), delivery, message, revoked, State.REVOKED)
