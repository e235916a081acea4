"""Keeps the account of what was sent and looks whether every promise about it was kept."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tests.faults.mill import KINDS, Kind
from umbel.app import Umbel
from umbel.errors import PublishError
from umbel.model import SealedRecord
from umbel.ports import Broker, DeadLetters, ResultBackend

T = TypeVar("T")

PATIENCE = 120.0
"""Seconds after which something that must happen has not: far beyond what a loaded machine needs."""


class Diary:
    """What the tasks noted, read as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: Counter[tuple[str, str]] = Counter()
        """How often each attempt (id, attempt) was run."""
        self.lines = 0
        self._at = 0

    def read(self) -> int:
        """Take in what is new; gives the number of lines so far."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._at)
                fresh = file.read()
            whole = fresh[: fresh.rfind(b"\n") + 1]
            self._at += len(whole)
            for line in whole.decode().splitlines():
                word, *rest = line.split()
                self.lines += 1
                if word == "run":
                    task_id, attempt = rest
                    self.runs[task_id, attempt] += 1
        return self.lines


class Account(NamedTuple):
    """One scenario's figures.

    ``lost`` counts what must be run and was not, ``dropped`` what may be lost with its process and was, ``twice`` the
    attempts that were run more than once; ``recovered`` is the longest time in seconds from a fault to the next run.
    """

    scenario: str
    sent: int
    accepted: int
    refused: int
    runs: int
    lost: int
    dropped: int
    twice: int
    faults: int
    recovered: float | None = None


@dataclass
class Ledger:
    """One scenario: what was sent through ``app``, what ``diary`` and the store say became of it.

    ``watcher`` reads the records: an app on the same store whose calls do not fail. ``dead`` gives the ids of the dead
    letters.
    """

    scenario: str
    watcher: Umbel
    diary: Diary
    dead: Callable[[], Collection[str]]
    accepted: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    batches: list[list[str]] = field(default_factory=list)
    ends: dict[str, SealedRecord] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    """Ids whose final record was seen to change."""
    killed: int = 0
    recovered: float | None = None

    # -- sending

    def send(self, app: Umbel, kind: str, *, countdown: float = 0.0, **kwargs: Any) -> None:
        """Send one call of a kind; a refusal is written down."""
        if kind == "later":
            kwargs["not_before"] = time.time() + countdown
        try:
            result = app.send_task(f"mill.{kind}", kwargs=kwargs, countdown=countdown or None)
        except PublishError as error:
            self.refused[error.message.id] = kind
        else:
            self.accepted[result.id] = kind

    def send_batch(self, app: Umbel, kind: str, count: int) -> None:
        """Send several calls in one step, all or none."""
        task = app.tasks[f"mill.{kind}"]
        try:
            ids = [result.id for result in task.delay_many([()] * count)]
        except PublishError as error:
            ids = [message.id for message in error.message]
            self.refused |= dict.fromkeys(ids, kind)
        else:
            self.accepted |= dict.fromkeys(ids, kind)
        self.batches.append(ids)

    def send_mixed(self, app: Umbel, seed: int, count: int, kinds: Sequence[str] = tuple(KINDS)) -> None:
        """``count`` calls of these kinds in an order that the seed decides."""
        chance = random.Random(seed)
        for number in range(count):
            kind = kinds[number % len(kinds)] if number < len(kinds) else chance.choice(kinds)
            countdown = chance.uniform(0.01, 0.3) if kind == "later" else 0.0
            self.send(app, kind, countdown=countdown)

    # -- looking

    def name(self, task_id: str) -> str:
        """Which kind of task it is."""
        return self.accepted.get(task_id) or self.refused[task_id]

    def kind(self, task_id: str) -> Kind:
        """What is to come of it."""
        return KINDS[self.name(task_id)]

    def look(self) -> None:
        """Take in the diary and the records; a final record that is another one than before is written down."""
        self.diary.read()
        ids = [*self.accepted, *self.refused]

        async def load(broker: Broker, backend: ResultBackend) -> Mapping[str, SealedRecord]:
            return await backend.load(ids)

        known = ask(self.watcher, load)
        for task_id, record in known.items():
            if record.final:
                before = self.ends.setdefault(task_id, record)
                if before != record:
                    self.changed.append(task_id)
        self.changed += [task_id for task_id in self.ends if task_id not in known]

    def open(self) -> list[str]:
        """Accepted ids that have not come to an end, and refused ones that run all the same and have not."""
        dead = self.dead()
        started = [task_id for task_id in self.refused if self._ran(task_id)]
        return [task_id for task_id in (*self.accepted, *started) if not self._ended(task_id, dead)]

    def _ran(self, task_id: str) -> bool:
        return any(self.diary.runs[task_id, attempt] for attempt in self.kind(task_id).attempts)

    def _ended(self, task_id: str, dead: Collection[str]) -> bool:
        kind = self.kind(task_id)
        if task_id in self.ends:
            return True
        if "dead" in kind.ends:
            return task_id in dead
        if "done" in kind.ends:
            return self.diary.runs[task_id, kind.attempts[-1]] > 0
        return kind.once and self.killed > 0

    def wait(self, happened: Callable[[], bool] = lambda: True) -> None:
        """Return when everything has come to an end and ``happened()``; after ``PATIENCE`` it is for ``check`` to
        complain."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.look()
            if not self.open() and happened():
                return
            time.sleep(0.02)

    def _succeeded(self, task_id: str) -> bool:
        return task_id in self.ends and self.ends[task_id].state == "SUCCESS"

    # -- judging

    def account(self, faults: int = 0) -> Account:
        """The figures as they are now."""
        return Account(
            scenario=self.scenario,
            sent=len(self.accepted) + len(self.refused),
            accepted=len(self.accepted),
            refused=len(self.refused),
            runs=sum(self.diary.runs.values()),
            lost=len(self.open()),
            dropped=sum(1 for task_id in self.accepted if self.kind(task_id).once and not self._succeeded(task_id)),
            twice=sum(1 for count in self.diary.runs.values() if count > 1),
            faults=faults + self.killed,
            recovered=self.recovered,
        )

    def check(self, may_repeat: Collection[str] = ()) -> None:
        """Fail with every broken promise; attempts of the kinds in ``may_repeat`` may be run more than once."""
        self.look()
        dead = self.dead()
        complaints = [f"accepted and lost: {self._story(task_id)}" for task_id in self.open()]
        complaints += [f"its end changed: {self._story(task_id)}" for task_id in self.changed]
        for task_id in (*self.accepted, *self.refused):
            if self._ended(task_id, dead):
                complaints += self._judge(task_id, dead, may_repeat)
        for batch in self.batches:
            ran = {self._ran(task_id) for task_id in batch}
            if len(ran) > 1:
                complaints.append(f"a batch was taken in part: {batch}")
        strangers = {task_id for task_id, _ in self.diary.runs} - self.accepted.keys() - self.refused.keys()
        complaints += [f"nobody sent it: {task_id}" for task_id in strangers]
        assert not complaints, "\n".join([f"{self.scenario}: {self.account()}", *complaints])

    def _judge(self, task_id: str, dead: Collection[str], may_repeat: Collection[str]) -> list[str]:
        name, kind = self.name(task_id), self.kind(task_id)
        record = self.ends.get(task_id)
        end = record.state if record is not None else "dead" if task_id in dead else "done"
        runs = {attempt: self.diary.runs[task_id, attempt] for attempt in kind.attempts}
        wrong = []
        lossy = kind.once and self.killed > 0
        if end not in kind.ends and not (lossy and end in ("FAILURE", "done")):
            wrong.append("another end than it should have")
        if not runs[kind.attempts[-1]] and not lossy:
            wrong.append("it has an end and was not run")
        if kind.once and name not in may_repeat and any(count > 1 for count in runs.values()):
            wrong.append("run more than once, which it must never be")
        if name not in may_repeat and any(count != 1 for count in runs.values()) and not lossy:
            wrong.append("not run exactly once")
        return [f"{what}: {self._story(task_id)}" for what in wrong]

    def _story(self, task_id: str) -> str:
        name = self.accepted.get(task_id) or f"{self.refused[task_id]} (refused)"
        record = self.ends.get(task_id)
        runs = {attempt: count for (known, attempt), count in self.diary.runs.items() if known == task_id}
        state = "no end" if record is None else f"{record.state} {record.payload[:200]!r}"
        return f"{name} {task_id}: {state}, runs {runs}, dead letter: {task_id in self.dead()}"


def ask(app: Umbel, question: Callable[[Broker, ResultBackend], Coroutine[Any, Any, T]]) -> T:
    """Ask the app's broker or its result backend, on umbel's own background loop."""
    from umbel import bridge

    way = bridge.get()

    async def work() -> T:
        return await question(await way.entered(app.broker), await way.entered(app.backend))

    return way.run(work(), PATIENCE)


def dead_ids(app: Umbel) -> Collection[str]:
    """The ids of the dead letters."""

    async def ids(broker: Broker, backend: ResultBackend) -> set[str]:
        assert isinstance(broker, DeadLetters)
        return {letter.envelope.id for letter in await broker.dead_letters()}

    return ask(app, ids)


HEAD = ("scenario", "sent", "accepted", "refused", "runs", "lost", "dropped", "twice", "faults", "recovered")


def table(accounts: Sequence[Account]) -> list[str]:
    """The accounts as lines of text, with a line of sums."""
    rows = [(*map(str, account[:-1]), _seconds(account.recovered)) for account in accounts]
    sums = [str(sum(int(row[at]) for row in rows)) for at in range(1, len(HEAD) - 1)]
    longest = max((account.recovered for account in accounts if account.recovered is not None), default=None)
    lines = [HEAD, *rows, ("all", *sums, _seconds(longest))]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEAD))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"
