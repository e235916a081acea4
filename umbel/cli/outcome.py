"""Shows what becomes of a task: waits for its end if asked to, with a live line, and tells how it went."""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from umbel.cli.choice import Choice
from umbel.cli.failures import FAILED
from umbel.cli.grammar import Command, option
from umbel.cli.values import Seconds, shown
from umbel.errors import TimeoutError
from umbel.model import FINAL_STATES, Record, State
from umbel.progress.telling import Teller, has_progress

if TYPE_CHECKING:
    from umbel.result import AsyncResult

F = TypeVar("F", bound=Callable[..., Any])

NOT_YET = 3
"""The exit status when the time is over and the task has not ended."""

FOR_EVER = "for-ever"
NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")

_GLANCE = 0.25
"""Seconds between two looks at a task that is followed; its end is noticed at once."""


class Patience(Seconds):
    """A number of seconds, or the word for no limit."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return math.inf if value == FOR_EVER else super().convert(value, param, ctx)


class WaitingCommand(Command):
    """A command whose --wait may go without a value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        options = args[:end]
        for place, word in enumerate(options):
            follows = options[place + 1] if place + 1 < end else ""
            if word == "--wait" and not NUMBER.fullmatch(follows):
                options[place] = f"--wait={FOR_EVER}"
        return super().parse_args(ctx, [*options, *args[end:]])


def waiting_options(command: F) -> F:
    """Add the options that say how long to wait for the end, and how."""
    section = "Waiting"
    command = option(
        "--follow",
        is_flag=True,
        section=section,
        help="Wait, and show how the task stands until then.",
    )(command)
    return option(
        "--wait",
        type=Patience(),
        metavar="[SECONDS]",
        section=section,
        help="Wait for the end, at most so many seconds if given, and print what the task returned.",
    )(command)


def await_end(
    choice: Choice,
    result: AsyncResult[Any],
    patience: float | None,
    *,
    follow: bool,
    as_json: bool,
    waiting: Callable[[], str] | None = None,
) -> int:
    """Print the value when the task has ended, or its traceback on standard error; gives the exit status.

    ``patience`` is in seconds, None and infinity have no limit. ``follow``: standard error shows how the task stands;
    ``waiting`` gives what there is to say of one that waits. Raises ``KeyboardInterrupt`` after ctrl-C, when it has
    said how to look again.
    """
    limit = math.inf if patience is None else patience
    again = shlex.join(["umbel", *(["-A", choice.spec] if choice.spec else []), "result", result.id])
    try:
        ended = _follow(result, limit, waiting) if follow else _wait(result, limit)
    except KeyboardInterrupt:
        click.echo(f"umbel: the task goes on; to look again: {again} --follow", err=True)
        raise
    known = result.record()
    if as_json:
        click.echo(as_json_line(result.id, known))
    if not ended or known is None:
        click.echo(f"umbel: it has not ended within {limit:g} s and goes on; to look again: {again}", err=True)
        return NOT_YET
    good = known.state == State.SUCCESS
    if good and not as_json:
        click.echo(shown(known.value))
    elif not as_json:
        click.echo((known.traceback or f"{known.state} {shown(known.value)}").rstrip(), err=True)
    return 0 if good else FAILED


def described(known: Record) -> dict[str, Any]:
    """What is known, by name."""
    done = known.date_done
    return {
        "id": known.id,
        "known": True,
        "state": str(known.state),
        "value": known.value,
        "task": known.name,
        "queue": known.queue,
        "worker": known.worker,
        "retries": known.retries,
        "done": None if done is None else done.isoformat(),
        "traceback": known.traceback,
    }


def as_json_line(task_id: str, known: Record | None) -> str:
    """What is known as a JSON object; of an unknown task its id."""
    facts = {"id": task_id, "known": False} if known is None else described(known)
    return json.dumps(facts, ensure_ascii=False, default=shown)


def _wait(result: AsyncResult[Any], limit: float) -> bool:
    try:
        result.get(None if limit == math.inf else limit, propagate=False)
    except TimeoutError:
        return False
    return True


def _follow(result: AsyncResult[Any], limit: float, waiting: Callable[[], str] | None) -> bool:
    """Whether the task ended within ``limit`` seconds; meanwhile standard error shows how it stands."""
    deadline = time.monotonic() + limit
    line = LiveLine(waiting)
    try:
        while True:
            line.show(result)
            if _wait(result, max(0.0, min(_GLANCE, deadline - time.monotonic()))):
                return True
            if time.monotonic() >= deadline:
                return False
    finally:
        line.close()


class LiveLine:
    """One line that is written over and over on a terminal; elsewhere one line for each change of state."""

    def __init__(self, waiting: Callable[[], str] | None) -> None:
        self._waiting = waiting
        self._live = sys.stderr is not None and sys.stderr.isatty()
        self._shown = ""
        self._state = ""
        self._since = 0.0
        self._told: Teller | None = None
        """What shows the progress of a task that says something of it."""

    def show(self, result: AsyncResult[Any]) -> None:
        """Say how the task stands."""
        known = result.record()
        if known is not None and known.state in FINAL_STATES:
            return  # its end is told by whoever waits for it
        snap = result.progress
        if has_progress(snap):
            self.clear()
            self._told = self._told or Teller()
            self._told.show(snap)
            return
        if self._told is not None and snap.final:
            return
        state = str(State.PENDING if known is None else known.state)
        changed = state != self._state
        if changed:
            self._state, self._since = state, time.monotonic()
        if not self._live:
            if changed:
                click.echo(state, err=True)
            return
        parts = (f"{state} for {duration(time.monotonic() - self._since)}", *self._more(known))
        told, width = ", ".join(parts), shutil.get_terminal_size().columns - 1
        told = told if len(told) <= width else f"{told[: width - 1]}…"
        if told != self._shown:
            click.echo(f"\r{told}\x1b[K", nl=False, err=True, color=True)
            self._shown = told

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True, color=True)
            self._shown = ""

    def close(self) -> None:
        """Take away all that is shown."""
        self.clear()
        if self._told is not None:
            self._told.close()

    def _more(self, known: Record | None) -> Iterator[str]:
        if known is None:
            if self._waiting is not None:
                yield self._waiting()
            return
        if known.worker:
            yield f"on {known.worker}"
        if known.value is not None:
            yield shown(known.value)


def duration(seconds: float) -> str:
    """Seconds, then minutes and hours too: 7 s, 2:07 min, 1:02:07 h."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"
