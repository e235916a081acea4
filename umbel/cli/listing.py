"""``umbel list``: shows the tasks that are registered, and what waits in queues."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import click

from umbel.cli import completing
from umbel.cli.asking import ask, named_queues, queue_of, waiting
from umbel.cli.choice import Choice, app_options
from umbel.cli.grammar import Group, option
from umbel.cli.tables import show_table
from umbel.cli.worker import names as names_of
from umbel.ports import ListsQueues, QueueSize

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


@listing.command(examples=("umbel list tasks", "umbel list tasks -A shop.jobs --json"))
@option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@app_options
@click.pass_obj
def tasks(choice: Choice, /, *, as_json: bool) -> None:
    """Show the registered tasks, with what they take and their queue."""
    app = choice.load().app
    rows = [(name, _signature(task), queue_of(task) or "as routed") for name, task in app.tasks.items()]
    if as_json:
        for name, arguments, queue in sorted(rows):
            click.echo(json.dumps({"task": name, "arguments": arguments, "queue": queue}, ensure_ascii=False))
        return
    if not rows:
        click.echo("No task is registered; is the module that defines them imported (settings imports, include)?")
        return
    show_table(("task", "arguments", "queue"), sorted(rows))


@listing.command(
    short_help="Show how many messages are in queues.",
    examples=("umbel list queues", "umbel list queues -Q mail,reports --json"),
)
@option(
    "-Q",
    "--queues",
    "chosen",
    multiple=True,
    metavar="NAME[,NAME…]",
    callback=names_of,
    shell_complete=completing.queues,
    help="These queues; by default all that hold something, and those that the app names; repeatable.",
)
@option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@app_options
@click.pass_obj
def queues(choice: Choice, /, *, chosen: tuple[str, ...], as_json: bool) -> None:
    """Show how many messages are in queues: ready, delayed (not yet due), and claimed by a worker.

    Of a broker that cannot tell them apart, what waits is shown, in the queues that the app names.
    """
    app = choice.load().app
    names = set(chosen) or named_queues(app)
    broker = app.broker
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    if isinstance(broker, ListsQueues):
        found = {size.name: size for size in ask(broker, lambda _: broker.queues())}
        shown = [found.get(name, QueueSize(name, 0, 0, 0)) for name in sorted(names if chosen else {*names, *found})]
        headings, rows = QueueSize._fields[1:], [(size.name, *map(str, size[1:])) for size in shown]
    else:
        headings, rows = ("waiting",), [(name, str(size)) for name, size in waiting(broker, sorted(names)).items()]
    if not as_json:
        show_table(("queue", *headings), rows)
        return
    for name, *counts in rows:
        click.echo(json.dumps({"queue": name} | dict(zip(headings, map(int, counts), strict=True))))


def _signature(task: Task[..., Any]) -> str:
    try:
        return str(inspect.signature(task.run))
    except (TypeError, ValueError):
        return "(...)"
