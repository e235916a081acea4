"""``umbel result``: tells what is known of a task."""

from __future__ import annotations

import re
from typing import Any

import click

from umbel.cli.choice import Choice, app_options
from umbel.cli.failures import FAILED
from umbel.cli.grammar import option
from umbel.cli.outcome import WaitingCommand, as_json_line, await_end, described, waiting_options
from umbel.cli.tables import aligned
from umbel.cli.values import shown

_BEGINNING = re.compile(r"(?=.{8,35}$)[0-9a-f]{8}(-[0-9a-f]{0,12})*")


@click.command(
    cls=WaitingCommand,
    section="Send and ask",
    short_help="Show what became of a task.",
    examples=(
        "umbel result 0197c1f0-8a3e-7c4b-9d2a-5f6e7a8b9c0d",
        "umbel result ID --follow       until it has ended, then what it returned",
        "umbel result ID --traceback",
        "umbel result ID --json | jq .value",
    ),
)
@click.argument("task_id", metavar="ID")
@option("-t", "--traceback", is_flag=True, help="Show the traceback of a task that failed.")
@option("--json", "as_json", is_flag=True, help="One JSON object.")
@waiting_options
@app_options
@click.pass_obj
def result(choice: Choice, /, *, task_id: str, traceback: bool, as_json: bool, wait: float | None, follow: bool) -> int:
    """Show the state and the value of the task ID.

    The exit status is 0 when something is known of it, whether it went well or not, and 1 when nothing is. With --wait
    and --follow what the task returned is printed, and the status is 0 when it went well, 1 when it failed, and 3 when
    it has not ended in time.
    """
    asked = choice.find().app.result(task_id)
    if follow or wait is not None:
        return await_end(choice, asked, wait, follow=follow, as_json=as_json)
    known = asked.record()
    if as_json:
        click.echo(as_json_line(task_id, known))
    if known is None:
        click.echo(
            f"umbel: nothing is known of the task {task_id}: it still waits, or runs without having said so, or its "
            f"result has expired or is not kept, or there never was one{beginning_hint(task_id)}",
            err=True,
        )
        return FAILED
    if not as_json:
        facts = [(name, shown(value)) for name, value in described(known).items() if _worth_a_line(name, value)]
        click.echo(aligned(facts))
        if traceback and known.traceback:
            click.echo(f"\n{known.traceback.rstrip()}")
    return 0


def beginning_hint(task_id: str) -> str:
    """What to add for somebody who gave the beginning of an id, which names no task: empty for a whole one."""
    return "; ids are taken whole, this is the beginning of one" if _BEGINNING.fullmatch(task_id) else ""


def _worth_a_line(name: str, value: Any) -> bool:
    return name not in ("known", "traceback") and (value is not None or name == "value")
