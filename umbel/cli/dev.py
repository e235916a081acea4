"""``umbel dev``: a worker for somebody who is writing the tasks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from umbel.cli import completing
from umbel.cli.choice import Choice, app_options
from umbel.cli.config import DEFAULT
from umbel.cli.grammar import Command, option
from umbel.cli.serving import serve
from umbel.cli.values import Whole
from umbel.cli.worker import LEVELS, names
from umbel.errors import ConfigurationError

if TYPE_CHECKING:
    from umbel.app import Umbel


@click.command(
    cls=Command,
    section="Run",
    short_help="Run a worker for development.",
    examples=("umbel dev", "umbel -A shop.jobs dev", "umbel dev --pool processes -c 4"),
)
@option(
    "-P",
    "--pool",
    metavar="POOL",
    shell_complete=completing.setting_values("worker_pool"),
    help="As of 'umbel worker'; by default solo, where debuggers work.",
)
@option("-c", "--concurrency", type=Whole(1), metavar="N", help="How many tasks run at once; in solo, one.")
@option(
    "-Q",
    "--queues",
    multiple=True,
    metavar="NAME[,NAME…]",
    callback=names,
    shell_complete=completing.queues,
    help="The queues to take tasks from, by default the one of task_default_queue; repeatable.",
)
@option(
    "-l",
    "--loglevel",
    type=click.Choice(LEVELS, case_sensitive=False),
    metavar="LEVEL",
    default="DEBUG",
    show_default=True,
    help="The least level that is logged.",
)
@app_options
@click.pass_obj
def dev(choice: Choice, /, *, pool: str | None, concurrency: int | None, queues: tuple[str, ...], loglevel: str) -> int:
    """Run tasks, and start anew whenever a Python file of the project changes.

    A file that cannot be imported shows its traceback, and the next change is waited for. Without further ado it works
    on an SQLite file in the project: no server is needed. A task that runs when the code changes gets a second, then
    it is run again by the new code.
    """
    logging.getLogger("asyncio").setLevel(logging.INFO)  # what it says below that is not about anybody's tasks
    return serve(
        choice,
        pool=pool or (suitable_pool if concurrency in (None, 1) else None),
        concurrency=concurrency,
        queues=queues,
        loglevel=loglevel,
        logfile=None,
        log_format="text",
        grace=None,
        hostname=None,
        pidfile=None,
        quiet=False,
        reload=True,
    )


def suitable_pool(app: Umbel) -> str | None:
    """``solo``, unless a pool is set or a task has a hard time limit, which solo cannot keep."""
    from umbel.worker.plan import plan_for

    if any(name == "worker_pool" and origin != DEFAULT for name, _, origin in app.conf.table()):
        return None
    try:
        plan_for(app, pool="solo")
    except ConfigurationError:
        return None
    return "solo"
