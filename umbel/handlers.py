"""Calls what listens to an attempt: the task's own handlers, and the receivers of its signals."""

from __future__ import annotations

import inspect
import logging
import signal
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from umbel import signals
from umbel.declared import Declared
from umbel.middleware import Runnable
from umbel.model import Delivery, Failed, Message, Outcome, Rejected, Retried, Revoked, State, Succeeded
from umbel.request import Request

Call = Callable[[Runnable, Message], Awaitable[Any]]

logger = logging.getLogger("umbel.worker")


class _Handler:
    """A handler that is ``async def``, in the place of the task that it belongs to."""

    is_async = True

    def __init__(self, task: Declared, handler: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.name = task.name
        self._handler = handler
        self._args = args

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Call it with its own arguments."""
        return self._handler(*self._args)


async def starts(task: Declared, message: Message, call: Call) -> None:
    """``task_prerun``, then ``before_start``, whose exception is the task's own."""
    signals.task_prerun.send(sender=task, task_id=message.id, task=task, args=message.args, kwargs=message.kwargs)
    if type(task).before_start is not Declared.before_start:
        await _called(task, message, call, "before_start", message.id, message.args, message.kwargs)


async def ended(
    task: Declared, request: Request, message: Message, outcome: Outcome, call: Call, *, ran: bool = True
) -> None:
    """The handlers and signals of this end, in their order. One that raises is logged; the outcome stands.

    ``ran``: an attempt came to it here, so ``task_postrun`` follows.
    """
    task_id, args, kwargs = message.id, message.args, message.kwargs
    state, value, trace = _told_of(outcome)
    if isinstance(outcome, Succeeded):
        await _guarded(task, message, call, "on_success", value, task_id, args, kwargs)
        signals.task_success.send(sender=task, result=value)
    elif isinstance(outcome, Failed):
        await _guarded(task, message, call, "on_failure", value, task_id, args, kwargs, trace)
        signals.task_failure.send(
            sender=task,
            task_id=task_id,
            exception=value,
            args=args,
            kwargs=kwargs,
            traceback=value.__traceback__,
            einfo=trace,
        )
    elif isinstance(outcome, Retried):
        await _guarded(task, message, call, "on_retry", value, task_id, args, kwargs, trace)
        signals.task_retry.send(sender=task, request=request, reason=value, einfo=trace)
    elif isinstance(outcome, Revoked):
        number = getattr(signal, "SIGKILL", signal.SIGTERM) if outcome.terminated else None
        signals.task_revoked.send(
            sender=task, request=request, terminated=outcome.terminated, signum=number, expired=outcome.expired
        )
    if isinstance(outcome, Succeeded | Failed):
        await _guarded(task, message, call, "after_return", state, value, task_id, args, kwargs, trace)
    if ran:
        signals.task_postrun.send(
            sender=task, task_id=task_id, task=task, args=args, kwargs=kwargs, retval=value, state=state
        )


def internal_error(hostname: str, delivery: Delivery, error: Exception) -> None:
    """``task_internal_error``: umbel itself failed on this delivery."""
    if signals.task_internal_error.receivers:
        signals.task_internal_error.send(
            sender=hostname,
            task_id=delivery.envelope.id,
            args=None,
            kwargs=None,
            request=None,
            exception=error,
            traceback=error.__traceback__,
            einfo="".join(traceback.format_exception(error)),
        )


def _told_of(outcome: Outcome) -> tuple[str, Any, str | None]:
    """The state, what came of it, and the traceback, as handlers and receivers get them."""
    if isinstance(outcome, Succeeded):
        return State.SUCCESS.value, outcome.value, None
    if isinstance(outcome, Failed):
        return State.FAILURE.value, outcome.error, outcome.traceback
    if isinstance(outcome, Retried):
        return State.RETRY.value, outcome.retry, outcome.traceback
    if isinstance(outcome, Revoked):
        return State.REVOKED.value, outcome.reason, None
    return ("REJECTED", outcome.reason, None) if isinstance(outcome, Rejected) else ("IGNORED", None, None)


async def _guarded(task: Declared, message: Message, call: Call, handler: str, *args: Any) -> None:
    if getattr(type(task), handler) is getattr(Declared, handler):
        return
    try:
        await _called(task, message, call, handler, *args)
    except Exception:
        logger.exception("%s.%s raised; the task's outcome stands", task.name, handler)


async def _called(task: Declared, message: Message, call: Call, handler: str, *args: Any) -> None:
    method = getattr(task, handler)
    if inspect.iscoroutinefunction(method):
        await call(_Handler(task, method, args), message)
    else:
        method(*args)
