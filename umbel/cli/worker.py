"""``umbel worker``: runs the tasks of an app until it is told to stop."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from umbel.cli.choice import Choice, app_options, color_of
from umbel.cli.grammar import Command, option
from umbel.cli.values import Seconds, Whole
from umbel.errors import ConfigurationError
from umbel.settings.options import OPTIONS

if TYPE_CHECKING:
    from umbel.app import Umbel
    from umbel.worker.plan import Plan

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL")
ALLOW_PICKLE = "UMBEL_ALLOW_PICKLE_AS_ROOT"

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
@option("-P", "--pool", metavar="POOL", section=_WORK, help=OPTIONS["worker_pool"].doc)
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
@option("-q", "--quiet", is_flag=True, section=_PROCESS, help="Print no banner.")
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
    quiet: bool,
    **logging: Any,
) -> int:
    """Run tasks until told to stop.

    The first ctrl-C or SIGTERM is warm: running tasks may end, within --grace, and nothing is lost. A second one gives
    them back at once, to be run again.
    """
    from umbel import log
    from umbel.cli import banner
    from umbel.cli import pidfile as pids
    from umbel.worker import run
    from umbel.worker.origin import Origin

    found = choice.find()
    app = found.app
    also_import(app, include)
    with pids.pidfile(pidfile) if pidfile is not None else contextlib.nullcontext():
        app.import_modules()
        log_as = log_arguments(app, color=color_for_log(choice, app), **logging)
        log.setup(**log_as)
        refuse_pickle_as_root(app, os.environ, root=hasattr(os, "geteuid") and os.geteuid() == 0)
        wanted: dict[str, Any] = {
            "queues": queues or None,
            "exclude": exclude,
            "pool": pool,
            "concurrency": concurrency,
            "name": hostname,
            "grace": grace,
            "origin": Origin(found.module, found.attribute),
            "log": log_as,
        }

        def show(plan: Plan) -> None:
            if not quiet:
                banner.show(banner.banner(found, plan, in_container=banner.CONTAINER_MARK.exists()))

        return run(app, **wanted, on_plan=show)


def also_import(app: Umbel, modules: Sequence[str]) -> None:
    """Add modules to those that ``app`` includes, here and in the processes that the worker starts."""
    if modules:
        option = OPTIONS["include"]
        text = os.environ[option.environment_name] = ",".join((*app.conf.include, *modules))
        app.conf.set_from_command_line({option.name: text})


def log_arguments(
    app: Umbel, *, loglevel: str, logfile: Path | None, log_format: str, color: bool | None
) -> dict[str, Any]:
    """The arguments of ``umbel.log.setup``, in the built-in types that reach the runners."""
    return {
        "level": loglevel.upper(),
        "logfile": None if logfile is None else str(logfile.absolute()),
        "format": log_format,
        "color": color,
        "log_format": app.conf.worker_log_format,
        "task_log_format": app.conf.worker_task_log_format,
        "hijack_root": app.conf.worker_hijack_root_logger,
    }


def color_for_log(choice: Choice, app: Umbel) -> bool | None:
    """Whether log lines are coloured: the flag, then the setting, then the environment; None: on a terminal."""
    said = (choice.color, app.conf.worker_log_color, color_of(os.environ))
    return next((color for color in said if color is not None), None)


def refuse_pickle_as_root(app: Umbel, environ: Mapping[str, str], *, root: bool) -> None:
    """Raise ``ConfigurationError`` for a worker of root that accepts pickle, unless the environment allows it."""
    from umbel.serial import content_type_of

    if root and content_type_of("pickle") in app.accept_content and environ.get(ALLOW_PICKLE) != "1":
        raise ConfigurationError(
            "this worker runs as root and accepts pickle, so a message can make root run any code: start it as "
            f"another user, take pickle out of accept_content, or set {ALLOW_PICKLE}=1"
        )
