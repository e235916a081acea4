"""The nouns: what a message is called at each step of its way.

``Message`` → ``Envelope`` → ``Delivery`` → ``Request`` → ``Outcome`` → ``Settlement`` + ``Record``.
All are values: frozen, with slots, and none of them reaches up to the machinery that moves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from umbel.errors import ConfigurationError


class State(StrEnum):
    """The states of a task. A custom state is any other string; it counts as not final."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"


FINAL_STATES: frozenset[str] = frozenset({State.SUCCESS, State.FAILURE, State.REVOKED})
"""A record in one of these states is never changed by a late attempt."""

EXCEPTION_STATES: frozenset[str] = frozenset({State.FAILURE, State.RETRY, State.REVOKED})
"""In these states a record's value is an exception."""

CUSTOM = "custom"
"""Stands in ``TRANSITIONS`` for every state that is not one of ``State``."""

_OPEN: frozenset[str] = frozenset({State.STARTED, State.RETRY, CUSTOM}) | FINAL_STATES

TRANSITIONS: Mapping[str, frozenset[str]] = {
    State.PENDING: _OPEN,
    State.STARTED: _OPEN,
    State.RETRY: _OPEN,
    CUSTOM: _OPEN,
    State.SUCCESS: frozenset(),
    State.FAILURE: frozenset(),
    State.REVOKED: frozenset(),
}
"""Which state may follow which within one life of a task: ``docs/states.md`` draws this table."""


def may_replace(old: str, old_life: int, new: str, new_life: int) -> bool:
    """Whether a record in state ``new`` may take the place of one in state ``old``.

    A higher life always may, a lower one never; within a life ``TRANSITIONS`` decides.
    """
    if old_life != new_life:
        return new_life > old_life
    return _known(new) in TRANSITIONS[_known(old)]


def _known(state: str) -> str:
    return state if state in TRANSITIONS else CUSTOM


@dataclass(frozen=True, slots=True)
class Links:
    """What follows a task: signatures as they travel in the message's body (all JSON-safe)."""

    callbacks: Sequence[Mapping[str, Any]] | None = None
    errbacks: Sequence[Mapping[str, Any]] | None = None
    chain: Sequence[Mapping[str, Any]] | None = None
    chord: Mapping[str, Any] | None = None


NO_LINKS = Links()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a caller wants done.

    ``eta`` and ``expires`` are aware datetimes; the limits are seconds. ``headers`` are the user's own
    headers. ``argsrepr`` and ``kwargsrepr`` are what logs and monitors show; None means "make them". ``marks`` are
    umbel's own headers, whose names begin with ``umbel_``: they stay with the message when it is sent on.
    """

    task: str
    id: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    group_index: int | None = None
    retries: int = 0
    eta: datetime | None = None
    expires: datetime | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    shadow: str | None = None
    ignore_result: bool = False
    priority: int | None = None
    reply_to: str = ""
    origin: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    replaced_task_nesting: int = 0
    stamped_headers: Sequence[str] | None = None
    stamps: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] | None = None
    marks: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    serializer: str = "json"
    compression: str | None = None
    links: Links = NO_LINKS

    def with_headers(self, headers: Mapping[str, Any]) -> Message:
        """This message with more headers of the user's own; one of the same name is replaced."""
        return replace(self, headers={**(self.headers or {}), **headers})


class Route(NamedTuple):
    """Where an envelope goes.

    ``priority`` is 0–9, higher is sooner, None counts as 0. ``due`` is the unix time (seconds) before which the
    broker does not hand it out; None means at once.
    """

    queue: str
    priority: int | None = None
    due: float | None = None
    exchange: str = ""
    routing_key: str = ""


class Envelope(NamedTuple):
    """Bytes ready to travel. A broker moves them and never looks inside.

    ``form`` names the layout (a broker states the one it wants; ``wire.envelope`` knows them all), ``id`` is the
    task id, for the broker's own books and for logs.
    """

    form: str
    id: str
    head: bytes
    body: bytes


class Delivery(NamedTuple):
    """An envelope that a broker handed out and waits to hear about, exactly once.

    ``receipt`` means something to the consumer that made it only. ``redelivered``: it was handed out before.
    ``doubtful``: on its way the broker may have made two of it, of which another may have been handed out.
    """

    envelope: Envelope
    queue: str
    receipt: Any
    redelivered: bool = False
    priority: int = 0
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The function returned."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt ended in an exception that is the task's own, or in the loss of its process."""

    error: BaseException
    traceback: str | None = None
    expected: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """The task refused its message: back to the queue, or to the dead letters."""

    reason: str
    requeue: bool = False


@dataclass(frozen=True, slots=True)
class Ignored:
    """The task asked that nothing be recorded."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """The task was not run, or was stopped, because somebody or its expiry said so."""

    reason: str
    expired: bool = False
    terminated: bool = False


@dataclass(frozen=True, slots=True)
class Retried:
    """The task is to be tried again: ``message`` is the next attempt's, with the same id; ``retry`` says when and why,
    ``queue`` None the one that the message came from."""

    message: Message
    retry: BaseException
    traceback: str | None = None
    queue: str | None = None


@dataclass(frozen=True, slots=True)
class Postponed:
    """It arrived before its time; ``due`` is a unix time in seconds."""

    due: float


Outcome = Succeeded | Failed | Retried | Rejected | Ignored | Revoked | Postponed
"""The end of one attempt, as data. ``worker.settler`` turns it into a record and a verdict."""


class Verdict(NamedTuple):
    """What the broker is told of a delivery: each delivery gets exactly one."""

    kind: str
    due: float | None = None
    reason: str | None = None


ACK = Verdict("ack")

REQUEUE = Verdict("requeue")
"""Back to its old place, ready at once, marked redelivered: it may have been started."""

RETURN = Verdict("return")
"""Back to its old place, ready at once, marked as it came: it was never started."""


def later(due: float) -> Verdict:
    """Hand it out again at the unix time ``due`` (seconds), not before."""
    return Verdict("later", due=due)


def dead(reason: str) -> Verdict:
    """Keep the original bytes among the dead letters, with ``reason``: its first two thousand characters, and half a
    surrogate pair, which no store can keep and the name of a file may well have, as an escape."""
    return Verdict("dead", reason=reason[:2000].encode(errors="backslashreplace").decode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is known of a task: a result backend keeps it under the task's id.

    ``value`` is the result, or the exception when ``state`` is one of ``EXCEPTION_STATES``. ``children`` are result
    tuples as they travel. ``life`` counts deliberate new starts of a finished task: a record of an older life never
    replaces one of a newer.
    """

    id: str
    state: str
    value: Any = None
    traceback: str | None = None
    children: Sequence[Any] = ()
    date_done: datetime | None = None
    group_id: str | None = None
    parent_id: str | None = None
    name: str | None = None
    args: Any = None
    kwargs: Any = None
    worker: str | None = None
    retries: int | None = None
    queue: str | None = None
    life: int = 0
    reply_to: str = ""
    """Where the caller listens, for a backend that sends results in place of keeping them."""


class SealedRecord(NamedTuple):
    """A ``Record`` as bytes, with what a store must know to keep or to send it: ``expires`` is a unix time or None."""

    id: str
    state: str
    payload: bytes
    expires: float | None = None
    life: int = 0
    reply_to: str = ""

    @property
    def final(self) -> bool:
        """Whether its state is one that a late attempt must not change."""
        return self.state in FINAL_STATES


class Settlement(NamedTuple):
    """One delivery's end, whole: its verdict, what follows it, and its record."""

    delivery: Delivery
    verdict: Verdict
    follow_ups: Sequence[tuple[Route, Envelope]] = ()
    record: SealedRecord | None = None


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue as a user declares it: ``task_queues=[Queue("mail", max_priority=10)]``.

    A call may name its queue by ``routing_key`` (and ``exchange``) instead; without one it is the queue's name.
    ``max_priority`` and ``arguments`` are for brokers whose queues have such; where priorities need no declaring,
    every queue has all ten. Raises ``ConfigurationError`` for a value that cannot be meant.
    """

    name: str
    _: KW_ONLY
    exchange: str = ""
    routing_key: str = ""
    max_priority: int | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self.routing_key:
            object.__setattr__(self, "routing_key", self.name)
        for option in ("name", "exchange", "routing_key"):
            text = getattr(self, option)
            if not isinstance(text, str) or not (text or option == "exchange"):
                raise ConfigurationError(f"Queue: {option} must be a text that is not empty, not {text!r}")
        most = self.max_priority
        if most is not None and (not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= 255):
            raise ConfigurationError(f"Queue {self.name}: max_priority must be a whole number, 1 to 255, not {most!r}")
        arguments = self.arguments
        if not isinstance(arguments, Mapping) or not all(isinstance(name, str) for name in arguments):
            raise ConfigurationError(f"Queue {self.name}: arguments must be a mapping of names, not {arguments!r}")
