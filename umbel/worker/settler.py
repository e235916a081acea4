"""Turns an outcome into what the node settles with: a verdict and a record."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from umbel import current
from umbel.app import Umbel
from umbel.attempt import failed
from umbel.declared import Declared
from umbel.errors import EncodeError, TaskRevokedError
from umbel.model import (
    ACK,
    REQUEUE,
    Delivery,
    Failed,
    Ignored,
    Message,
    Outcome,
    Postponed,
    Record,
    Rejected,
    Revoked,
    SealedRecord,
    State,
    Succeeded,
    Verdict,
    dead,
    later,
)
from umbel.reporting import done_now, seal
from umbel.request import Request

logger = logging.getLogger("umbel.worker")


class Report(NamedTuple):
    """How delivery ``number`` of this runner ended; ``runtime`` is in seconds."""

    number: int
    verdict: Verdict
    record: SealedRecord | None = None
    runtime: float = 0.0


class Settler:
    """Holds what the settings say of results; keeps nothing of any task."""

    def __init__(self, app: Umbel, hostname: str) -> None:
        conf = app.conf
        self._app = app
        self._hostname = hostname
        self._keeps_results = app.result_url is not None
        self._track_started: bool = conf.task_track_started
        self._ack_failures: bool = conf.task_acks_on_failure_or_timeout
        self._store_ignored_errors: bool = conf.task_store_errors_even_if_ignored

    def settle(
        self,
        number: int,
        task: Declared,
        request: Request,
        outcome: Outcome,
        runtime: float,
        *,
        bury: str | None = None,
    ) -> Report:
        """The report of an attempt; ``bury`` puts the message among the dead letters for that reason."""
        record: SealedRecord | None = None
        if isinstance(outcome, Succeeded):
            try:
                record = self._record(task, request, State.SUCCESS, outcome.value)
            except EncodeError as error:
                outcome = failed(EncodeError(f"the result of {task.name} cannot be stored: {error}"), task)
        verdict = ACK
        if isinstance(outcome, Failed):
            record = self._record(task, request, State.FAILURE, outcome.error, outcome.traceback)
            acks = self._ack_failures if task.acks_on_failure_or_timeout is None else task.acks_on_failure_or_timeout
            if not acks:
                verdict = dead(f"the task failed: {type(outcome.error).__name__}")
        elif isinstance(outcome, Revoked):
            record = self._record(task, request, State.REVOKED, TaskRevokedError(outcome.reason))
        elif isinstance(outcome, Postponed):
            verdict = later(outcome.due)
        elif isinstance(outcome, Rejected):
            verdict = REQUEUE if outcome.requeue else dead(outcome.reason)
        if bury is not None:
            verdict = dead(bury)
        tell(task, request, outcome, runtime)
        return Report(number, verdict, record, runtime)

    def started(self, task: Declared, request: Request) -> None:
        """Record STARTED, for tasks that want it."""
        wanted = self._track_started if task.track_started is None else task.track_started
        if wanted and current.recorder is not None:
            import os

            value = {"pid": os.getpid(), "hostname": self._hostname}
            record = self._record(task, request, State.STARTED, value)
            if record is not None:
                current.recorder(record)

    def undecodable(self, number: int, delivery: Delivery, error: Exception) -> Report:
        """The end of a message that cannot be read: a dead letter, and FAILURE for whoever waits."""
        task_id = delivery.envelope.id
        reason = f"{type(error).__name__}: {error}"
        logger.error("Message [%s] from queue %s is a dead letter: %s", task_id or "no id", delivery.queue, reason)
        record = None
        if task_id and self._keeps_results:
            record = seal(self._app, self._plain(task_id, error))
        return Report(number, dead(reason), record)

    def unknown(self, number: int, delivery: Delivery, message: Message, error: Exception) -> Report:
        """The end of a message for a task that this worker does not have."""
        logger.error("Task %s[%s] is a dead letter: %s", message.task, message.id, error)
        record = seal(self._app, self._plain(message.id, error)) if self._keeps_results else None
        return Report(number, dead(f"NotRegistered: {message.task}"), record)

    def _plain(self, task_id: str, error: Exception) -> Record:
        return Record(
            id=task_id, state=State.FAILURE, value=error, date_done=done_now(self._app), worker=self._hostname
        )

    def _record(
        self, task: Declared, request: Request, state: State, value: Any, trace: str | None = None
    ) -> SealedRecord | None:
        if not self._keeps_results or not self._wanted(task, request, state):
            return None
        message = request.message
        if message is None:
            return None
        return seal(
            self._app,
            Record(
                id=message.id,
                state=state,
                value=value,
                traceback=trace,
                children=request.children,
                date_done=None if state is State.STARTED else done_now(self._app),
                group_id=message.group,
                parent_id=message.parent_id,
                name=message.task,
                args=message.args,
                kwargs=message.kwargs,
                worker=self._hostname,
                retries=message.retries,
                queue=request.delivery.queue if request.delivery else None,
            ),
        )

    def _wanted(self, task: Declared, request: Request, state: State) -> bool:
        if not request.ignore_result:
            return True
        errors = task.store_errors_even_if_ignored
        return state is State.FAILURE and (self._store_ignored_errors if errors is None else errors)


def tell(task: Declared, request: Request, outcome: Outcome, runtime: float) -> None:
    """Log the end of an attempt in the words that operators know."""
    name, task_id = request.shadow or task.name, request.id
    if isinstance(outcome, Succeeded):
        if logger.isEnabledFor(logging.INFO):
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
    elif isinstance(outcome, Ignored):
        logger.info("Task %s[%s] ignored", name, task_id)


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  a repr that fails must not turn a success into something else
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
    return text if len(text) <= 1024 else f"{text[:1021]}..."
