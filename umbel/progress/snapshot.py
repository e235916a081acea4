"""How a task stands, for whoever waits for it: made of what its worker told, of its record, and of its queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from umbel.errors import UserError
from umbel.model import FINAL_STATES, Record, State
from umbel.tracking import Seen
from umbel.wire.notes import number_of, public_error, read_note, text_of

VERSION = 1
"""Of the form in which a snapshot travels."""

QUIET_STATES = frozenset({State.PENDING, State.STARTED, State.RETRY})


class Stage(NamedTuple):
    """Stage ``i`` of ``n``; ``n`` is None while that is not known."""

    i: int
    n: int | None
    label: str


class Children(NamedTuple):
    """The tasks that a task sent: ``n`` in all, those that have ended well and badly, and those that run."""

    n: int
    done: int
    failed: int
    running: int


class PublicError(NamedTuple):
    """What end users may read of a failure; ``ref`` is for whoever looks for its reason in the log."""

    text: str
    ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How a task stands. Times are unix times in seconds, ``eta``, ``elapsed`` and ``usual`` seconds.

    ``percent`` is 0 to 100, None where it cannot be known, and never less than before within an attempt. ``usual`` is
    how long the task takes as a rule, ``ahead`` how many stand before it in its queue. Of a task whose state is RETRY,
    ``attempt`` is the next one, which begins at ``due``. ``seq`` differs whenever its worker has said something new.
    """

    key: str
    seq: int = 0
    state: str = State.PENDING
    final: bool = False
    attempt: int = 1
    attempts: int | None = None
    current: float | None = None
    total: float | None = None
    unit: str | None = None
    percent: float | None = None
    message: str | None = None
    stage: Stage | None = None
    eta: float | None = None
    elapsed: float | None = None
    rate: float | None = None
    usual: float | None = None
    due: float | None = None
    ahead: int | None = None
    children: Children | None = None
    updated: float | None = None
    cancelling: bool = False
    error: PublicError | None = None
    links: Sequence[tuple[str, str]] = ()
    log: Sequence[str] = ()
    task: str | None = None

    def facts(self) -> dict[str, Any]:
        """As values that JSON has; the task's name is left out, which end users need not know."""
        facts: dict[str, Any] = {"v": VERSION}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "task" or value is None or value == () or value is False:
                continue
            facts[field.name] = value._asdict() if isinstance(value, (Stage, Children, PublicError)) else value
        facts["state"] = str(self.state)
        return facts


def snapshot(
    key: str, seen: Seen | None, record: Record | None, *, ahead: int | None = None, alone: bool = False
) -> Snapshot:
    """What these say together. ``alone``: records are not to be had here, so the worker's word on the end counts."""
    note = None if seen is None else seen.note
    facts = {} if note is None else read_note(note.payload)
    if note is None and record is not None and record.state == "PROGRESS" and isinstance(record.value, Mapping):
        facts = _of_meta(record.value)
    state, final = _state(facts, record, alone)
    found: dict[str, Any] = {
        "key": key,
        "seq": _seq(note.seq if note is not None else 0, seen, state),
        "state": state,
        "final": final,
        "ahead": ahead if state == State.PENDING else None,
        "children": _children(facts, seen),
        "error": _error(key, facts, record, state),
        "task": facts.get("task") or (record.name if record is not None else None),
    }
    if final and state == State.SUCCESS and facts.get("state") != State.SUCCESS:
        facts = {**facts, "eta": None, "stage": None, "percent": facts.get("percent") and 100.0}
    if final:
        facts = {**facts, "eta": None, "cancelling": None}
    for name in ("current", "total", "unit", "percent", "message", "eta", "rate", "usual", "due", "updated"):
        found[name] = facts.get(name)
    found["attempt"] = facts.get("attempt") or (1 if record is None else (record.retries or 0) + 1)
    found["attempts"] = facts.get("attempts")
    found["cancelling"] = bool(facts.get("cancelling"))
    stage = facts.get("stage")
    found["stage"] = None if not stage else Stage(stage.get("i") or 1, stage.get("n"), stage.get("label") or "")
    found["links"] = tuple((label, address) for label, address in facts.get("links") or ())
    found["log"] = tuple(facts.get("log") or ())
    began, updated = facts.get("began"), facts.get("updated")
    found["elapsed"] = round(updated - began, 1) if began is not None and updated is not None else None
    return Snapshot(**found)


def _state(facts: Mapping[str, Any], record: Record | None, alone: bool) -> tuple[str, bool]:
    """The state, and whether it is the last: it is when its record is there, where one is kept."""
    told = facts.get("state")
    if record is not None and (record.state in FINAL_STATES or told is None):
        return record.state, record.state in FINAL_STATES
    if told is None:
        return State.PENDING, False
    if told in FINAL_STATES and (alone or not facts.get("kept")):
        return told, True
    if told in FINAL_STATES:
        return "PROGRESS" if record is None else record.state, False
    if record is not None and record.state not in QUIET_STATES:
        return record.state, False
    return told, False


def _of_meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What the meta of a worker says that tells nothing else: one of Celery, or one whose notes are not heard here."""
    facts: dict[str, Any] = {name: number_of(meta.get(name)) for name in ("current", "total", "percent")}
    current, total = facts["current"], facts["total"]
    if facts["percent"] is None and current is not None and total:
        facts["percent"] = round(100.0 * current / total, 1) if 0 <= current <= total else None
    for name, told in (("message", meta.get("message") or meta.get("status")), ("unit", meta.get("unit"))):
        facts[name] = text_of(told) if isinstance(told, str) else None
    return facts


def _seq(seq: int, seen: Seen | None, state: str) -> int:
    """Grows with the notes, and by parts of that with whatever else is known."""
    counts = 0 if seen is None else (2 * (seen.done + seen.failed) + seen.running) % 50
    return 100 * seq + 2 * counts + int(state in FINAL_STATES)


def _children(facts: Mapping[str, Any], seen: Seen | None) -> Children | None:
    done, failed, running = (0, 0, 0) if seen is None else (seen.done, seen.failed, seen.running)
    n = max(int(facts.get("children") or 0), done + failed + running)
    return Children(n, done, failed, running) if n else None


def _error(key: str, facts: Mapping[str, Any], record: Record | None, state: str) -> PublicError | None:
    if state not in (State.FAILURE, State.REVOKED):
        return None
    told = facts.get("error")
    if told is None and state == State.REVOKED:
        return PublicError("Cancelled")
    if told is None:
        error = record.value if record is not None and isinstance(record.value, BaseException) else None
        told = public_error(error, key, isinstance(error, UserError))
    return PublicError(str(told.get("text")), told.get("ref"))
