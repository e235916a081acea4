"""``umbel revoke``: takes calls back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

import click

from umbel.cli.choice import Choice, app_options
from umbel.cli.grammar import Command, option
from umbel.cli.result import beginning_hint
from umbel.cli.tables import show_table
from umbel.errors import NoResultBackend
from umbel.model import FINAL_STATES, State

if TYPE_CHECKING:
    from umbel.app import Umbel

_STDIN = "-"


@click.command(
    cls=Command,
    section="Change",
    short_help="Take calls back, and stop those that run if asked.",
    examples=(
        "umbel revoke 0197c1f0-8a3e-7c4b-9d2a-5f6e7a8b9c0d",
        "umbel revoke ID ID --terminate    also where it runs already",
        "umbel revoke --file ids.txt       one id a line",
        "grep -o '^[^ ]*' calls | umbel revoke -",
    ),
)
@click.argument("task_ids", nargs=-1, metavar="[ID]...")
@option("--terminate", is_flag=True, help="Stop those that run, too: their process is killed.")
@option("--file", type=click.File(), help="Take the ids from this file, one a line.")
@option("--json", "as_json", is_flag=True, help="One JSON object a line: id and state.")
@app_options
@click.pass_obj
def revoke(choice: Choice, /, *, task_ids: Sequence[str], terminate: bool, file: TextIO | None, as_json: bool) -> None:
    """Take back the calls of these IDs; - reads them from standard input, one a line.

    What waits is withdrawn, and what a worker holds is not started. What runs goes on, unless --terminate. What has
    ended stays as it ended. An id that nobody has sent yet is remembered for 30 days.
    """
    ids = list(dict.fromkeys(_all(task_ids, file)))
    if not ids:
        raise click.UsageError("name the ids to revoke, or give them with --file, or with - on standard input")
    app = choice.find().app
    app.revoke(ids, terminate=terminate)
    for task_id in ids:
        if hint := beginning_hint(task_id):
            click.echo(f"umbel: {task_id}{hint}", err=True)
    states = [(task_id, _state(app, task_id)) for task_id in ids]
    if as_json:
        for task_id, state in states:
            click.echo(json.dumps({"id": task_id, "state": state}))
    else:
        rows = [(task_id, state, _meaning(state, terminate)) for task_id, state in states]
        show_table(("id", "state", "meaning"), rows)


def _all(task_ids: Iterable[str], file: TextIO | None) -> Iterator[str]:
    for task_id in task_ids:
        if task_id == _STDIN:
            yield from _lines(sys.stdin)
        else:
            yield task_id
    if file is not None:
        yield from _lines(file)


def _lines(file: TextIO) -> Iterator[str]:
    return filter(None, map(str.strip, file))


def _state(app: Umbel, task_id: str) -> str:
    try:
        return str(app.result(task_id).state)
    except NoResultBackend:
        return str(State.PENDING)


def _meaning(state: str, terminate: bool) -> str:
    if state == State.REVOKED:
        return "does not run"
    if state in FINAL_STATES:
        return "had ended before"
    if state == State.STARTED and not terminate:
        return "runs on; --terminate stops it"
    return "workers have been told"
