"""``umbel demo``: a page whose buttons start tasks, to see what umbel does."""

from __future__ import annotations

import importlib.util
import os

import click

from umbel.cli.choice import Choice, app_options
from umbel.cli.grammar import Command, option
from umbel.cli.values import Whole
from umbel.errors import MissingExtra


@click.command(
    cls=Command,
    section="Run",
    short_help="Show a page with tasks to watch.",
    examples=("umbel demo --port 8000", "umbel demo --broker redis://localhost"),
)
@option("--port", type=Whole(0, 65535), metavar="PORT", default=0, help="Where the page listens; by default any.")
@option("-b", "--broker", metavar="URL", help="Where messages are kept; by default in a file of its own.")
@app_options
@click.pass_obj
def demo(choice: Choice, /, *, port: int, broker: str | None) -> int:
    """Start a worker and a page, and say where the page is.

    Its buttons start tasks: a report in stages, an import with a bad row, pictures, a task that says nothing, one that
    tries again, one that is slow to cancel. Nothing is configured, no server is needed, and nothing is left behind; on
    a server the results stay for result_expires.
    """
    if choice.spec is not None or choice.settings:
        raise click.UsageError("the demo has an app of its own: leave out -A and --set")
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise MissingExtra("the demo's page", "web")
    if broker is not None:
        os.environ["UMBEL_BROKER_URL"] = broker
    from umbel.contrib.demo.running import run

    return run(port, click.echo)
