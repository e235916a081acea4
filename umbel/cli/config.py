"""``umbel config``: shows every setting and where its value comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from umbel.cli.choice import Choice, app_options
from umbel.cli.grammar import Command, option
from umbel.cli.tables import show_table
from umbel.settings.options import OPTIONS

if TYPE_CHECKING:
    from umbel.settings.loader import Settings

DEFAULT = "default"
"""The origin of a setting that nobody set."""


@click.command(
    cls=Command,
    section="Look",
    short_help="Show every setting and where it comes from.",
    examples=("umbel config", "umbel config --changed", "umbel -A shop.jobs config --json | jq .broker_url.value"),
)
@option("--changed", is_flag=True, help="Only the settings that are not at their default.")
@option("--json", "as_json", is_flag=True, help="One JSON object: name, then value and origin.")
@app_options
@click.pass_obj
def config(choice: Choice, *, changed: bool, as_json: bool) -> None:
    """Show every setting: its value, passwords masked, and where it comes from."""
    conf = choice.find().app.conf
    rows = [row for row in conf.table() if not changed or row[2] != DEFAULT]
    if as_json:
        table = {name: {"value": _plain(conf, name, text), "origin": origin} for name, text, origin in rows}
        click.echo(json.dumps(table, indent=2, ensure_ascii=False))
    elif rows:
        show_table(("setting", "value", "origin"), rows, breaking=1)
    else:
        click.echo("Every setting is at its default.")


def _plain(conf: Settings, name: str, text: str) -> Any:
    """The value as JSON has it; ``text``, in which secrets are masked, for all that may hold one."""
    value = conf[name]
    option = OPTIONS[name]
    if option.secret or not isinstance(value, (bool, int, float, tuple, type(None))):
        return text
    return value
