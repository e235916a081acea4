"""The tasks that an app knows, by name."""

from __future__ import annotations

import difflib
from typing import Any

from umbel.errors import ConfigurationError, NotRegistered
from umbel.task import Task

Registered = dict[str, Task[..., Any]]


class TaskRegistry(Registered):
    """A dict of tasks. A missing name raises ``NotRegistered`` and says what comes nearest."""

    def __missing__(self, name: str) -> Any:
        near = difflib.get_close_matches(str(name), self, n=1)
        hint = f"; the nearest registered name is {near[0]!r}" if near else "; is the module that defines it imported?"
        raise NotRegistered(f"no task named {name!r}{hint}")

    def register(self, task: Task[..., Any]) -> Task[..., Any]:
        """Add ``task``; what defines the same function again gets the task that is there already.

        Raises ``ConfigurationError`` when the name belongs to another function: one of the two would never run.
        """
        if not task.name:
            raise ConfigurationError(f"{task!r} has no name: set the class attribute 'name'")
        known = self.setdefault(task.name, task)
        if known is not task and known.origin != task.origin:
            raise ConfigurationError(
                f"two tasks are called {task.name!r}: {known.origin} and {task.origin}; give one of them another name="
            )
        return known
