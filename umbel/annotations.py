"""Says what ``task_annotations`` changes of a task: options of tasks that are set where they are deployed."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from umbel.errors import ConfigurationError


class Annotations:
    """What ``source`` says of tasks: a mapping of task names or patterns (``"*"``) to options, an object whose
    ``annotate(task)`` gives such options or None, or a list of these.

    Of what fits a task, later ones win, and in a mapping the plain name. Raises ``ConfigurationError`` for anything
    else.
    """

    def __init__(self, source: Any) -> None:
        self._sources = list(source) if isinstance(source, (list, tuple)) else [] if source is None else [source]
        for each in self._sources:
            if isinstance(each, Mapping):
                for name, options in each.items():
                    _check(name, options)
            elif not callable(getattr(each, "annotate", None)):
                raise ConfigurationError(
                    f"task_annotations: expected a mapping of task names to options, or an object with a method "
                    f"annotate(task), got {each!r}"
                )

    def of(self, task: Any) -> dict[str, Any]:
        """The options for ``task``, which has a ``name``; raises what ``annotate`` raises, and ``ConfigurationError``
        when it gives no options."""
        found: dict[str, Any] = {}
        for each in self._sources:
            if not isinstance(each, Mapping):
                options = each.annotate(task)
                if options is not None:
                    _check(task.name, options)
                    found |= options
                continue
            for name, options in each.items():
                if name != task.name and fnmatchcase(task.name, name):
                    found |= options
            found |= each.get(task.name, {})
        return found


def _check(name: Any, options: Any) -> None:
    if not isinstance(name, str) or not isinstance(options, Mapping):
        raise ConfigurationError(
            f"task_annotations[{name!r}]: expected a mapping of a task's options, such as {{'time_limit': 30}}, "
            f"got {options!r}"
        )
