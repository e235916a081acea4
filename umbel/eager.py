"""Runs a task in the calling process, as a worker would."""

from __future__ import annotations

import contextvars
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, TypeVar

from umbel import current
from umbel.attempt import attempt, drive, failed
from umbel.declared import Declared
from umbel.errors import EncodeError, TaskRevokedError, UmbelError
from umbel.middleware import Runnable
from umbel.model import FINAL_STATES, Failed, Message, Outcome, Record, Rejected, Retried, Revoked, State, Succeeded
from umbel.publisher import on_a_loop
from umbel.reporting import sealed_for, store_now
from umbel.request import Request
from umbel.result import AsyncResult
from umbel.serial import accepted
from umbel.wire import results, task_v2
from umbel.wiring import App

R = TypeVar("R", covariant=True)

MOST = 1000
"""Attempts after which a task that wants to be tried again has gone wrong: nobody waits between them."""


class EagerResult(AsyncResult[R]):
    """The end of a task that ran here: an ``AsyncResult`` that knows its answer and asks no store.

    Its state is also REJECTED or IGNORED, of which a store knows nothing.
    """

    def __init__(self, record: Record, app: App | None = None, *, sent: bool = False, stored: bool = False) -> None:
        super().__init__(record.id, app)
        self._final = record
        self._sent = sent
        """Whether it stands for a call that would have been sent: then it refuses what that one's result would."""
        self._stored = stored

    def __repr__(self) -> str:
        return f"<EagerResult: {self.id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return EagerResult, (self._final,)

    def ready(self) -> bool:
        """Always true."""
        return True

    def revoke(self, *, terminate: bool = False) -> None:
        """Nothing: it has ended."""

    def forget(self) -> None:
        """Drop what the store keeps of it, if ``task_store_eager_result`` had it kept; this object goes on knowing."""
        if self._stored:
            self._run(lambda store: store.forget([self.id]))

    def get(self, timeout: float | None = None, propagate: bool = True) -> R:
        """As ``AsyncResult.get``. Of a call that would have been sent, it is refused where that one's is."""
        if self._sent or self._final is None:
            return super().get(timeout, propagate)
        return self._answer(self._final, propagate)

    async def aget(self, timeout: float | None = None, propagate: bool = True) -> R:
        """As ``get``."""
        if self._sent or self._final is None:
            return await super().aget(timeout, propagate)
        return self._answer(self._final, propagate)


def run_here(task: Declared, message: Message, *, throw: bool | None = None, sent: bool = False) -> EagerResult[Any]:
    """Run the task now: arguments and result go through their serializers and back, times are not waited for.

    ``throw`` raises the task's own exception (None: ``task_eager_propagates``); ``sent`` says that the call would have
    been sent. Raises ``EncodeError`` as sending would, ``UmbelError`` for a task that retries without end.
    """
    app = task.app
    request, outcome = _attempts(task, message)
    message = request.message or message
    sealed = None
    if isinstance(outcome, Succeeded) and not message.ignore_result:
        try:
            sealed = sealed_for(app, _record(task, request, message, State.SUCCESS, outcome.value))
            outcome = Succeeded(results.unseal(sealed, app.result_content).value)
        except EncodeError as error:
            outcome = failed(EncodeError(f"the result of {task.name} cannot be stored: {error}"), task)
    if isinstance(outcome, Failed) and (app.conf.task_eager_propagates if throw is None else throw):
        raise outcome.error
    record = _record(task, request, message, *_told(outcome))
    stored: bool = app.conf.task_store_eager_result and record.state in FINAL_STATES and not message.ignore_result
    if stored:
        store_now(app, sealed or sealed_for(app, record))
        if (parent := current.request.get()) is not None:
            parent.children.append(message.id)
    return EagerResult(record, app, sent=sent, stored=stored)


def _told(outcome: Outcome) -> tuple[str, Any, str | None]:
    """(state, value, traceback)."""
    if isinstance(outcome, Succeeded):
        return State.SUCCESS, outcome.value, None
    if isinstance(outcome, Failed):
        return State.FAILURE, outcome.error, outcome.traceback
    if isinstance(outcome, Revoked):
        return State.REVOKED, TaskRevokedError(outcome.reason), None
    if isinstance(outcome, Rejected):
        return "REJECTED", outcome.reason, None
    return "IGNORED", "ignored by the task", None


def _attempts(task: Declared, message: Message) -> tuple[Request, Outcome]:
    """The last attempt, and how it ended."""
    arrived = _arrived(message)
    for _ in range(MOST):
        request = Request(arrived, is_eager=True)
        outcome = drive(attempt(task, request, arrived, _call))
        if not isinstance(outcome, Retried):
            return request, outcome
        try:
            arrived = _arrived(outcome.message)
        except EncodeError as error:
            return request, failed(EncodeError(f"the retry of {task.name} cannot be sent: {error}"), task)
    raise UmbelError(
        f"{task.name}[{message.id}] was tried {MOST} times here and asks for more: a task that runs in its caller is "
        "tried again at once, so give it max_retries"
    )


def _arrived(message: Message) -> Message:
    return task_v2.decode(task_v2.encode(message, "plain"), accept=accepted((message.serializer,)))


def _record(
    task: Declared, request: Request, message: Message, state: str, value: Any, trace: str | None = None
) -> Record:
    app = task.app
    return Record(
        id=message.id,
        state=state,
        value=value,
        traceback=trace,
        children=results.result_tuples(request.children) if task.trail else (),
        date_done=datetime.fromtimestamp(app.clock.now(), app.timezone),
        parent_id=message.parent_id,
        name=message.task,
        retries=message.retries,
    )


async def _call(task: Runnable, message: Message) -> Any:
    value = task.run(*message.args, **message.kwargs)
    return _awaited(value) if task.is_async else value


def _awaited(work: Coroutine[Any, Any, Any]) -> Any:
    """What the coroutine gives, on a loop of its own; where one runs in this thread, in another thread."""
    import asyncio

    if not on_a_loop():
        return asyncio.run(work)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, "umbel-eager") as thread:
        return thread.submit(contextvars.copy_context().run, asyncio.run, work).result()
