"""Tasks that belong to no app of their own: libraries declare them, and every app gets them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Literal, ParamSpec, TypeVar, overload

from umbel import current
from umbel.declaring import Declare, DeclareBound
from umbel.errors import ConfigurationError
from umbel.task import AsyncTask, Task

P = ParamSpec("P")
R = TypeVar("R")


@overload
def shared_task(function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...


@overload
def shared_task(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def shared_task(*, bind: Literal[True], **options: Any) -> DeclareBound: ...


@overload
def shared_task(*, bind: Literal[False] = ..., **options: Any) -> Declare: ...


def shared_task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """A task of every app, existing and to come; what comes back acts for the app that is current when it is used.

    The options are those of ``Umbel.task``.
    """

    def declare(body: Callable[..., Any]) -> SharedTask:
        name = options.get("name") or f"{body.__module__}.{body.__name__}"
        current.share(lambda app: app.task(**{**options, "name": name})(body))
        return SharedTask(name, body)

    return declare if function is None else declare(function)


class SharedTask:
    """Stands for the current app's task of that name."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.__dict__["name"] = name
        self.__dict__["__wrapped__"] = function
        self.__dict__["__doc__"] = function.__doc__

    def __getattr__(self, attribute: str) -> Any:
        return getattr(current.app().tasks[self.name], attribute)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function here and now; without any app it is the plain function."""
        try:
            task = current.app().tasks[self.name]
        except ConfigurationError:
            return self.__wrapped__(*args, **kwargs)
        return task(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<shared task {self.name}>"
