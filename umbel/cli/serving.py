"""Makes this process a worker: the app, its log, its banner, and a supervisor that starts it anew where asked for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from umbel.cli.choice import Choice, color_of, current_folder
from umbel.errors import ConfigurationError
from umbel.settings.options import OPTIONS

if TYPE_CHECKING:
    from umbel.app import Umbel
    from umbel.worker.plan import Plan
    from umbel.worker.reloading import Child

ALLOW_PICKLE = "UMBEL_ALLOW_PICKLE_AS_ROOT"

_GRACE_OF_RELOADS = 1.0
"""Seconds that running tasks get where the worker is started anew at each change: somebody waits for it."""


def serve(
    choice: Choice,
    /,
    *,
    queues: Sequence[str],
    exclude: Sequence[str] = (),
    include: Sequence[str] = (),
    concurrency: int | None,
    pool: str | Callable[[Umbel], str | None] | None,
    grace: float | None,
    hostname: str | None,
    pidfile: Path | None,
    state_dir: str | None = None,
    quiet: bool,
    reload: bool,
    **logging: Any,
) -> int:
    """Be a worker until told to stop; gives the exit status. ``pool`` may be a function that knows once the app is
    there; what is None comes from the settings."""
    from umbel import log
    from umbel.cli import banner
    from umbel.cli import pidfile as pids
    from umbel.worker import run
    from umbel.worker.origin import Origin

    with pids.pidfile(pidfile) if pidfile is not None else contextlib.nullcontext():
        child = _supervised() if reload else None
        if isinstance(child, int):
            return child
        found = choice.find()
        app = found.app
        also_import(app, include)
        app.import_modules()
        log_as = log_arguments(app, color=color_for_log(choice, app), **logging)
        log.setup(**log_as)
        refuse_pickle_as_root(app, os.environ, root=hasattr(os, "geteuid") and os.geteuid() == 0)
        wanted: dict[str, Any] = {
            "queues": queues or None,
            "exclude": exclude,
            "pool": pool(app) if callable(pool) else pool,
            "concurrency": concurrency,
            "name": hostname,
            "grace": _GRACE_OF_RELOADS if grace is None and reload else grace,
            "origin": Origin(found.module, found.attribute),
            "log": log_as,
            "state_dir": state_dir,
        }

        def begin(plan: Plan) -> None:
            if not quiet and (child is None or child.first):
                banner.show(banner.banner(found, plan, in_container=banner.CONTAINER_MARK.exists()))
            if child is not None:
                child.loaded()

        return run(app, **wanted, on_plan=begin)


def _supervised() -> Child | int:
    """In a process that is to be the worker what it has of its supervisor, in the supervisor the last one's status."""
    from umbel.settings.home import project_root
    from umbel.worker.reloading import supervise

    here = current_folder()
    return supervise([project_root(here)], lambda text: click.echo(f"umbel: {text}", err=True))


def also_import(app: Umbel, modules: Sequence[str]) -> None:
    """Add modules to those that ``app`` includes, here and in the processes that the worker starts."""
    if modules:
        option = OPTIONS["include"]
        text = os.environ[option.environment_name] = ",".join((*app.conf.include, *modules))
        app.conf.set_from_command_line({option.name: text})


def log_arguments(
    app: Umbel, *, loglevel: str, logfile: Path | None, log_format: str, color: bool | None
) -> dict[str, Any]:
    """The arguments of ``umbel.log.setup``, in the built-in types that reach the runners."""
    return {
        "level": loglevel.upper(),
        "logfile": None if logfile is None else str(logfile.absolute()),
        "format": log_format,
        "color": color,
        "log_format": app.conf.worker_log_format,
        "task_log_format": app.conf.worker_task_log_format,
        "hijack_root": app.conf.worker_hijack_root_logger,
    }


def color_for_log(choice: Choice, app: Umbel) -> bool | None:
    """Whether log lines are coloured: the flag, then the setting, then the environment; None: on a terminal."""
    said = (choice.color, app.conf.worker_log_color, color_of(os.environ))
    return next((color for color in said if color is not None), None)


def refuse_pickle_as_root(app: Umbel, environ: Mapping[str, str], *, root: bool) -> None:
    """Raise ``ConfigurationError`` for a worker of root that accepts pickle, unless the environment allows it."""
    from umbel.serial import content_type_of

    if root and content_type_of("pickle") in app.accept_content and environ.get(ALLOW_PICKLE) != "1":
        raise ConfigurationError(
            "this worker runs as root and accepts pickle, so a message can make root run any code: start it as "
            f"another user, take pickle out of accept_content, or set {ALLOW_PICKLE}=1"
        )
