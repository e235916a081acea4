"""Turns an outcome into what the node settles with: a verdict and a record."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from umbel import current
from umbel.app import Umbel
from umbel.attempt import failed
from umbel.declared import Declared
from umbel.errors import EncodeError, Retry, SignatureError, TaskRevokedError
from umbel.model import (
    ACK,
    FINAL_STATES,
    REQUEUE,
    Delivery,
    Envelope,
    Failed,
    Ignored,
    Message,
    Outcome,
    Postponed,
    Record,
    Rejected,
    Retried,
    Revoked,
    Route,
    SealedRecord,
    State,
    Succeeded,
    Verdict,
    dead,
    later,
)
from umbel.request import Request
from umbel.tracking import Note
from umbel.wire import results, task_v2
from umbel.wire.marking import life_of, reply_to_of
from umbel.wire.marks import LIFE, RESENT, UNKNOWN_SINCE
from umbel.wire.redaction import Redaction
from umbel.wire.signatures import Waiting

logger = logging.getLogger("umbel.worker")


class Report(NamedTuple):
    """How delivery ``number`` of this runner ended; ``runtime`` is in seconds.

    ``joined`` are groups that stand at a desk (``joins.Part``) until the follow-ups are sent.
    """

    number: int
    verdict: Verdict
    record: SealedRecord | None = None
    runtime: float = 0.0
    follow_ups: Sequence[tuple[Route, Envelope]] = ()
    note: Note | None = None
    joined: Sequence[str] = ()


class Sequel(NamedTuple):
    """What follows an attempt because its message says so: what is to be sent, why the message must be kept, and the
    groups that stand at a desk until it is sent."""

    follow_ups: Sequence[tuple[Route, Envelope]] = ()
    bury: str | None = None
    joined: Sequence[str] = ()


NOTHING = Sequel()


class Settler:
    """Holds what the settings say of results; keeps nothing of any task."""

    def __init__(self, app: Umbel, hostname: str) -> None:
        conf = app.conf
        self._app = app
        self._clock = app.clock
        self._zone = app.timezone
        self._hostname = hostname
        self._keeps_results = app.result_url is not None
        self._ack_failures: bool = conf.task_acks_on_failure_or_timeout
        self._acks_late: bool = conf.task_acks_late
        self._store_ignored_errors: bool = conf.task_store_errors_even_if_ignored
        self._unknown_grace: float = conf.task_unknown_grace
        self._serializer: str = conf.result_serializer
        self._extended: bool = conf.result_extended
        self._expires: float | None = conf.result_expires or None
        self._protection = app.protection
        self._redaction = Redaction(conf.task_redact_args)
        self._hides = bool(conf.task_redact_args) or (self._protection is not None and self._protection.seals)

    def settle(
        self,
        number: int,
        task: Declared,
        request: Request,
        outcome: Outcome,
        runtime: float,
        *,
        bury: str | None = None,
        timed_out: bool = False,
        sequel: Sequel = NOTHING,
    ) -> Report:
        """The report of an attempt; ``bury`` puts the message among the dead letters for that reason."""
        record: SealedRecord | None = None
        if isinstance(outcome, Succeeded):
            try:
                record = self._record(task, request, State.SUCCESS, outcome.value)
            except EncodeError as error:
                outcome = failed(EncodeError(f"the result of {task.name} cannot be stored: {error}"), task)
        verdict = ACK
        follow_ups = sequel.follow_ups
        if isinstance(outcome, Retried):
            try:
                follow_ups = [self._again(task, request, outcome)]
                record = self._record(task, request, State.RETRY, _reason(outcome.retry), outcome.traceback)
            except EncodeError as error:
                outcome = failed(EncodeError(f"the retry of {task.name} cannot be sent: {error}"), task)
        if isinstance(outcome, Failed):
            acks = self.acks_failures(task)
            if timed_out and not acks:
                verdict = REQUEUE
            else:
                record = self._record(task, request, State.FAILURE, outcome.error, outcome.traceback)
            if not acks and not timed_out:
                verdict = dead(f"the task failed: {type(outcome.error).__name__}")
        elif isinstance(outcome, Revoked):
            record = self._record(task, request, State.REVOKED, TaskRevokedError(outcome.reason))
        elif isinstance(outcome, Postponed):
            verdict = later(outcome.due)
        elif isinstance(outcome, Rejected):
            verdict = REQUEUE if outcome.requeue else dead(outcome.reason)
        if bury is not None or sequel.bury is not None:
            verdict = dead(bury or sequel.bury or "")
        if logger.isEnabledFor(logging.INFO) or not isinstance(outcome, Succeeded):
            tell(task, request, outcome, runtime)
        return Report(number, verdict, record, runtime, follow_ups, joined=sequel.joined)

    def acks_failures(self, task: Declared) -> bool:
        """Whether the message of a failed attempt is done with; one that was settled before it started always is."""
        acks = task.acks_on_failure_or_timeout
        if not self.acks_late(task):
            return True
        return self._ack_failures if acks is None else acks

    def acks_late(self, task: Declared) -> bool:
        """Whether a message is settled after its task has ended."""
        return self._acks_late if task.acks_late is None else task.acks_late

    def proven(self, task: Declared, request: Request, outcome: Succeeded) -> None:
        """Raise ``EncodeError`` for a value that cannot be stored."""
        self._record(task, request, State.SUCCESS, outcome.value)

    def sent_on(self, route: Route, message: Message, form: str) -> tuple[Route, Envelope]:
        """A message of another task, ready to leave; raises ``EncodeError``."""
        if self._hides:
            message = self._redaction.of(message, self._app.parameters_of(message.task))
        return route, task_v2.encode(message, form, protection=self._protection)

    def left_out(self, waiting: Waiting, message: Message, state: State, error: BaseException) -> SealedRecord | None:
        """The record of a task that would have followed ``message`` and never runs; None where no results are kept."""
        if not self._keeps_results:
            return None
        now = self._clock.now()
        record = Record(
            id=waiting.id,
            state=state,
            value=error,
            date_done=datetime.fromtimestamp(now, self._zone),
            parent_id=message.id,
            name=waiting.task,
            worker=self._hostname,
            life=message.marks.get(LIFE, 0),
            reply_to=waiting.reply_to,
        )
        return self._seal(record, now)

    def _again(self, task: Declared, request: Request, outcome: Retried) -> tuple[Route, Envelope]:
        message, delivery = outcome.message, request.delivery
        if delivery is None:
            raise EncodeError("a task that no broker delivered cannot be sent again")
        due = message.eta.timestamp() if message.eta is not None else None
        if self._hides:
            message = self._redaction.of(message, task.parameters)
        return self._resent(message, delivery, outcome.queue or delivery.queue, due)

    def started(self, task: Declared, request: Request) -> None:
        """Record STARTED."""
        value = {"pid": os.getpid(), "hostname": self._hostname}
        record = self._record(task, request, State.STARTED, value)
        if record is not None and current.recorder is not None:
            current.recorder(record)

    def undecodable(self, number: int, delivery: Delivery, error: Exception) -> Report:
        """The end of a message that cannot be read: a dead letter, and FAILURE for whoever waits."""
        task_id = delivery.envelope.id
        reason = f"{type(error).__name__}: {error}"
        logger.error("Message [%s] from queue %s is a dead letter: %s", task_id or "no id", delivery.queue, reason)
        return Report(number, dead(reason), self.plain(delivery.envelope, error) if task_id else None)

    def unknown(self, number: int, delivery: Delivery, message: Message, error: Exception) -> Report:
        """A message for a task that this worker does not have: it waits for one that does, then it is a dead letter.

        It goes back to its queue for 1 to 15 seconds at a time, ``task_unknown_grace`` in all, as one step.
        """
        now = self._clock.now()
        since = min(now, message.marks.get(UNKNOWN_SINCE, now))
        waited = now - since
        if waited < self._unknown_grace:
            if not waited:
                logger.warning(
                    "Task %s[%s] waits for a worker that knows it, for %g s (task_unknown_grace): %s",
                    message.task,
                    message.id,
                    self._unknown_grace,
                    error,
                )
            pause = min(15.0, max(1.0, waited / 8), self._unknown_grace - waited)
            waiting = replace(message, marks={**message.marks, UNKNOWN_SINCE: since, RESENT: True})
            return Report(number, ACK, follow_ups=[self._resent(waiting, delivery, delivery.queue, now + pause)])
        logger.error("Task %s[%s] is a dead letter: %s", message.task, message.id, error)
        return Report(number, dead(f"NotRegistered: {message.task}"), self.plain(delivery.envelope, error))

    def plain(self, envelope: Envelope, error: Exception, state: State = State.FAILURE) -> SealedRecord | None:
        """The record of the end of a message that nobody could read; None where no results are kept."""
        if not self._keeps_results:
            return None
        now = self._clock.now()
        done = datetime.fromtimestamp(now, self._zone)
        # A head that nobody signed may claim a life after which no other could be recorded.
        task_id, life = envelope.id, 0 if isinstance(error, SignatureError) else life_of(envelope)
        record = Record(
            id=task_id,
            state=state,
            value=error,
            date_done=done,
            worker=self._hostname,
            life=life,
            reply_to=reply_to_of(envelope),
        )
        return self._seal(record, now)

    def _record(
        self, task: Declared, request: Request, state: State, value: Any, trace: str | None = None
    ) -> SealedRecord | None:
        message = request.message
        if not self._keeps_results or message is None:
            return None
        if message.ignore_result:
            errors = task.store_errors_even_if_ignored
            if state is not State.FAILURE or not (self._store_ignored_errors if errors is None else errors):
                return None
        now = self._clock.now()
        args, kwargs = self._arguments(task, message) if self._hides else (message.args, message.kwargs)
        record = Record(
            id=message.id,
            state=state,
            value=value,
            traceback=trace,
            children=results.result_tuples(request.children) if task.trail else (),
            date_done=None if state not in FINAL_STATES else datetime.fromtimestamp(now, self._zone),
            group_id=message.group,
            parent_id=message.parent_id,
            name=message.task,
            args=args,
            kwargs=kwargs,
            worker=self._hostname,
            retries=message.retries,
            queue=request.delivery.queue if request.delivery else None,
            life=message.marks.get(LIFE, 0),
            reply_to=message.reply_to,
        )
        return self._seal(record, now)

    def _resent(self, message: Message, delivery: Delivery, queue: str, due: float | None) -> tuple[Route, Envelope]:
        priority = delivery.priority if message.priority is None else message.priority
        return Route(queue, priority, due), task_v2.encode(message, delivery.envelope.form, protection=self._protection)

    def _arguments(self, task: Declared, message: Message) -> tuple[Any, Any]:
        """The arguments as they may be kept with a result."""
        if self._protection is not None and self._protection.seals:
            return task_v2.HIDDEN, task_v2.HIDDEN
        redaction, parameters = self._redaction, task.parameters
        return redaction.args(message.args, parameters), redaction.kwargs(message.kwargs, parameters)

    def _seal(self, record: Record, now: float) -> SealedRecord:
        expires = None if self._expires is None else now + self._expires
        return results.seal(record, serializer=self._serializer, extended=self._extended, expires=expires)


def tell(task: Declared, request: Request, outcome: Outcome, runtime: float) -> None:
    """Log the end of an attempt in the words that operators know."""
    name, task_id = request.shadow or task.name, request.id
    if isinstance(outcome, Succeeded):
        data = {"id": task_id, "name": name, "runtime": runtime}
        shown = _shown(outcome.value)
        logger.info("Task %s[%s] succeeded in %.6fs: %s", name, task_id, runtime, shown, extra={"data": data})
    elif isinstance(outcome, Failed):
        if outcome.expected:
            logger.info("Task %s[%s] raised expected: %s", name, task_id, _shown(outcome.error))
        else:
            trace = f"\n{outcome.traceback.rstrip()}" if outcome.traceback else ""
            logger.error("Task %s[%s] raised unexpected: %s%s", name, task_id, _shown(outcome.error), trace)
    elif isinstance(outcome, Revoked):
        logger.warning("Task %s[%s] revoked: %s", name, task_id, outcome.reason)
    elif isinstance(outcome, Postponed):
        logger.info("Task %s[%s] arrived before its time and is put back", name, task_id)
    elif isinstance(outcome, Rejected):
        how = "and put back" if outcome.requeue else "and is a dead letter"
        logger.warning("Task %s[%s] was rejected by itself %s: %s", name, task_id, how, outcome.reason)
    elif isinstance(outcome, Retried):
        logger.info("Task %s[%s] retry: %s", name, task_id, outcome.retry)
    elif isinstance(outcome, Ignored):
        logger.info("Task %s[%s] ignored", name, task_id)


def _reason(retry: BaseException) -> BaseException | None:
    return retry.exc if isinstance(retry, Retry) else retry


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  a repr that fails must not turn a success into something else
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
    return text if len(text) <= 1024 else f"{text[:1021]}..."
