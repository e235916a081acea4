"""Runs a task in the calling process, as a worker would."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast

from umbel.attempt import attempt, drive
from umbel.declared import Declared
from umbel.middleware import Runnable
from umbel.model import Failed, Message, Rejected, Retried, State, Succeeded
from umbel.request import Request
from umbel.serial import accepted
from umbel.wire import task_v2

R = TypeVar("R")


class EagerResult(Generic[R]):
    """The end of a task that ran here; it answers like an ``AsyncResult`` and asks no store."""

    def __init__(self, id: str, state: str, value: Any, traceback: str | None) -> None:
        self.id = id
        self.state = state
        self.result = value
        self.traceback = traceback

    def __repr__(self) -> str:
        return f"<EagerResult: {self.id}>"

    @property
    def task_id(self) -> str:
        """The same as ``id``."""
        return self.id

    @property
    def status(self) -> str:
        """The same as ``state``."""
        return self.state

    def ready(self) -> bool:
        """Always true."""
        return True

    def successful(self) -> bool:
        """Whether the function returned."""
        return self.state == State.SUCCESS

    def failed(self) -> bool:
        """Whether it ended in an exception."""
        return self.state == State.FAILURE

    def get(self, timeout: float | None = None, propagate: bool = True) -> R:
        """The return value; raises the task's exception when it failed, unless ``propagate`` is false."""
        if propagate and isinstance(self.result, BaseException):
            raise self.result
        return cast("R", self.result)


def run_here(task: Declared, message: Message, *, throw: bool) -> EagerResult[Any]:
    """Run the task now: arguments go through the serializer and back, times are not waited for.

    Raises ``EncodeError`` as sending would, and with ``throw`` the task's own exception.
    """
    arrived = task_v2.decode(task_v2.encode(message, "plain"), accept=accepted((message.serializer,)))
    outcome = drive(attempt(task, Request(arrived, is_eager=True), arrived, _call))
    while isinstance(outcome, Retried):
        arrived = outcome.message
        outcome = drive(attempt(task, Request(arrived, is_eager=True), arrived, _call))
    if isinstance(outcome, Failed):
        if throw:
            raise outcome.error
        return EagerResult(message.id, State.FAILURE, outcome.error, outcome.traceback)
    if isinstance(outcome, Succeeded):
        return EagerResult(message.id, State.SUCCESS, outcome.value, None)
    text = outcome.reason if isinstance(outcome, Rejected) else "ignored by the task"
    return EagerResult(message.id, "REJECTED" if isinstance(outcome, Rejected) else "IGNORED", text, None)


async def _call(task: Runnable, message: Message) -> Any:
    value = task.run(*message.args, **message.kwargs)
    if not task.is_async:
        return value
    import asyncio

    return asyncio.run(value)
