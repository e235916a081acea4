"""``umbel call``: sends one call of a task, and waits for it if asked to."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from umbel.call import NO_OPTIONS
from umbel.cli import completing
from umbel.cli.asking import waiting
from umbel.cli.choice import Choice, app_options
from umbel.cli.grammar import option
from umbel.cli.outcome import NUMBER, WaitingCommand, await_end, waiting_options
from umbel.cli.values import JsonOf, Moment, Seconds, SecondsOrMoment, Whole, lenient
from umbel.errors import UmbelError

if TYPE_CHECKING:
    from umbel.app import Umbel

_ARGUMENTS = "Arguments"
_SENDING = "Sending"


class CallCommand(WaitingCommand):
    """A command whose arguments may be negative numbers."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = args[: args.index("--")] if "--" in args else list(args)
        rest = super().parse_args(ctx, args)
        for value in ctx.params["values"]:
            if value.startswith("-") and value in options and not NUMBER.fullmatch(value):
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
        "umbel call tasks.add 4 4 --wait 10    at most 10 seconds",
        "umbel call tasks.add 4 4 --follow     and show how it stands",
        "umbel call tasks.shout -- --loud      a text that looks like an option",
    ),
)
@click.argument("name", shell_complete=completing.tasks)
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
@option("--queue", shell_complete=completing.queues, section=_SENDING, help="The queue; by default the task's own.")
@option("--priority", type=Whole(0, 9), metavar="0-9", section=_SENDING, help="0 to 9, higher is sooner.")
@option("--serializer", section=_SENDING, help="How the arguments are written, such as json.")
@option("--task-id", section=_SENDING, help="The id; by default a new one.")
@option("--json", "as_json", is_flag=True, help="One JSON object: the id, and with --wait what came of it.")
@waiting_options
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
    follow: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Send a call of the task NAME and print its id.

    Each ARGUMENT is read as JSON; what is not JSON is a text. With --wait and --follow the id goes to standard error
    and what the task returned to standard output; the exit status is 1, with the traceback on standard error, when it
    failed, and 3 when it has not ended in time. Ctrl-C ends the waiting, not the task.
    """
    if arguments is not None and values:
        raise click.UsageError("give the arguments after the name or with --args, not both")
    app = choice.load().app
    if follow or wait is not None:
        from umbel import bridge

        bridge.get()  # before the id is shown: a ctrl-C in the middle of an import may get lost in it
    given = arguments if arguments is not None else [lenient(value) for value in values]
    said = {option: _aware(value, app) for option, value in options.items() if value is not None}
    name = _whole(app, name)
    try:
        result = app.send_task(name, given, keywords or {}, **said)
    except TypeError as error:
        if isinstance(error, UmbelError):
            raise
        raise UmbelError(f"nothing was sent, the arguments do not fit {name}: {error}") from error
    if not follow and wait is None:
        click.echo(json.dumps({"id": result.id}) if as_json else result.id)
        return 0
    click.echo(result.id, err=True)

    def standing() -> str:
        queue = _queue_of(app, name, given, keywords or {}, said)
        before = waiting(app.broker, [queue])[queue]
        return f"{before} waiting in the queue {queue!r}" if before else "a worker has it"

    return await_end(choice, result, wait, follow=follow, as_json=as_json, waiting=standing)


def _queue_of(app: Umbel, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], said: dict[str, Any]) -> str:
    """The queue that such a call goes to."""
    options, known = NO_OPTIONS.with_(**said), app.tasks.get(name)
    return app.publisher.prepare(name, args, kwargs, known.resolved(options) if known else options)[0].queue


def _aware(value: Any, app: Umbel) -> Any:
    """A time that names no zone is in the app's."""
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=app.timezone)
    return value


def _whole(app: Umbel, name: str) -> str:
    """The name of the task that is meant: a last part that only one task has will do.

    A task of another project may be called by its name alone; a slip of the keyboard should be seen.
    """
    if name in app.tasks:
        return name
    meant = [known for known in app.tasks if known.rpartition(".")[2] == name]
    if len(meant) > 1:
        raise UmbelError(f"nothing was sent, {name} may be any of these: {', '.join(sorted(meant))}")
    if meant:
        return meant[0]
    near = difflib.get_close_matches(name, app.tasks, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    click.echo(f"umbel: no task {name!r} is registered here{hint}; it is sent all the same", err=True)
    return name
