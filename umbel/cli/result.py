"""``umbel result``: tells what is known of a task."""

from __future__ import annotations

import json
from typing import Any

import click

from umbel.cli.choice import Choice, app_options
from umbel.cli.failures import FAILED
from umbel.cli.grammar import Command, option
from umbel.cli.tables import aligned
from umbel.cli.values import shown
from umbel.model import Record


@click.command(
    cls=Command,
    section="Send and ask",
    short_help="Show what became of a task.",
    examples=(
        "umbel result 0197c1f0-8a3e-7c4b-9d2a-5f6e7a8b9c0d",
        "umbel result ID --traceback",
        "umbel result ID --json | jq .value",
    ),
)
@click.argument("task_id", metavar="ID")
@option("-t", "--traceback", is_flag=True, help="Show the traceback of a task that failed.")
@option("--json", "as_json", is_flag=True, help="One JSON object.")
@app_options
@click.pass_obj
def result(choice: Choice, *, task_id: str, traceback: bool, as_json: bool) -> int:
    """Show the state and the value of the task ID.

    The exit status is 0 when something is known of it, whether it went well or not, and 1 when nothing is.
    """
    known = choice.find().app.result(task_id).record()
    if known is None:
        if as_json:
            click.echo(json.dumps({"id": task_id, "known": False}))
        click.echo(
            f"umbel: nothing is known of the task {task_id}: it still waits, or runs without having said so, or its "
            "result has expired or is not kept, or there never was one",
            err=True,
        )
        return FAILED
    if as_json:
        click.echo(json.dumps(described(known), ensure_ascii=False, default=shown))
        return 0
    click.echo(
        aligned([(name, shown(value)) for name, value in described(known).items() if _worth_a_line(name, value)])
    )
    if traceback and known.traceback:
        click.echo(f"\n{known.traceback.rstrip()}")
    return 0


def described(known: Record) -> dict[str, Any]:
    """What is known, by name."""
    done = known.date_done
    return {
        "id": known.id,
        "known": True,
        "state": str(known.state),
        "value": known.value,
        "task": known.name,
        "queue": known.queue,
        "worker": known.worker,
        "retries": known.retries,
        "done": None if done is None else done.isoformat(),
        "traceback": known.traceback,
    }


def _worth_a_line(name: str, value: Any) -> bool:
    return name not in ("known", "traceback") and (value is not None or name == "value")
