"""``umbel call``: sends one call of a task, and waits for it if asked to."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from umbel.cli.choice import Choice, app_options
from umbel.cli.grammar import Command, option
from umbel.cli.values import JsonOf, Moment, Seconds, SecondsOrMoment, lenient, shown
from umbel.errors import UmbelError

if TYPE_CHECKING:
    from umbel.app import Umbel
    from umbel.result import AsyncResult

FOR_EVER = "for-ever"

_NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_ARGUMENTS = "Arguments"
_SENDING = "Sending"


class Patience(Seconds):
    """A number of seconds, or the word for no limit."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return math.inf if value == FOR_EVER else super().convert(value, param, ctx)


class CallCommand(Command):
    """A command whose arguments may be negative numbers, and whose --wait may go without a value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        options = args[:end]
        for place, word in enumerate(options):
            follows = options[place + 1] if place + 1 < end else ""
            if word == "--wait" and not _NUMBER.fullmatch(follows):
                options[place] = f"--wait={FOR_EVER}"
        rest = super().parse_args(ctx, [*options, *args[end:]])
        for value in ctx.params["values"]:
            if value.startswith("-") and value in options and not _NUMBER.fullmatch(value):
                known = [name for parameter in self.get_params(ctx) for name in parameter.opts]
                near = difflib.get_close_matches(value.partition("=")[0], known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"as an argument of the task: -- {value}"
                ctx.fail(f"there is no option {value}; {hint}")
        return rest


@click.command(
    cls=CallCommand,
    section="Send and ask",
    short_help="Send a call of a task.",
    context_settings={"ignore_unknown_options": True},  # negative numbers look like options; the others are refused
    examples=(
        "umbel call tasks.add 4 4",
        "umbel call tasks.add --args '[4, 4]' --wait",
        "umbel call tasks.mail --kwargs '{\"user\": 7}' --countdown 60 --queue mail",
        "umbel call tasks.add 4 4 --wait 10         at most 10 seconds",
        "umbel call tasks.shout -- --loud           a text that looks like an option",
    ),
)
@click.argument("name")
@click.argument("values", nargs=-1, metavar="[ARGUMENT]...")
@option(
    "-a",
    "--args",
    "arguments",
    type=JsonOf(list, "list", "--args '[4, 4]'"),
    metavar="JSON",
    section=_ARGUMENTS,
    help="The positional arguments, as a JSON list.",
)
@option(
    "-k",
    "--kwargs",
    "keywords",
    type=JsonOf(dict, "object", "--kwargs '{\"x\": 4}'"),
    metavar="JSON",
    section=_ARGUMENTS,
    help="The keyword arguments, as a JSON object.",
)
@option("--countdown", type=Seconds(), section=_SENDING, help="Start it so many seconds from now, not before.")
@option("--eta", type=Moment(), section=_SENDING, help="Start it at this time (ISO 8601), not before.")
@option("--expires", type=SecondsOrMoment(), section=_SENDING, help="Do not start it later than this.")
@option("--queue", section=_SENDING, help="The queue; by default the task's own.")
@option("--priority", type=click.IntRange(0, 9), metavar="0-9", section=_SENDING, help="0 to 9, higher is sooner.")
@option("--serializer", section=_SENDING, help="How the arguments are written, such as json.")
@option("--task-id", section=_SENDING, help="The id; by default a new one.")
@option(
    "--wait",
    type=Patience(),
    metavar="[SECONDS]",
    section="Waiting",
    help="Wait for the end, at most so many seconds if given, and print what the task returned.",
)
@app_options
@click.pass_obj
def call(
    choice: Choice,
    /,
    *,
    name: str,
    values: Sequence[str],
    arguments: list[Any] | None,
    keywords: dict[str, Any] | None,
    wait: float | None,
    **options: Any,
) -> int:
    """Send a call of the task NAME and print its id.

    Each ARGUMENT is read as JSON; what is not JSON is a text. With --wait the id goes to standard error and what the
    task returned to standard output; the exit status is 1, with the traceback on standard error, when it failed.
    """
    if arguments is not None and values:
        raise click.UsageError("give the arguments after the name or with --args, not both")
    app = choice.load().app
    given = arguments if arguments is not None else [lenient(value) for value in values]
    said = {option: value for option, value in options.items() if value is not None}
    _mention_unknown(app, name)
    try:
        result = app.send_task(name, given, keywords or {}, **said)
    except TypeError as error:
        if isinstance(error, UmbelError):
            raise
        raise UmbelError(f"nothing was sent, the arguments do not fit {name}: {error}") from error
    click.echo(result.id, err=wait is not None)
    return 0 if wait is None else await_end(result, None if wait == math.inf else wait)


def await_end(result: AsyncResult[Any], timeout: float | None) -> int:
    """Print the value when the task has ended, or its traceback on standard error; gives the exit status."""
    value = result.get(timeout, propagate=False)
    if result.successful():
        click.echo(shown(value))
        return 0
    click.echo((result.traceback or f"{result.state} {shown(value)}").rstrip(), err=True)
    return 1


def _mention_unknown(app: Umbel, name: str) -> None:
    """A task of another project may be called by its name alone; a slip of the keyboard should be seen."""
    if name in app.tasks:
        return
    near = difflib.get_close_matches(name, app.tasks, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    click.echo(f"umbel: no task {name!r} is registered here{hint}; it is sent all the same", err=True)
