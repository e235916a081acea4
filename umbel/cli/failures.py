"""Says on standard error why a command failed: one line where umbel knows the reason, a traceback where it does not."""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import click

import umbel.errors
from umbel.errors import UmbelError

FAILED = 1
MISUSED = 2

_MACHINERY = tuple(f"{Path(module.__file__).parent}{os.sep}" for module in (umbel.errors, click) if module.__file__)
_INSTALLED = ("site-packages", "dist-packages")


def explain(error: Exception) -> int:
    """Write what went wrong; gives the exit status.

    An error of umbel's own is told by its message, with the place in the user's code where it arose, if it arose there.
    Of an error in the user's code the user's part of the traceback is shown, of any other all of it.
    """
    if isinstance(error, click.UsageError):
        _say(error.format_message())
        if error.ctx is not None:
            click.echo(f"Try '{error.ctx.command_path} --help'.", err=True)
        return MISUSED
    if isinstance(error, click.ClickException):
        _say(error.format_message())
        return error.exit_code
    if isinstance(error, UmbelError):
        place = _place(error)
        _say(str(error) + (f"\n  at {place}" if place else ""))
        return FAILED
    begin = _first_foreign(error.__traceback__)
    if begin is not None or _is_foreign_syntax_error(error):
        click.echo("".join(traceback.format_exception(type(error), error, begin)).rstrip(), err=True)
        return FAILED
    click.echo("".join(traceback.format_exception(error)).rstrip(), err=True)
    _say("this is a mistake in umbel itself; please report it, with the lines above and what 'umbel report' prints")
    return FAILED


def _say(text: str) -> None:
    click.echo(f"umbel: error: {text}", err=True)


def _place(error: BaseException) -> str | None:
    """The last line of the user's own code that the error came through: ``path, line n``."""
    place = None
    for step in _steps(error.__traceback__):
        path = step.tb_frame.f_code.co_filename
        if not _is_machinery(path) and not any(part in _INSTALLED for part in Path(path).parts):
            place = f"{path}, line {step.tb_lineno}"
    return place


def _first_foreign(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame on that is neither umbel's nor Python's."""
    return next((step for step in _steps(trace) if not _is_machinery(step.tb_frame.f_code.co_filename)), None)


def _is_foreign_syntax_error(error: Exception) -> bool:
    """A module that cannot be compiled has no frame of its own."""
    return isinstance(error, SyntaxError) and error.filename is not None and not _is_machinery(error.filename)


def _steps(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _is_machinery(path: str) -> bool:
    if path.startswith("<") or path.startswith(_MACHINERY):
        return True
    inside_python = path.startswith((sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")))
    return inside_python and not any(part in _INSTALLED for part in Path(path).parts)
