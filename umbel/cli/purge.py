"""``umbel purge``: drops what waits in queues."""

from __future__ import annotations

import sys

import click

from umbel.cli import completing
from umbel.cli.asking import ask, waiting
from umbel.cli.choice import Choice, app_options
from umbel.cli.grammar import Command, option
from umbel.cli.worker import names
from umbel.ports import Broker


@click.command(
    cls=Command,
    section="Change",
    examples=("umbel purge", "umbel purge --queues mail,reports --force"),
)
@option(
    "-Q",
    "--queues",
    multiple=True,
    metavar="NAME[,NAME…]",
    callback=names,
    shell_complete=completing.queues,
    help="The queues, by default the one of task_default_queue; repeatable.",
)
@option("-f", "--force", is_flag=True, help="Do not ask.")
@app_options
@click.pass_obj
def purge(choice: Choice, *, queues: tuple[str, ...], force: bool) -> int:
    """Drop the messages that wait in queues.

    Tasks that run already go on. The exit status is 1 when the question is answered with no.
    """
    app = choice.find().app
    chosen = list(dict.fromkeys(queues or (app.conf.task_default_queue,)))
    listed = ", ".join(chosen)
    if not force:
        count = sum(waiting(app.broker, chosen).values())
        if not count:
            click.echo(f"Nothing waits in {listed}.")
            return 0
        if not confirmed(f"Drop {_messages(count)} from {listed}, for good?"):
            click.echo("Nothing was dropped.", err=True)
            return 1

    async def drop(broker: Broker) -> int:
        return sum([await broker.purge(queue) for queue in chosen])

    click.echo(f"Dropped {_messages(ask(app.broker, drop))} from {listed}.")
    return 0


def confirmed(question: str, done: str = "dropped") -> bool:
    """Ask on standard error, take the answer from standard input; only a yes is one. ``done``: what a yes brings about.

    Raises ``click.ClickException`` when standard input ends without an answer.
    """
    click.echo(f"{question} [y/N] ", nl=False, err=True)
    answer = sys.stdin.readline() if sys.stdin is not None else ""
    if not answer:
        click.echo(err=True)
        raise click.ClickException(f"there was nobody to answer, so nothing was {done}; --force asks nothing")
    return answer.strip().lower() in ("y", "yes")


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"
