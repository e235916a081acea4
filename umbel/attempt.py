"""One attempt at a task: request in, outcome out."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast

from umbel import current, log
from umbel.declared import Declared
from umbel.errors import Ignore, Reject, UmbelError
from umbel.model import Failed, Ignored, Message, Outcome, Rejected, Retried, State, Succeeded
from umbel.request import Request
from umbel.retrying import exceeded, next_message, wanted

Call = Callable[[Declared, Message], Awaitable[Any]]

T = TypeVar("T")

log.task_context = current.task_context

logger = logging.getLogger("umbel.worker")


async def attempt(task: Declared, request: Request, message: Message, call: Call) -> Outcome:
    """Run the task once, handlers included. Whatever it raises, ``SystemExit`` too, becomes an outcome."""
    token = current.request.set(request)
    outcome: Outcome
    try:
        try:
            if type(task).before_start is not Declared.before_start:
                task.before_start(message.id, message.args, message.kwargs)
            outcome = Succeeded(await call(task, message))
        except Ignore:
            outcome = Ignored()
        except Reject as rejection:
            outcome = Rejected(str(rejection.reason), rejection.requeue)
        except BaseException as error:  # noqa: BLE001  a task's SystemExit ends the task, not its worker
            outcome = _after(error, task, message)
        if task.listens:
            _tell(task, message, outcome)
    finally:
        current.request.reset(token)
    return outcome


def told(task: Declared, request: Request, message: Message, outcome: Outcome) -> None:
    """Call the handlers for an outcome that no attempt in this process came to."""
    if task.listens:
        token = current.request.set(request)
        try:
            _tell(task, message, outcome)
        finally:
            current.request.reset(token)


def _after(error: BaseException, task: Declared, message: Message) -> Outcome:
    retry = wanted(task, message, error)
    if retry is None:
        return failed(error, task)
    over = exceeded(task, message, retry)
    if over is not None:
        return failed(over, task)
    try:
        again = next_message(task, message, retry, task.app.clock.now())
    except (UmbelError, OverflowError, TypeError) as wrong:
        return failed(wrong, task)
    return Retried(again, retry, trace_text(retry.exc or retry), retry.options.get("queue"))


def failed(error: BaseException, task: Declared | None = None) -> Failed:
    """The outcome of ``error``; expected when the task lists its class in ``throws``."""
    return Failed(error, trace_text(error), expected=task is not None and isinstance(error, task.throws))


def trace_text(error: BaseException) -> str:
    """The traceback as text, from the first frame that is not umbel's own."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("umbel."):
        trace = trace.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, trace))
    except Exception as second:  # noqa: BLE001  an exception whose own methods fail must not hide the failure
        return (
            f"{type(error).__module__}.{type(error).__qualname__} (its text cannot be had: {type(second).__name__})\n"
        )


def _tell(task: Declared, message: Message, outcome: Outcome) -> None:
    """Call the task's handlers. One that raises is logged; the outcome stands."""
    kind = type(task)
    task_id, args, kwargs = message.id, message.args, message.kwargs
    value: Any
    if isinstance(outcome, Succeeded):
        state, value, trace = State.SUCCESS, outcome.value, None
        if kind.on_success is not Declared.on_success:
            _guarded(task, "on_success", value, task_id, args, kwargs)
    elif isinstance(outcome, Failed):
        state, value, trace = State.FAILURE, outcome.error, outcome.traceback
        if kind.on_failure is not Declared.on_failure:
            _guarded(task, "on_failure", value, task_id, args, kwargs, trace)
    elif isinstance(outcome, Retried):
        if kind.on_retry is not Declared.on_retry:
            _guarded(task, "on_retry", outcome.retry, task_id, args, kwargs, outcome.traceback)
        return
    else:
        return
    if kind.after_return is not Declared.after_return:
        _guarded(task, "after_return", state.value, value, task_id, args, kwargs, trace)


def _guarded(task: Declared, handler: str, *args: Any) -> None:
    try:
        getattr(task, handler)(*args)
    except Exception:
        logger.exception("%s.%s raised; the task's outcome stands", task.name, handler)


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits for a loop, at the cost of a call."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    work.close()
    raise RuntimeError(f"{work!r} must not wait for a loop, and did")
