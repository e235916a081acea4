"""``umbel list``: shows the tasks that are registered, and what waits in queues."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import click

from umbel.cli.asking import waiting
from umbel.cli.choice import Choice, app_options
from umbel.cli.grammar import Group, option
from umbel.cli.tables import show_table
from umbel.cli.worker import names

if TYPE_CHECKING:
    from umbel.task import Task


@click.group(
    cls=Group,
    name="list",
    section="Look",
    no_args_is_help=False,
    examples=("umbel list tasks", "umbel -A shop.jobs list queues"),
)
def listing() -> None:
    """Show tasks or queues."""


@listing.command(examples=("umbel list tasks", "umbel list tasks -A shop.jobs"))
@app_options
@click.pass_obj
def tasks(choice: Choice) -> None:
    """Show the registered tasks, with what they take and their queue."""
    app = choice.load().app
    rows = [(name, _signature(task), task.queue or app.conf.task_default_queue) for name, task in app.tasks.items()]
    if not rows:
        click.echo("No task is registered; is the module that defines them imported (settings imports, include)?")
        return
    show_table(("task", "arguments", "queue"), sorted(rows))


@listing.command(examples=("umbel list queues", "umbel list queues -Q mail,reports"))
@option(
    "-Q",
    "--queues",
    "chosen",
    multiple=True,
    metavar="NAME[,NAME…]",
    callback=names,
    help="These queues; by default those of the registered tasks and of task_default_queue; repeatable.",
)
@app_options
@click.pass_obj
def queues(choice: Choice, *, chosen: tuple[str, ...]) -> None:
    """Show how many messages wait in queues: ready ones and those not yet due."""
    app = choice.load().app
    own = {app.conf.task_default_queue, *(task.queue for task in app.tasks.values() if task.queue)}
    sizes = waiting(app.broker, sorted(set(chosen) or own))
    show_table(("queue", "waiting"), [(name, str(size)) for name, size in sizes.items()])


def _signature(task: Task[..., Any]) -> str:
    try:
        return str(inspect.signature(task.run))
    except (TypeError, ValueError):
        return "(...)"
