"""One attempt at a task: request in, outcome out."""

from __future__ import annotations

import traceback
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from umbel import current, handlers, log
from umbel.declared import Declared
from umbel.errors import Ignore, Reject, TaskCancelled, UmbelError
from umbel.handlers import Call
from umbel.model import Failed, Ignored, Message, Outcome, Rejected, Retried, Revoked, Succeeded
from umbel.request import Request
from umbel.retrying import exceeded, next_message, wanted
from umbel.signals import ends, task_prerun

T = TypeVar("T")


class Ended(BaseException):
    """Raised by a ``Call`` that was cut off from outside: how it ended is known, as ``certificate``, and not for the
    attempt to say."""

    def __init__(self, certificate: Any) -> None:
        super().__init__(certificate)
        self.certificate = certificate


log.task_context = current.task_context


async def attempt(task: Declared, request: Request, message: Message, call: Call) -> Outcome:
    """Run the task once, with middlewares and handlers. Whatever they raise, ``SystemExit`` too, becomes an outcome.

    The message of a retry is the request's, so it has the headers that were added on the way.

    Raises ``Ended``.
    """
    token = current.request.set(request)
    outcome: Outcome
    try:
        try:
            if task.prepares or task_prerun.receivers:
                await handlers.starts(task, message, call)
            onion = task.app.middleware
            outcome = Succeeded(await call(onion.around(task, request) if onion.runs else task, message))
        except Ended:
            raise
        except TaskCancelled:
            outcome = Revoked("cancelled")
        except Ignore:
            outcome = Ignored()
        except Reject as rejection:
            outcome = Rejected(str(rejection.reason), rejection.requeue)
        except BaseException as error:  # noqa: BLE001  a task's SystemExit ends the task, not its worker
            outcome = _after(error, task, request.message or message)
        if task.listens or ends:
            await handlers.ended(task, request, message, outcome, call)
    finally:
        current.request.reset(token)
    return outcome


async def told(task: Declared, request: Request, message: Message, outcome: Outcome, call: Call) -> None:
    """Call the handlers for an outcome that no attempt in this process came to."""
    if task.listens or ends:
        token = current.request.set(request)
        try:
            await handlers.ended(task, request, message, outcome, call, ran=False)
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


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits for a loop, at the cost of a call."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    work.close()
    raise RuntimeError(f"{work!r} must not wait for a loop, and did")
