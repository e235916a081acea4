"""What a command line says of the app that it is about: -A and --set, before and after the command's name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from umbel.cli.grammar import option
from umbel.errors import ConfigurationError

if TYPE_CHECKING:
    from umbel.lookup import Found

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Choice:
    """The app's name, None where it is to be looked for, and settings as texts. The last mention of each wins."""

    spec: str | None = None
    settings: dict[str, str] = field(default_factory=dict)

    def find(self) -> Found:
        """Find the app, with these settings above all others. Modules that it includes are not imported yet.

        The settings also go into this process's environment: modules that read one while they are imported see it,
        and so do the processes that a worker starts. Raises ``AppNotFound``, ``UnknownOption`` and
        ``ConfigurationError``, and whatever the app's module raises.
        """
        from umbel.lookup import find_app
        from umbel.settings.options import OPTIONS
        from umbel.settings.sources import from_command_line

        from_command_line(self.settings)  # refuses what is wrong before anything is imported
        for name, text in self.settings.items():
            os.environ[OPTIONS[name].environment_name] = text
        found = find_app(self.spec, cwd=_current_folder(), environ=os.environ)
        found.app.conf.set_from_command_line(self.settings)
        return found

    def load(self) -> Found:
        """As ``find``, and import what the app includes, so that all its tasks are registered."""
        found = self.find()
        found.app.import_modules()
        return found


def app_options(command: F) -> F:
    """Add -A and --set to a command; it gets the ``Choice`` through ``click.pass_obj``."""
    section = "App"
    command = option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        section=section,
        expose_value=False,
        callback=_remember_settings,
        help="Any setting, above all other sources; repeatable. 'umbel config' lists them.",
    )(command)
    return option(
        "-A",
        "--app",
        metavar="MODULE[:NAME]",
        section=section,
        expose_value=False,
        callback=_remember_app,
        help="The app; without it UMBEL_APP, pyproject.toml, tasks.py and app.py are looked at.",
    )(command)


def _remember_app(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Choice).spec = value


def _remember_settings(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> None:
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(
                "write it as key=value, for example --set worker_grace=60", ctx=ctx, param=parameter
            )
        ctx.ensure_object(Choice).settings[name.strip()] = value


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise ConfigurationError("the current folder has been deleted; start from one that exists") from None
