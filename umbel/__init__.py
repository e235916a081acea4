"""The front door: a distributed task queue whose public names are resolved on first use.

``import umbel`` costs next to nothing; ``from umbel import Umbel`` loads what an app needs and no more.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, which takes longer to import than all the rest of this

if TYPE_CHECKING:
    from typing import Any

    from umbel import progress
    from umbel._version import __version__
    from umbel.app import Umbel
    from umbel.errors import Ignore, Reject, Retry, TaskCancelled, TimeoutError, UserError
    from umbel.middleware import Middleware
    from umbel.model import Queue, State
    from umbel.progress import track
    from umbel.proxies import current_app, current_task
    from umbel.result import AsyncResult
    from umbel.retry import Backoff
    from umbel.shared import shared_task
    from umbel.task import Task

__all__ = [
    "AsyncResult",
    "Backoff",
    "Ignore",
    "Middleware",
    "Queue",
    "Reject",
    "Retry",
    "State",
    "Task",
    "TaskCancelled",
    "TimeoutError",
    "Umbel",
    "UserError",
    "__version__",
    "current_app",
    "current_task",
    "progress",
    "shared_task",
    "track",
]

_HOMES = {
    "AsyncResult": "umbel.result",
    "Backoff": "umbel.retry",
    "Ignore": "umbel.errors",
    "Middleware": "umbel.middleware",
    "Queue": "umbel.model",
    "Reject": "umbel.errors",
    "Retry": "umbel.errors",
    "State": "umbel.model",
    "Task": "umbel.task",
    "TaskCancelled": "umbel.errors",
    "TimeoutError": "umbel.errors",
    "Umbel": "umbel.app",
    "UserError": "umbel.errors",
    "__version__": "umbel._version",
    "current_app": "umbel.proxies",
    "current_task": "umbel.proxies",
    "progress": "umbel.progress",
    "shared_task": "umbel.shared",
    "track": "umbel.progress",
}
"""The module that defines each public name, or is it."""


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(home)
    value = globals()[name] = module if home == f"{__name__}.{name}" else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
