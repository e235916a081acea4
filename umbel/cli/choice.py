"""What a command line may say before and after the command's name: the app that it is about, settings, colours."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from umbel.cli import completing
from umbel.cli.grammar import EVERYWHERE, option
from umbel.errors import ConfigurationError

if TYPE_CHECKING:
    from umbel.lookup import Found

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Choice:
    """The app's name, None where it is to be looked for, settings as texts, and whether colours are wanted, None where
    nobody said. The last mention of each wins."""

    spec: str | None = None
    settings: dict[str, str] = field(default_factory=dict)
    color: bool | None = None

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
        found = find_app(self.spec, cwd=current_folder(), environ=os.environ)
        found.app.conf.set_from_command_line(self.settings)
        return found

    def load(self) -> Found:
        """As ``find``, and import what the app includes, so that all its tasks are registered."""
        found = self.find()
        found.app.import_modules()
        return found


def app_options(command: F) -> F:
    """Add what every command takes; it gets the ``Choice`` through ``click.pass_obj``."""
    section = EVERYWHERE
    command = option(
        "--color/--no-color",
        default=None,
        section=section,
        expose_value=False,
        callback=_remember_color,
        help="Colours and frames, or plain text; by default colours on a terminal, unless NO_COLOR is set.",
    )(command)
    command = option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        shell_complete=completing.settings,
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
        help="The app; without it UMBEL_APP, pyproject.toml, Django's settings, tasks.py and app.py are looked at.",
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


def _remember_color(ctx: click.Context, parameter: click.Parameter, value: bool | None) -> None:
    if value is not None:
        ctx.ensure_object(Choice).color = ctx.color = value


def color_of(environ: Mapping[str, str]) -> bool | None:
    """What NO_COLOR and FORCE_COLOR say of colours, None where neither says anything."""
    if environ.get("NO_COLOR"):
        return False
    return True if environ.get("FORCE_COLOR", "0") not in ("", "0") else None


def current_folder() -> Path:
    """The folder that this process is in; raises ``ConfigurationError`` when it is gone."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise ConfigurationError("the current folder has been deleted; start from one that exists") from None
