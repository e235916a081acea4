"""Sends what running tasks say of themselves: in batches, four times a second at most, from a thread of its own."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from umbel.declared import Declared
from umbel.errors import EncodeError, UserError
from umbel.model import Failed, Ignored, Outcome, Postponed, Record, Rejected, Retried, Revoked, State, Succeeded
from umbel.model import SealedRecord as Sealed
from umbel.progress.meter import Meter
from umbel.reporting import sealed_for
from umbel.request import Request
from umbel.tracking import Note
from umbel.wire.marks import LIFE
from umbel.wire.notes import public_error, write_note
from umbel.wiring import App

TICK = 0.25
"""Seconds between two notes of a task at least."""

HEARTBEAT = 5.0
"""Seconds after which a task that runs is told of though it says nothing new."""

BARE_AFTER = 1.0
"""Seconds after which a task is told of though it has said nothing."""

NOTABLE = 1.0
"""Seconds that a task must run for its run time to be remembered."""

IDLE_TICKS = 8

CANCEL_KEPT = 10.0
"""Seconds for which a request to stop waits for an attempt that has not begun."""

PROGRESS = "PROGRESS"
"""The state of a task that says how far it is."""

Habit = tuple[float, Sequence[tuple[str, float]]]
"""How many seconds a task takes as a rule, and its stages with their weights."""


class Flusher:
    """The progress of everything that runs in this process.

    ``send(notes, records)`` is called in the flusher's thread, and ``learned(name, habit)`` in those that run tasks.
    They enter attempts into ``running`` and take them out; the lock guards what is told of them.
    """

    def __init__(
        self,
        app: App,
        hostname: str,
        send: Callable[[Sequence[Note], Sequence[Sealed]], None],
        learned: Callable[[str, Habit], None] = lambda name, habit: None,
    ) -> None:
        self._app = app
        self._hostname = hostname
        self._send = send
        self._learned = learned
        self._keeps_results = app.result_url is not None
        self._kept_for: float = app.conf.result_expires or 86400.0
        self.running: dict[int, Request] = {}
        """The attempts under way, by the number of their delivery."""
        self.awake = threading.Event()
        """To be set when something was entered into ``running``."""
        self.habits: dict[str, Habit] = {}
        """By task name; for this object and who tells it of others' habits."""
        self._cancelled: dict[int, float] = {}
        self._bare: dict[Request, float] = {}
        self._nudge = threading.Event()
        self._lock = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Have a thread of its own; without it what is said is told by those who say it."""
        self._thread = threading.Thread(target=self._run, name="umbel-progress", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._nudge.set()
        self.awake.set()

    def adopt(self, meter: Meter) -> None:
        """A task has begun to tell of itself."""
        meter.began_at = self._app.clock.now() - (time.monotonic() - meter.began)
        meter.hurry = self.flush if self._thread is None else self._nudge.set
        usual = self.habits.get(meter.request.task or "")
        if usual is not None:
            meter.usual, meter.plan = usual
        task = self._app.tasks.get(meter.request.task or "")
        if task is not None and task.max_retries is not None:
            meter.attempts = task.max_retries + 1

    def cancel(self, number: int) -> None:
        """Ask the attempt at this delivery to stop at its next step; from any thread."""
        self._cancelled[number] = time.monotonic() + CANCEL_KEPT
        self._carry_out()
        self.awake.set()
        self._nudge.set()

    def _carry_out(self) -> None:
        now = time.monotonic()
        for number, deadline in list(self._cancelled.items()):
            request = self.running.get(number)
            if request is not None:
                request.cancelled = True
                if request.progress is not None:
                    request.progress.cancelled = True
            if request is not None or deadline <= now:
                self._cancelled.pop(number, None)

    # -- the end of an attempt, in the thread that ran it

    def last(self, number: int, task: Declared, request: Request, outcome: Outcome) -> Note:
        """The note of the end; nothing of this attempt is told after it."""
        with self._lock:
            self.running.pop(number, None)
            meter: Meter | None = request.progress
            if meter is None:
                meter = request.progress = Meter(request, time.monotonic())
                self.adopt(meter)
            facts = {**meter.facts(), **_ended(outcome, request, meter, self._kept(request))}
            return self._note(meter, facts, final=not _goes_on(outcome), share=_share_of(outcome))

    def learn(self, name: str, request: Request, runtime: float) -> None:
        """A task has succeeded, after so many seconds."""
        if runtime < NOTABLE:
            return
        meter: Meter | None = request.progress
        before = self.habits.get(name)
        plan = () if meter is None else tuple(meter.went)
        seconds = runtime if before is None else 0.7 * before[0] + 0.3 * runtime
        self.habits[name] = (seconds, plan)
        if before is None or abs(seconds - before[0]) > 0.1 * before[0] or plan != tuple(before[1]):
            self._learned(name, (seconds, plan))

    # -- the flusher's thread

    def _run(self) -> None:
        idle = 0
        while True:
            self.awake.wait()
            if self._closed:
                return
            self._nudge.wait(TICK)
            self._nudge.clear()
            self.flush()
            idle = 0 if self.running else idle + 1
            if idle >= IDLE_TICKS:
                self.awake.clear()
                if self.running or self._cancelled:
                    self.awake.set()

    def flush(self) -> None:
        """Tell what is new."""
        if self._cancelled:
            self._carry_out()
        if not self.running:
            self._bare.clear()
            return
        now = time.monotonic()
        with self._lock:
            notes, records = [], []
            running = list(self.running.values())
            for request in running:
                meter = request.progress or self._bare_meter(request, now)
                if meter is not None and self._due(meter, now):
                    notes.append(self._running_note(meter, now))
                    if meter.told and (record := self._record(meter)) is not None:
                        records.append(record)
            if len(self._bare) > 2 * len(running):
                self._bare = {request: self._bare[request] for request in running if request in self._bare}
            if notes:
                self._send(notes, records)

    def _bare_meter(self, request: Request, now: float) -> Meter | None:
        since = self._bare.setdefault(request, now)
        if now - since < BARE_AFTER:
            return None
        meter = Meter(request, since)
        self.adopt(meter)
        if request.progress is None:
            request.progress = meter
        self._bare.pop(request, None)
        return request.progress  # type: ignore[no-any-return]

    def _due(self, meter: Meter, now: float) -> bool:
        elapsed = now - meter.sent_at
        if elapsed < TICK:
            return False
        return elapsed >= HEARTBEAT or meter.sent != meter.state()

    def _running_note(self, meter: Meter, now: float) -> Note:
        meter.sent, meter.sent_at = meter.state(), now
        meter.look(now)
        facts = {**meter.facts(), "state": PROGRESS if meter.told else str(State.STARTED)}
        return self._note(meter, facts, final=False, share="running")

    def _note(self, meter: Meter, facts: Mapping[str, Any], *, final: bool, share: str) -> Note:
        request, now = meter.request, self._app.clock.now()
        meter.seq = max(meter.seq + 1, int(now * 1000))
        message = request.message
        life = message.marks.get(LIFE, 0) if message is not None else 0
        parent = request.parent_id
        return Note(
            request.id or "",
            meter.seq,
            write_note({**facts, "updated": round(now, 3)}),
            now + self._kept_for,
            (life << 20) + request.retries,
            final,
            parent,
            share if parent is not None else "",
        )

    def _kept(self, request: Request) -> bool:
        return self._keeps_results and not request.ignore_result

    def _record(self, meter: Meter) -> Sealed | None:
        request = meter.request
        message = request.message
        if message is None or not self._kept(request):
            return None
        record = Record(
            id=message.id,
            state=PROGRESS,
            value=dict(meter.shown()),
            name=message.task,
            worker=self._hostname,
            retries=message.retries,
            parent_id=message.parent_id,
            queue=request.delivery.queue if request.delivery is not None else None,
            life=message.marks.get(LIFE, 0),
            reply_to=message.reply_to,
        )
        with contextlib.suppress(EncodeError):  # what update_state was given cannot be written, and was refused there
            return sealed_for(self._app, record)
        return None


def _goes_on(outcome: Outcome) -> bool:
    """Whether the same attempt comes again."""
    return isinstance(outcome, Postponed) or (isinstance(outcome, Rejected) and outcome.requeue)


def _share_of(outcome: Outcome) -> str:
    if isinstance(outcome, Succeeded | Ignored):
        return "done"
    if isinstance(outcome, Retried) or _goes_on(outcome):
        return ""
    return "failed"


def _ended(outcome: Outcome, request: Request, meter: Meter, kept: bool) -> dict[str, Any]:
    """What a note says of the end, beside what the task said."""
    gone = {"eta": None, "rate": None, "cancelling": None, "kept": kept or None}
    if isinstance(outcome, Succeeded | Ignored):
        percent = 100.0 if meter.told else None
        return {**gone, "state": str(State.SUCCESS), "percent": percent, "stage": None}
    if isinstance(outcome, Failed):
        public = isinstance(outcome.error, UserError)
        error = public_error(outcome.error, request.id or "", public)
        return {**gone, "state": str(State.FAILURE), "error": error}
    if isinstance(outcome, Retried):
        eta = outcome.message.eta
        due = None if eta is None else round(eta.timestamp(), 3)
        again = {"current": None, "total": None, "percent": None, "stage": None, "message": None}
        return {**gone, **again, "state": str(State.RETRY), "attempt": outcome.message.retries + 1, "due": due}
    if _goes_on(outcome):
        return {**gone, "state": str(State.PENDING)}
    reason = outcome.reason if isinstance(outcome, Revoked) else "rejected"
    state = State.REVOKED if isinstance(outcome, Revoked) else State.FAILURE
    return {**gone, "state": str(state), "error": {"text": "Cancelled"} if reason == "cancelled" else None}
