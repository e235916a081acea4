"""The banner of a worker: what it is, what it works on, and what it cannot promise."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from umbel import drawn
from umbel._version import __version__
from umbel.cli.promises import docker_warning, not_kept
from umbel.cli.tables import aligned, fancy
from umbel.settings.home import sqlite_path, sqlite_url
from umbel.settings.masking import mask_url

if TYPE_CHECKING:
    from umbel.app import Umbel
    from umbel.lookup import Found
    from umbel.worker.plan import Plan

CONTAINER_MARK = Path("/.dockerenv")


@dataclass(frozen=True, slots=True)
class Banner:
    """``facts`` are pairs of a name and a value, ``tasks`` names, ``notes`` sentences."""

    title: str
    facts: list[tuple[str, str]]
    tasks: list[str]
    notes: list[str]


def banner(found: Found, plan: Plan, *, in_container: bool) -> Banner:
    """What there is to say of this worker. Passwords are masked, files have their absolute paths."""
    app = found.app
    at_once = "1 task" if plan.concurrency == 1 else f"{plan.concurrency} tasks"
    notes = not_kept(app)
    docker = docker_warning(plan.grace) if in_container else None
    return Banner(
        title=f"umbel {__version__}  {plan.name}",
        facts=[
            ("app", f"{found.module}:{found.attribute}"),
            ("broker", address(app.conf.broker_url)),
            ("results", _results(app)),
            ("pool", f"{plan.pool}, {at_once} at once"),
            ("queues", ", ".join(plan.queues)),
            ("stop", f"running tasks get {plan.grace:g} s to end"),
            ("python", f"{platform.python_version()}, pid {os.getpid()}"),
        ],
        tasks=sorted(app.tasks),
        notes=[*notes, docker] if docker else notes,
    )


def address(url: str) -> str:
    """A broker's or store's URL as people may see it."""
    if url.startswith("sqlite:///"):
        query = url.partition("?")[1:]
        return mask_url(sqlite_url(sqlite_path(url).absolute()) + "".join(query))
    return mask_url(url)


def _results(app: Umbel) -> str:
    kept = app.result_url
    if kept is None:
        return "off (result_backend)"
    if not isinstance(app.conf.result_backend, str):
        return "in the broker's own store"
    return address(kept)


def show(said: Banner) -> None:
    """Write the banner to standard output: a box on a terminal with rich, else plain lines."""
    text = "\n\n".join(filter(None, (_facts(said), _tasks(said), _notes(said))))
    if not fancy():
        click.echo(f"{said.title}\n\n{text}\n")
        return
    drawn.box(said.title, text)


def _facts(said: Banner) -> str:
    return aligned(said.facts, "  ")


def _tasks(said: Banner) -> str:
    names = [f"    {name}" for name in said.tasks] or ["    none: is the module that defines them imported?"]
    return "\n".join(["  tasks", *names])


def _notes(said: Banner) -> str:
    return "\n".join(["  limits", *map(_note, said.notes)]) if said.notes else ""


def _note(text: str) -> str:
    """A sentence, on a terminal in lines that fit into the box."""
    width = shutil.get_terminal_size().columns - 4 if fancy() else sys.maxsize
    return textwrap.fill(text, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
