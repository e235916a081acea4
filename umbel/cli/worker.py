"""``umbel worker``: runs the tasks of an app until it is told to stop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from umbel.cli import completing
from umbel.cli.choice import Choice, app_options
from umbel.cli.grammar import Command, option
from umbel.cli.serving import serve
from umbel.cli.values import Seconds, Whole
from umbel.settings.options import OPTIONS

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL")

_WORK = "Work"
_LOG = "Log"
_PROCESS = "Process"


def names(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    """The names in a repeatable option whose values are lists with commas."""
    found = tuple(name.strip() for value in values for name in value.split(",") if name.strip())
    if values and not found:
        raise click.BadParameter("name at least one", ctx=ctx, param=parameter)
    return found


@click.command(
    cls=Command,
    section="Run",
    examples=(
        "umbel worker",
        "umbel -A shop.jobs worker --concurrency 4 --queues mail,reports",
        "umbel worker -n mail@%h -Q mail --pidfile mail.pid --logfile mail.log",
        "umbel worker --set sqlite_synchronous=FULL",
    ),
)
@option(
    "-c",
    "--concurrency",
    type=Whole(1),
    metavar="N",
    section=_WORK,
    help=OPTIONS["worker_concurrency"].doc,
)
@option(
    "-Q",
    "--queues",
    multiple=True,
    metavar="NAME[,NAME…]",
    section=_WORK,
    callback=names,
    shell_complete=completing.queues,
    help="The queues to take tasks from, by default those of task_queues and task_default_queue; repeatable.",
)
@option(
    "-X",
    "--exclude-queues",
    "exclude",
    multiple=True,
    metavar="NAME[,NAME…]",
    section=_WORK,
    callback=names,
    shell_complete=completing.queues,
    help="Queues among those to leave to other workers; repeatable.",
)
@option(
    "-I",
    "--include",
    multiple=True,
    metavar="MODULE[,MODULE…]",
    section=_WORK,
    callback=names,
    help="More modules to import before the start, beside those of imports and include; repeatable.",
)
@option(
    "-P",
    "--pool",
    metavar="POOL",
    shell_complete=completing.setting_values("worker_pool"),
    section=_WORK,
    help=OPTIONS["worker_pool"].doc,
)
@option("--grace", type=Seconds(), section=_WORK, help=OPTIONS["worker_grace"].doc)
@option(
    "-n",
    "--hostname",
    metavar="NAME",
    section=_PROCESS,
    help="The worker's name: %h is the host's name, %n its first part, %d the rest. Default: umbel@%h.",
)
@option(
    "--pidfile",
    type=click.Path(dir_okay=False, path_type=Path),
    section=_PROCESS,
    help="Where to keep the process's number. Another living process's file is refused, a dead one's replaced.",
)
@option(
    "--state-dir",
    type=click.Path(file_okay=False),
    section=_PROCESS,
    help=OPTIONS["worker_state_dir"].doc,
)
@option("-q", "--quiet", is_flag=True, section=_PROCESS, help="Print no banner.")
@option(
    "--reload",
    is_flag=True,
    section=_PROCESS,
    help="Start anew whenever a Python file of the project changes; running tasks get 1 s then, unless --grace.",
)
@option(
    "-l",
    "--loglevel",
    type=click.Choice(LEVELS, case_sensitive=False),
    metavar="LEVEL",
    default="INFO",
    show_default=True,
    section=_LOG,
    help="The least level that is logged: debug, info, warning, error or critical.",
)
@option(
    "-f",
    "--logfile",
    type=click.Path(dir_okay=False, path_type=Path),
    section=_LOG,
    help="The file to log to, in place of standard error; it may be rotated.",
)
@option(
    "--log-format",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    section=_LOG,
    help="Lines for people, or one JSON object a line.",
)
@app_options
@click.pass_obj
def worker(
    choice: Choice,
    /,
    *,
    queues: tuple[str, ...],
    exclude: tuple[str, ...],
    include: tuple[str, ...],
    concurrency: int | None,
    pool: str | None,
    grace: float | None,
    hostname: str | None,
    pidfile: Path | None,
    state_dir: str | None,
    quiet: bool,
    reload: bool,
    **logging: Any,
) -> int:
    """Run tasks until told to stop.

    The first ctrl-C or SIGTERM is warm: running tasks may end, within --grace, and nothing is lost. A second one gives
    them back at once, to be run again.
    """
    return serve(
        choice,
        queues=queues,
        exclude=exclude,
        include=include,
        concurrency=concurrency,
        pool=pool,
        grace=grace,
        hostname=hostname,
        pidfile=pidfile,
        state_dir=state_dir,
        quiet=quiet,
        reload=reload,
        **logging,
    )
