"""Stand-ins for the app that is current and the task that is running, for modules that know neither by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from umbel import current
from umbel.errors import UmbelError

if TYPE_CHECKING:
    from umbel.app import Umbel
    from umbel.task import Task


class Proxy:
    """Passes every use on to what ``find`` gives at that moment; false, equal to None alone, while there is nothing.

    ``find`` raises ``UmbelError`` when there is nothing, and so does the use.
    """

    __slots__ = ("_find", "_name")

    def __init__(self, name: str, find: Callable[[], Any]) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_find", find)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # tools that inspect any object ask for these; they mean the stand-in itself
            raise AttributeError(f"{self._name} has no attribute {attribute!r}")
        return getattr(self._find(), attribute)

    def __setattr__(self, attribute: str, value: Any) -> None:
        setattr(self._find(), attribute, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._find()(*args, **kwargs)

    def __bool__(self) -> bool:
        return self._target() is not None

    def __eq__(self, other: object) -> bool:
        return bool(self._target() == (other._target() if isinstance(other, Proxy) else other))

    def __hash__(self) -> int:
        return hash(self._target())

    def __repr__(self) -> str:
        return f"<{self._name}: {self._target()!r}>"

    def _target(self) -> Any:
        try:
            return self._find()
        except UmbelError:
            return None


def _running_task() -> Any:
    attempt = current.request.get()
    if attempt is None or attempt.task is None:
        raise UmbelError("current_task stands for the task that is running, and none is: use it inside a task")
    return current.app().tasks[attempt.task]


current_app = cast("Umbel", Proxy("current_app", current.app))
"""The app that was made or chosen last; ``ConfigurationError`` at its use while there is none."""

current_task = cast("Task[..., Any]", Proxy("current_task", _running_task))
"""The task that this thread or coroutine is running; ``UmbelError`` at its use outside a task."""
