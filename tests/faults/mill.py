"""The tasks that the fault tests run: each notes every run of itself in a diary.

A line of the diary is ``run ID ATTEMPT``; an attempt that is noted twice was run twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from umbel import Backoff, Ignore, Reject, Retry, Task, Umbel


class Kind(NamedTuple):
    """What a call of one kind of task must come to.

    ``attempts`` are those that it makes when nothing goes wrong, the last of which decides. ``ends`` are states, "dead"
    for a dead letter, "done" for a last attempt that leaves nothing behind. ``once`` tasks may be lost with their
    process and are never run twice.
    """

    attempts: tuple[str, ...]
    ends: tuple[str, ...]
    once: bool = False


KINDS: dict[str, Kind] = {
    "plain": Kind(("0",), ("SUCCESS",)),
    "brief": Kind(("0",), ("SUCCESS",)),
    "waits": Kind(("0",), ("SUCCESS",)),
    "later": Kind(("0",), ("SUCCESS",)),
    "tells": Kind(("0",), ("SUCCESS",)),
    "again": Kind(("0", "1", "2"), ("SUCCESS",)),
    "tired": Kind(("0", "1"), ("FAILURE",)),
    "fails": Kind(("0",), ("FAILURE",)),
    "refuses": Kind(("0",), ("dead",)),
    "returns": Kind(("fresh", "back"), ("SUCCESS",)),
    "ignores": Kind(("0",), ("done",)),
    "early": Kind(("0",), ("SUCCESS",), once=True),
    "early_again": Kind(("0", "1"), ("SUCCESS",), once=True),
}


def open_mill(app: Umbel, diary: Path) -> Umbel:
    """Declare the tasks of every kind on ``app``; they write to ``diary``."""

    def note(task: Task[..., Any], attempt: object = None) -> None:
        request = task.request
        line = f"run {request.id} {request.retries if attempt is None else attempt}\n"
        with diary.open("a") as file:
            file.write(line)

    _simple(app, note)
    _retrying(app, note)
    _odd(app, note)
    return app


Note = Callable[..., None]


def _simple(app: Umbel, note: Note) -> None:
    @app.task(name="mill.plain", bind=True)
    def plain(self: Task[..., Any]) -> str | None:
        note(self)
        return self.request.id

    @app.task(name="mill.brief", bind=True)
    def brief(self: Task[..., Any], seconds: float = 0.01) -> None:
        note(self)
        time.sleep(seconds)

    @app.task(name="mill.waits", bind=True)
    async def waits(self: Task[..., Any]) -> None:
        note(self)
        await asyncio.sleep(0.002)

    @app.task(name="mill.later", bind=True)
    def later(self: Task[..., Any], not_before: float) -> None:
        note(self)
        if app.clock.now() < not_before:
            raise AssertionError("it was started before its time")

    @app.task(name="mill.tells", bind=True)
    def tells(self: Task[..., Any]) -> None:
        note(self)
        self.update_state(state="HALFWAY", meta={"done": 1})

    @app.task(name="mill.early", bind=True, acks_late=False)
    def early(self: Task[..., Any]) -> None:
        note(self)


def _retrying(app: Umbel, note: Note) -> None:
    @app.task(name="mill.again", bind=True, retry=Backoff(first=0.01, times=5, on=(ConnectionError,)))
    def again(self: Task[..., Any]) -> None:
        note(self)
        if self.request.retries < 2:
            raise ConnectionError("not yet")

    @app.task(name="mill.tired", bind=True, retry=Backoff(first=0.01, times=1, on=(ConnectionError,)))
    def tired(self: Task[..., Any]) -> None:
        note(self)
        raise ConnectionError("never")

    @app.task(name="mill.early_again", bind=True, acks_late=False)
    def early_again(self: Task[..., Any]) -> None:
        note(self)
        if self.request.retries < 1:
            raise Retry(countdown=0.01)


def _odd(app: Umbel, note: Note) -> None:
    @app.task(name="mill.fails", bind=True)
    def fails(self: Task[..., Any]) -> None:
        note(self)
        raise ValueError("as told")

    @app.task(name="mill.refuses", bind=True)
    def refuses(self: Task[..., Any]) -> None:
        note(self)
        raise Reject("not for me")

    @app.task(name="mill.returns", bind=True)
    def returns(self: Task[..., Any]) -> None:
        """Reject the message until it comes back."""
        back = self.request.delivery_info["redelivered"]
        note(self, "back" if back else "fresh")
        if not back:
            raise Reject("once more", requeue=True)

    @app.task(name="mill.ignores", bind=True)
    def ignores(self: Task[..., Any]) -> None:
        note(self)
        raise Ignore
