"""Every error that umbel raises, in one tree.

UmbelError
 ├─ ConfigurationError
 │   ├─ UnknownOption        a setting, keyword or flag that does not exist, with the nearest that does
 │   │   └─ UnknownSetting   (also an AttributeError and a KeyError) such a setting was read
 │   ├─ AppNotFound          no app where it was looked for; lists every place tried
 │   ├─ QueueNotFound        a queue that is not declared, where only declared ones may be used
 │   ├─ NoResultBackend      a result was asked for and no backend keeps any
 │   └─ MissingExtra         a feature needs a package that is not installed
 ├─ StoreError               a broker or result store refused or could not be reached
 │   ├─ StoreUnreachable     it did not answer, or the way to it was lost: it may answer later
 │   ├─ StoreRefused         it does not let this user in, or forbids what was asked: no retry will mend it
 │   ├─ StoreFull            no room left on its disk
 │   ├─ StoreBusy            another process held its lock for too long
 │   ├─ StoreDamaged         its file is not what it should be; no retry will mend it
 │   └─ StoreUnsuitable      it cannot keep umbel's promises (file system, version)
 ├─ PublishError             a message could not be handed to the broker; carries the message
 ├─ WireError
 │   ├─ EncodeError          a value that the serializer cannot write
 │   ├─ DecodeError          bytes that are not a task message; names the field
 │   ├─ ContentDisallowed    a content type that is not accepted
 │   ├─ SignatureError       a message that is not signed as security_signing_keys asks
 │   ├─ SealError            a sealed body that no key here opens
 │   └─ SecurityError        a stored exception that names something which is no exception
 ├─ InvalidModel             (also a ValueError) an argument or a result that its pydantic model refuses
 ├─ NotRegistered            (also a KeyError) no task of that name
 ├─ NoSuchDeadLetter         (also a LookupError) no dead letter of that number
 ├─ TaskFailed               the task ended in what must not be raised again: SystemExit, KeyboardInterrupt …
 ├─ WorkerLostError          the process that ran the task is gone
 ├─ TimeLimitExceeded        the task ran beyond its hard limit and was killed
 ├─ SoftTimeLimitExceeded    raised in a task that runs beyond its soft limit
 ├─ TaskRevokedError         the task was revoked, or expired
 ├─ TaskCancelled            raised in a task that was asked to stop, by track() and by progress
 ├─ UserError                raised by a task: its text may be shown to end users
 ├─ TimeoutError             (also the built-in TimeoutError) waited long enough
 ├─ ChordError               the body of a chord cannot run, for one of the parts has failed
 ├─ MaxRetriesExceededError  a task asked to be tried again once too often
 ├─ Retry                    raised by a task: try again later
 ├─ Ignore                   raised by a task: record nothing
 └─ Reject                   raised by a task: back to the queue, or to the dead letters
"""

from __future__ import annotations

import builtins
import difflib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any


class UmbelError(Exception):
    """The root of the tree."""


class ConfigurationError(UmbelError):
    """Something is set up in a way that cannot work."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error's message: which of ``known`` may have been meant; empty when none comes near."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


class UnknownOption(ConfigurationError, TypeError):
    """A name that is not an option. The message ends with the nearest name that is."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
        super().__init__(f"{what}: unknown name {name!r}{nearest(name, near)}")
        self.name = name
        self.nearest = near[0] if near else None


class UnknownSetting(UnknownOption, AttributeError, KeyError):  # type: ignore[misc]  # ``name`` is one thing in both
    """A setting was read that does not exist. Also what ``hasattr`` and mappings expect."""

    def __str__(self) -> str:
        return str(self.args[0])


class AppNotFound(ConfigurationError):
    """No app was found; the message lists every place that was tried and what was there."""


class QueueNotFound(ConfigurationError):
    """A queue that nobody declared, and ``task_create_missing_queues`` is off, or no queue has the routing key."""


class NoResultBackend(ConfigurationError):
    """A result was asked for, and no result backend is configured."""


class MissingExtra(ConfigurationError):
    """A feature needs a package that is not installed; the message is the line that installs it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs a package that is not installed: pip install 'umbel[{extra}]'")
        self.extra = extra


class StoreError(UmbelError):
    """A broker or a result store refused, or could not be reached."""


class StoreUnreachable(StoreError):
    """It did not answer, or the way to it was lost; the same may work later."""

    doubtful = False
    """Whether what was sent may have arrived all the same."""


class StoreRefused(StoreError):
    """It does not let this user in, or forbids what was asked; no retry will mend it."""

    ids: frozenset[str] = frozenset()
    """The messages that are meant, where all others of the same call were taken; empty where that is not known."""


class StoreFull(StoreError):
    """No room is left where the store keeps its files."""


class StoreBusy(StoreError):
    """Another process held the store's lock for longer than the deadline."""


class StoreDamaged(StoreError):
    """The store's file is damaged, or not a store at all; waiting does not mend it."""


class StoreUnsuitable(StoreError):
    """The store cannot keep the promises: a network file system, a schema of a newer version."""


class PublishError(UmbelError):
    """The broker did not take the message in time. Nothing was accepted; ``message`` can be sent again."""

    def __init__(self, text: str, message: Any = None) -> None:
        super().__init__(text)
        self.message = message


class WireError(UmbelError):
    """Something could not be turned into bytes, or bytes into something."""


class EncodeError(WireError):
    """A value that the serializer cannot write; the message names its type."""


class DecodeError(WireError):
    """Bytes that are not a task message. ``field`` names the part that is wrong."""

    def __init__(self, field: str, why: str | None = None) -> None:
        super().__init__(field if why is None else f"{field}: {why}")
        self.field, _, rest = str(self).partition(": ")
        self.why = rest if why is None else why


class ContentDisallowed(WireError):
    """The content type is not among those accepted; the content was not looked at."""


class SignatureError(WireError):
    """The message is not signed, or not by a known key, or was altered, or is too old; its body was not looked at."""


class SealError(WireError):
    """The body is sealed and no key here opens it, or it was altered, or it belongs to another message."""


class SecurityError(WireError):
    """A stored exception names something that is not an exception class; nothing of it was called."""


class InvalidModel(UmbelError, ValueError):
    """An argument or a result is not what the pydantic model of its annotation asks for; says where, and why."""


class NotRegistered(UmbelError, KeyError):
    """No task of this name is registered."""

    def __str__(self) -> str:
        return repr(self.args[0]) if len(self.args) == 1 else super().__str__()


class NoSuchDeadLetter(UmbelError, LookupError):
    """There is no dead letter of this number."""


class TaskFailed(UmbelError):
    """The task ended in an exception that would end the caller too; it is the ``__cause__`` of this one."""


class WorkerLostError(UmbelError):
    """The process that ran the task ended before the task did."""


class TimeLimitExceeded(UmbelError):
    """The task ran beyond its hard time limit, and its process was killed."""


class SoftTimeLimitExceeded(UmbelError):
    """Raised inside a task that runs beyond its soft time limit; it may catch it and tidy up."""


class TaskRevokedError(UmbelError):
    """The task was revoked, or was not started before it expired."""


class TaskCancelled(UmbelError):
    """Raised in a task by ``track``, and by what it says of its progress, once somebody asked it to stop: REVOKED."""


class UserError(UmbelError):
    """Raised by a task that fails for a reason which its end user should read: ``UserError("row 11 is malformed")``.

    Of any other exception end users see that something went wrong, and a reference.
    """


class TimeoutError(UmbelError, builtins.TimeoutError):
    """The result was not there in time. The task goes on."""


class ChordError(UmbelError):
    """The body of a chord is not run: one of the tasks whose results it wants has failed, or was revoked."""


class MaxRetriesExceededError(UmbelError):
    """A task asked to be tried again more often than ``max_retries`` allows."""


class Retry(UmbelError):
    """Raised by a task: run it again, with the same id, after ``countdown`` seconds or at ``eta``.

    Without either, the task's ``default_retry_delay`` counts. ``exc`` is the reason: it is stored while the task waits,
    and it is what the task fails with when ``max_retries`` is used up (None there: the task's own). ``args`` and
    ``kwargs`` replace those of this attempt; ``options`` are call options of the next one.
    """

    def __init__(
        self,
        message: str | None = None,
        exc: BaseException | None = None,
        *,
        countdown: float | None = None,
        eta: datetime | None = None,
        max_retries: int | None = None,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message if message is not None else "try again")
        self.exc = exc
        self.countdown = countdown
        self.eta = eta
        self.max_retries = max_retries
        self.new_args = args
        self.new_kwargs = kwargs
        self.options = dict(options or {})

    def __str__(self) -> str:
        when = f"at {self.eta.isoformat()}" if self.eta is not None else f"in {self.countdown}s"
        why = f": {self.exc!r}" if self.exc is not None else ""
        return f"Retry {when}{why}"


class Ignore(UmbelError):
    """Raised by a task: settle the message and record nothing."""


class Reject(UmbelError):
    """Raised by a task: give the message back (``requeue=True``) or put it among the dead letters."""

    def __init__(self, reason: str = "rejected by the task", requeue: bool = False) -> None:
        super().__init__(reason, requeue)
        self.reason = reason
        self.requeue = requeue
