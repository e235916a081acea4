"""Who is current: the app of this process and the request that this thread or coroutine is working on."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from umbel.errors import ConfigurationError
from umbel.model import SealedRecord
from umbel.request import Request

request: ContextVar[Request | None] = ContextVar("umbel_request", default=None)
"""The attempt under way here; set by the worker's executor alone."""

_apps: weakref.WeakSet[Any] = weakref.WeakSet()
"""Every live app of the process; ``join`` alone adds to it."""

_shared: list[Callable[[Any], Any]] = []
"""What ``shared_task`` wants registered on every app, in order; ``share`` alone adds to it."""

_current: Any = None
"""The app that was made or chosen last; ``choose`` alone sets it."""


recorder: Callable[[SealedRecord], None] | None = None
"""How a record of a running task reaches the store from this process; a worker sets it, elsewhere it is None."""


flusher: Any = None
"""The ``umbel.progress.flusher.Flusher`` of this process; a worker sets it, elsewhere it is None."""

after_commit: Callable[[Callable[[], object], str | None], None] | None = None
"""Calls a function when the transaction of a database, by default the first, is committed; a web framework sets it."""


def join(app: Any) -> None:
    """A new app: it gets every shared task there is, and those still to come."""
    _apps.add(app)
    for register in list(_shared):
        register(app)


def share(register: Callable[[Any], Any]) -> None:
    """Call ``register(app)`` for every app that lives now or later."""
    _shared.append(register)
    for app in list(_apps):
        register(app)


def apps() -> list[Any]:
    """Every live app of the process, in no order."""
    return list(_apps)


def choose(app: Any) -> None:
    """Make ``app`` the current one of this process; None leaves the process without one."""
    global _current
    _current = app


def exists() -> bool:
    """Whether there is a current app."""
    return _current is not None


def app() -> Any:
    """The current app.

    Raises ``ConfigurationError`` when no app was made yet.
    """
    if _current is None:
        raise ConfigurationError(
            "there is no app yet: make one first (app = Umbel('tasks')), or import the module that makes it"
        )
    return _current


def task_context() -> tuple[str | None, str | None]:
    """(task id, task name) of the attempt under way here, for log lines; (None, None) outside a task."""
    attempt = request.get()
    return (attempt.id, attempt.task) if attempt is not None else (None, None)
