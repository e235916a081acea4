"""What waits and what ran, as a test looks at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from umbel.app import Umbel
from umbel.declared import Declared
from umbel.errors import WireError
from umbel.model import (
    Delivery,
    Failed,
    Ignored,
    Message,
    Outcome,
    Postponed,
    Rejected,
    Retried,
    Revoked,
    State,
    Succeeded,
)
from umbel.request import Request
from umbel.wire import results, task_v2
from umbel.worker.settler import NOTHING, Report, Sequel, Settler

LOST = "LOST"
"""The state of a delivery with which the worker died: nothing of it was settled."""

_STATES: Mapping[type[Any], str] = {
    Succeeded: State.SUCCESS,
    Failed: State.FAILURE,
    Retried: State.RETRY,
    Revoked: State.REVOKED,
    Rejected: "REJECTED",
    Ignored: "IGNORED",
    Postponed: "POSTPONED",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A message that waits. ``due`` is None where it may start now; ``task`` where its head cannot be read."""

    task: str | None
    id: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    queue: str
    priority: int
    retries: int
    due: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One delivery's end. ``state`` is that of its result, or REJECTED, IGNORED, POSTPONED, LOST, which have none.

    ``value`` is what the caller gets: the return value, or the exception. ``at`` is when it ran by the block's clock.
    """

    task: str | None
    id: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    queue: str
    retries: int
    redelivered: bool
    state: str
    value: Any
    traceback: str | None
    at: datetime


class Witness(Settler):
    """Settles as any worker does, and keeps how the last delivery ended."""

    def __init__(self, app: Umbel, hostname: str) -> None:
        super().__init__(app, hostname)
        self.end: Mapping[str, Any] = {}
        """``state``, ``value`` and ``traceback`` of the last report."""

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
        report = super().settle(number, task, request, outcome, runtime, bury=bury, timed_out=timed_out, sequel=sequel)
        self.end = self._recorded(report) or _told(outcome)
        return report

    def undecodable(self, number: int, delivery: Delivery, error: Exception) -> Report:
        report = super().undecodable(number, delivery, error)
        self.end = {"state": State.FAILURE, "value": error, "traceback": None}
        return report

    def unknown(self, number: int, delivery: Delivery, message: Message, error: Exception) -> Report:
        report = super().unknown(number, delivery, message, error)
        state = "POSTPONED" if report.follow_ups else State.FAILURE
        self.end = {"state": state, "value": error, "traceback": None}
        return report

    def _recorded(self, report: Report) -> Mapping[str, Any] | None:
        if report.record is None:
            return None
        record = results.unseal(report.record, self._app.result_content)
        return {"state": record.state, "value": record.value, "traceback": record.traceback}


def _told(outcome: Outcome) -> Mapping[str, Any]:
    value: Any = None
    trace = None
    if isinstance(outcome, Succeeded):
        value = outcome.value
    elif isinstance(outcome, Failed):
        value, trace = outcome.error, outcome.traceback
    elif isinstance(outcome, Retried):
        value, trace = outcome.retry, outcome.traceback
    elif isinstance(outcome, Rejected | Revoked):
        value = outcome.reason
    return {"state": _STATES[type(outcome)], "value": value, "traceback": trace}


def read(app: Umbel, delivery: Delivery) -> dict[str, Any]:
    """What a message says of itself, as fields of ``Waiting`` and ``Ran``; one that cannot be read says little."""
    known: dict[str, Any] = {
        "task": None,
        "id": delivery.envelope.id,
        "args": (),
        "kwargs": {},
        "retries": 0,
        "queue": delivery.queue,
    }
    try:
        message = task_v2.decode(delivery.envelope, accept=app.accept_content, protection=app.protection, fresh=False)
    except WireError:
        return {**known, "task": task_v2.peek(delivery.envelope)[0]}
    return {
        **known,
        "task": message.task,
        "id": message.id,
        "args": tuple(message.args),
        "kwargs": dict(message.kwargs),
        "retries": message.retries,
    }
