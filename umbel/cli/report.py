"""``umbel report``: what a bug report has to say of an installation."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from typing import TYPE_CHECKING

import click

from umbel._version import __version__
from umbel.cli.choice import Choice, app_options
from umbel.cli.config import DEFAULT
from umbel.cli.grammar import Command, option
from umbel.cli.tables import aligned
from umbel.cli.values import shown
from umbel.errors import UmbelError

if TYPE_CHECKING:
    from umbel.app import Umbel

PACKAGES = ("click", "rich", "msgpack", "PyYAML", "brotli", "zstandard", "cryptography")
"""What umbel itself may bring, with and without extras."""


@click.command(
    cls=Command,
    section="Look",
    short_help="Show versions and changed settings.",
    examples=("umbel report", "umbel -A shop.jobs report --json"),
)
@option("--json", "as_json", is_flag=True, help="One JSON object.")
@app_options
@click.pass_obj
def report(choice: Choice, /, *, as_json: bool) -> None:
    """Show versions and changed settings, passwords masked: paste it into a bug report."""
    facts = [*_versions(), *_packages(), *_app(choice)]
    if as_json:
        click.echo(json.dumps({name.strip(): text for name, text in facts}, ensure_ascii=False))
    else:
        click.echo(aligned(facts))


def _versions() -> list[tuple[str, str]]:
    import sqlite3

    return [
        ("umbel", f"{__version__} ({os.path.dirname(os.path.dirname(__file__))})"),
        ("python", f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})"),
        ("platform", platform.platform()),
        ("sqlite", sqlite3.sqlite_version),
    ]


def _packages() -> list[tuple[str, str]]:
    found = []
    for name in PACKAGES:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            found.append((name, "not installed"))
    return found


def _app(choice: Choice) -> list[tuple[str, str]]:
    """The app and its settings; why there are none, where looking for them fails: the rest is worth having."""
    try:
        found = choice.find()
        changed = [
            (f"  {name}", f"{text}  ({origin})") for name, text, origin in found.app.conf.table() if origin != DEFAULT
        ]
    except Exception as error:  # noqa: BLE001  the app's own module may raise anything, and that is told
        return [("app", f"none: {shown(error).splitlines()[0]}")]
    return [("app", f"{found.module}:{found.attribute}"), *changed, *_spool(found.app)]


def _spool(app: Umbel) -> list[tuple[str, str]]:
    try:
        spool = app.spool
        if spool is None:
            return []
        waiting, refused = spool.file.count()
    except UmbelError as error:
        return [("spool", str(error))]
    text = f"{waiting} waiting"
    return [("spool", f"{text}, {refused} refused by the broker" if refused else text)]
