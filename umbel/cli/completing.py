"""What may stand at a place of a command line: tasks, queues and settings, for a shell that completes."""

from __future__ import annotations

import contextlib
import io
import re
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from umbel.cli.asking import named_queues

if TYPE_CHECKING:
    from umbel.app import Umbel

_PATIENCE = 1.5
"""Seconds within which the app must be imported; somebody has pressed a key and waits."""


class _TooLate(BaseException):
    """The time for a completion is over; no ``Exception``, so that the app's module cannot take it for one of its."""


def tasks(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """The names of the app's tasks that begin with what is typed."""
    return _fitting(typed, _of_app(ctx, lambda app: app.tasks))


def queues(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """The queues that the app names; after a comma the next one."""
    before, comma, last = typed.rpartition(",")
    return [CompletionItem(f"{before}{comma}{item.value}") for item in _fitting(last, _of_app(ctx, named_queues))]


def settings(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """The names of settings, each with the sign that its value follows."""
    from umbel.settings.options import OPTIONS

    return _fitting(typed, (f"{name}=" for name in OPTIONS))


def setting_values(name: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """A completion with the words that a setting takes: those that its error would name."""

    def complete(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        from umbel.settings.options import OPTIONS

        return _fitting(typed, re.findall("'([^']+)'", OPTIONS[name].kind.expects))

    return complete


def _fitting(typed: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in sorted(names) if name.startswith(typed)]


def _of_app(ctx: click.Context, what: Callable[[Umbel], Iterable[str]]) -> list[str]:
    """What the app has of something; nothing when there is no app, it fails, or it takes too long."""
    try:
        with _in_time(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return list(what(ctx.obj.load().app))
    except (Exception, SystemExit, _TooLate):  # noqa: BLE001  whatever it is, there is nothing to complete with
        return []


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    """Raise ``_TooLate`` in the block when the time is over; where there is no alarm clock, never."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number: int, frame: object) -> None:
        raise _TooLate

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
