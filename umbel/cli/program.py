"""The program: every command, and how it is begun and ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from umbel._version import __version__
from umbel.cli.call import call
from umbel.cli.choice import Choice, app_options, color_of
from umbel.cli.completion import PROGRAM, answer, completion
from umbel.cli.config import config
from umbel.cli.dead import dead
from umbel.cli.demo import demo
from umbel.cli.dev import dev
from umbel.cli.failures import explain
from umbel.cli.grammar import Group
from umbel.cli.listing import listing
from umbel.cli.purge import purge
from umbel.cli.report import report
from umbel.cli.result import result
from umbel.cli.revoke import revoke
from umbel.cli.shell import shell
from umbel.cli.worker import worker


@click.group(
    cls=Group,
    name=PROGRAM,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    examples=(
        "umbel worker                       a worker for the app in tasks.py",
        "umbel -A shop.jobs worker -c 4     four tasks at once, app in shop/jobs.py",
        "umbel call tasks.add 4 4 --wait    run a task, print what it returns",
        "umbel COMMAND --help               what a command takes, with examples",
    ),
)
@app_options
@click.version_option(__version__, message="umbel %(version)s")
@click.pass_context
def program(context: click.Context) -> None:
    """Run the tasks of an app, send calls, and see what became of them.

    The options below may stand before the command or after it.
    """
    if context.invoked_subcommand is not None:
        return
    if len(context.args) or context.obj != Choice():
        context.fail(f"say what to do: {', '.join(program.commands)}")
    click.echo(context.get_help())


for command in (worker, dev, demo, shell, call, result, listing, dead, config, report, completion, revoke, purge):
    program.add_command(command)


def start(arguments: Sequence[str]) -> int:
    """Run one command, or answer a shell that completes one, and give the exit status; errors go to standard error.

    Raises ``KeyboardInterrupt`` after ctrl-C and ``BrokenPipeError`` when nobody reads the output.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # what the terminal's encoding lacks is spelled, not fatal
    answered = answer(program, os.environ)
    if answered is not None:
        return answered
    try:
        with program.make_context(PROGRAM, list(arguments), obj=Choice(), color=color_of(os.environ)) as context:
            status: int | None = program.invoke(context)
        return status or 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  the last firewall: whatever happened is told, with its traceback
        return explain(error)
