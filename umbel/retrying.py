"""Whether an attempt that failed is followed by another, and what that one's message is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from umbel.call import NO_OPTIONS
from umbel.declared import Declared
from umbel.errors import MaxRetriesExceededError, Retry, UnknownOption
from umbel.model import Message
from umbel.wire.marks import LIFE

OPTIONS: frozenset[str] = frozenset({"queue", "priority", "expires", "serializer", "compression", "headers", "shadow"})
"""The call options that a retry may change."""


def wanted(task: Declared, message: Message, error: BaseException) -> Retry | None:
    """The retry that ``error`` asks for: itself, or one that the task's policy makes of it; None for none."""
    if isinstance(error, Retry):
        return error
    policy = task.retry_policy
    if policy is None or not policy.covers(error):
        return None
    return Retry(exc=error, countdown=policy.delay(message.retries))


def exceeded(task: Declared, message: Message, retry: Retry) -> BaseException | None:
    """What the task fails with when its retries are used up; None while they are not."""
    limit = retry.max_retries if retry.max_retries is not None else _limit(task, retry)
    if limit is None or message.retries < limit:
        return None
    if retry.exc is not None:
        return retry.exc
    return MaxRetriesExceededError(
        f"{task.name}[{message.id}] was tried {message.retries + 1} times, and max_retries is {limit}"
    )


def _limit(task: Declared, retry: Retry) -> int | None:
    policy = task.retry_policy
    if policy is not None and retry.exc is not None and policy.covers(retry.exc):
        return policy.times
    return task.max_retries


def next_message(task: Declared, message: Message, retry: Retry, now: float) -> Message:
    """The next attempt's message: the same id, links and parents; one retry more; not before its time.

    ``now`` is the unix time. Raises ``UnknownOption`` for an option that a retry cannot change, ``QueueNotFound``,
    and what ``CallOptions.with_`` raises for a value.
    """
    for name in retry.options:
        if name not in OPTIONS:
            raise UnknownOption("retry option", name, OPTIONS)
    NO_OPTIONS.with_(**retry.options)
    if retry.options.get("queue") is not None:
        task.app.queues.find(retry.options["queue"])
    seconds = retry.countdown if retry.countdown is not None else task.default_retry_delay
    eta = retry.eta
    if eta is None:
        eta = datetime.fromtimestamp(now, UTC) + timedelta(seconds=max(0.0, seconds))
    elif eta.tzinfo is None:
        eta = eta.replace(tzinfo=task.app.timezone)
    changes: dict[str, Any] = {
        name: value for name, value in retry.options.items() if name not in ("queue", "expires") and value is not None
    }
    if retry.new_args is not None:
        changes |= {"args": task.plain(retry.new_args, {})[0], "argsrepr": None}
    if retry.new_kwargs is not None:
        changes |= {"kwargs": task.plain((), retry.new_kwargs)[1], "kwargsrepr": None}
    expires = retry.options.get("expires")
    if isinstance(expires, datetime):
        changes["expires"] = expires
    elif expires is not None:
        changes["expires"] = datetime.fromtimestamp(now + expires, UTC)
    # its life goes on; what was noted of this message's own way does not concern the next
    changes["marks"] = {name: value for name, value in message.marks.items() if name == LIFE}
    return replace(message, retries=message.retries + 1, eta=eta.astimezone(task.app.timezone), **changes)
